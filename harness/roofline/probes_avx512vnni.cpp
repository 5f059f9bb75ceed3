// Probe for AVX-512 VNNI: vpdpbusd on 512-bit registers. 5 cycles on two ports need 10
// accumulators.
#include <immintrin.h>
#include <stddef.h>
#include <string.h>

#include "harness/roofline/probes.h"

namespace {

// As far as the compiler knows the value may have changed: sums are neither folded nor reordered.
#define OPAQUE(x) asm volatile("" : "+v"(x))

constexpr uint32_t kDotMacs = 16 * 64;

uint32_t dot(uint64_t iterations, const uint8_t* a, const int8_t* b) {
    const __m512i x = _mm512_loadu_si512(a), y = _mm512_loadu_si512(b);
    __m512i s0 = _mm512_setzero_si512(), s1 = s0, s2 = s0, s3 = s0, s4 = s0, s5 = s0, s6 = s0,
            s7 = s0, s8 = s0, s9 = s0, s10 = s0, s11 = s0, s12 = s0, s13 = s0, s14 = s0, s15 = s0;
#define STEP(s)                       \
    s = _mm512_dpbusd_epi32(s, x, y); \
    OPAQUE(s)
    for (uint64_t n = 0; n < iterations; ++n) {
        STEP(s0);
        STEP(s1);
        STEP(s2);
        STEP(s3);
        STEP(s4);
        STEP(s5);
        STEP(s6);
        STEP(s7);
        STEP(s8);
        STEP(s9);
        STEP(s10);
        STEP(s11);
        STEP(s12);
        STEP(s13);
        STEP(s14);
        STEP(s15);
    }
#undef STEP
    uint32_t total = 0, parts[16];
    const __m512i all[] = {s0, s1, s2, s3, s4, s5, s6, s7, s8, s9, s10, s11, s12, s13, s14, s15};
    for (const __m512i& s : all) {
        _mm512_storeu_si512(parts, s);
        for (const uint32_t part : parts) total += part;
    }
    return total;
}

// i2r_avx512vnni, four registers of packed weights a pass: each multiplied as it is and under three
// masks.
uint32_t i2r(uint64_t iterations, const uint8_t* bytes, const int8_t* x) {
    int32_t four;
    memcpy(&four, x, sizeof four);
    const __m512i xs = _mm512_set1_epi32(four);
    const __m512i mask[3] = {_mm512_set1_epi8(0x03), _mm512_set1_epi8(0x0c),
                             _mm512_set1_epi8(0x30)};
    __m512i v = _mm512_loadu_si512(bytes);
    __m512i sum[4][4];
#pragma GCC unroll 4
    for (int s = 0; s < 4; ++s)
#pragma GCC unroll 4
        for (int f = 0; f < 4; ++f) sum[s][f] = _mm512_setzero_si512();
    for (uint64_t n = 0; n < iterations; ++n) {
#pragma GCC unroll 4
        for (int s = 0; s < 4; ++s) {
            OPAQUE(v);
            // As an instruction: see kernels/dot/avx512vnni.h.
#define DOT(f, codes) asm("vpdpbusd %2, %1, %0" : "+v"(sum[s][f]) : "v"(codes), "v"(xs))
            DOT(0, v);
            DOT(1, _mm512_and_si512(v, mask[0]));
            DOT(2, _mm512_and_si512(v, mask[1]));
            DOT(3, _mm512_and_si512(v, mask[2]));
#undef DOT
        }
    }
    uint32_t total = 0, parts[16];
#pragma GCC unroll 4
    for (int s = 0; s < 4; ++s)
#pragma GCC unroll 4
        for (int f = 0; f < 4; ++f) {
            _mm512_storeu_si512(parts, sum[s][f]);
            for (const uint32_t part : parts) total += part;
        }
    return total;
}

const tb_probe_mix kMixes[] = {
    {"i2r_avx512vnni", "4 vpdpbusd + 3 vpandd zmm for 256 weights", 4 * 256, i2r}};

}  // namespace

extern "C" const tb_probe_table tb_probes_avx512vnni = {"avx512vnni",
                                                        TB_ISA_AVX512VNNI,
                                                        nullptr,
                                                        dot,
                                                        kDotMacs,
                                                        "vpdpbusd zmm",
                                                        nullptr,
                                                        0,
                                                        0,
                                                        nullptr,
                                                        nullptr,
                                                        0,
                                                        nullptr,
                                                        kMixes,
                                                        1};
