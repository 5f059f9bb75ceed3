// Probe for AVX-512 VBMI: vpermb looks up 64 bytes in a table of 64 bytes.
#include <immintrin.h>
#include <stddef.h>

#include "harness/roofline/probes.h"

namespace {

// As far as the compiler knows the value may have changed: steps are neither folded nor merged.
#define OPAQUE(x) asm volatile("" : "+v"(x))

constexpr uint32_t kLookupBytes = 12 * 64;

uint32_t lookup(uint64_t iterations, const uint8_t* table, const uint8_t* start) {
    const __m512i t = _mm512_loadu_si512(table);
    __m512i x0 = _mm512_loadu_si512(start);
    __m512i x1 = x0, x2 = x0, x3 = x0, x4 = x0, x5 = x0, x6 = x0, x7 = x0, x8 = x0, x9 = x0,
            x10 = x0, x11 = x0;
#define STEP(x)                        \
    x = _mm512_permutexvar_epi8(x, t); \
    OPAQUE(x)
    for (uint64_t n = 0; n < iterations; ++n) {
        STEP(x0);
        STEP(x1);
        STEP(x2);
        STEP(x3);
        STEP(x4);
        STEP(x5);
        STEP(x6);
        STEP(x7);
        STEP(x8);
        STEP(x9);
        STEP(x10);
        STEP(x11);
    }
#undef STEP
    uint32_t total = 0, parts[16];
    const __m512i all[] = {x0, x1, x2, x3, x4, x5, x6, x7, x8, x9, x10, x11};
    for (const __m512i& x : all) {
        _mm512_storeu_si512(parts, _mm512_sad_epu8(x, _mm512_setzero_si512()));
        for (const uint32_t part : parts) total += part;
    }
    return total;
}

}  // namespace

extern "C" const tb_probe_table tb_probes_avx512vbmi = {
    "avx512vbmi", TB_ISA_AVX512VBMI, nullptr, nullptr, 0,       nullptr, lookup, kLookupBytes,
    64,           "vpermb zmm",      nullptr, 0,       nullptr, nullptr, 0};
