// Probe for AVX-VNNI: vpdpbusd on 256-bit registers. 5 cycles on two ports need 10 accumulators.
#include <immintrin.h>
#include <stddef.h>

#include "harness/roofline/probes.h"

namespace {

// As far as the compiler knows the value may have changed: sums are neither folded nor reordered.
#define OPAQUE(x) asm volatile("" : "+x"(x))

constexpr uint32_t kDotMacs = 12 * 32;

uint32_t dot(uint64_t iterations, const uint8_t* a, const int8_t* b) {
    const __m256i a0 = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(a));
    const __m256i a1 = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(a + 32));
    const __m256i b0 = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(b));
    const __m256i b1 = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(b + 32));
    __m256i s0 = _mm256_setzero_si256(), s1 = s0, s2 = s0, s3 = s0, s4 = s0, s5 = s0, s6 = s0,
            s7 = s0, s8 = s0, s9 = s0, s10 = s0, s11 = s0;
#define STEP(s, x, y)                     \
    s = _mm256_dpbusd_avx_epi32(s, x, y); \
    OPAQUE(s)
    for (uint64_t n = 0; n < iterations; ++n) {
        STEP(s0, a0, b0);
        STEP(s1, a1, b1);
        STEP(s2, a0, b0);
        STEP(s3, a1, b1);
        STEP(s4, a0, b0);
        STEP(s5, a1, b1);
        STEP(s6, a0, b0);
        STEP(s7, a1, b1);
        STEP(s8, a0, b0);
        STEP(s9, a1, b1);
        STEP(s10, a0, b0);
        STEP(s11, a1, b1);
    }
#undef STEP
    uint32_t total = 0, parts[8];
    const __m256i all[] = {s0, s1, s2, s3, s4, s5, s6, s7, s8, s9, s10, s11};
    for (const __m256i& s : all) {
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(parts), s);
        for (const uint32_t part : parts) total += part;
    }
    return total;
}

}  // namespace

extern "C" const tb_probe_table tb_probes_avxvnni = {
    "avxvnni", TB_ISA_AVXVNNI, nullptr, dot, kDotMacs, "vpdpbusd ymm", nullptr, 0,
    0,         nullptr,        nullptr, 0,   nullptr,  nullptr,        0};
