// Probe for AVX-512 VBMI: vpermb looks up 64 bytes in a table of 64 bytes.
#include <immintrin.h>
#include <stddef.h>
#include <string.h>

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

// ---- instruction mixes --------------------------------------------------------------------------

// What the inner loop of t3r does to a step, from registers and without waiting for each
// other: every operation of an iteration works on what an earlier one left, so that only the ports
// are measured. The values are the same in every iteration. As instructions, in this order: the
// compilers would take equal ones together.
#define DOT(sum, codes) asm volatile("vpdpbusd %2, %1, %0" : "+v"(sum) : "v"(codes), "v"(xs))
#define AND(to, a, b) asm volatile("vpandq %2, %1, %0" : "=v"(to) : "v"(a), "v"(b))
#define XOR(to, a, b) asm volatile("vpxorq %2, %1, %0" : "=v"(to) : "v"(a), "v"(b))
#define SHIFT(to, a, n) asm volatile("vpsrlw %2, %1, %0" : "=v"(to) : "v"(a), "i"(n))
#define LOOKUP(to, index, table) \
    asm volatile("vpermb %2, %1, %0" : "=v"(to) : "v"(index), "v"(table))

uint32_t sum_of(const __m512i* sums, int count) {
    uint32_t total = 0, parts[16];
    for (int i = 0; i < count; ++i) {
        _mm512_storeu_si512(parts, sums[i]);
        for (const uint32_t part : parts) total += part;
    }
    return total;
}

__m512i broadcast4(const int8_t* x) {
    int32_t four;
    memcpy(&four, x, sizeof four);
    return _mm512_set1_epi32(four);
}

// A table of 64 different bytes; its contents do not matter here.
__m512i some_table() {
    uint8_t bytes[64];
    for (int i = 0; i < 64; ++i) bytes[i] = static_cast<uint8_t>(1 + i);
    return _mm512_loadu_si512(bytes);
}

uint32_t t3r(uint64_t iterations, const uint8_t* bytes, const int8_t* x) {
    const __m512i xs = broadcast4(x), v = _mm512_loadu_si512(bytes), table = some_table();
    const __m512i masks[2] = {_mm512_set1_epi8(0x03), _mm512_set1_epi8(0x0c)};
    const __m512i fields = _mm512_permutexvar_epi8(v, table);
    __m512i sums[12], kept[12];
#pragma GCC unroll 16
    for (int i = 0; i < 12; ++i) sums[i] = _mm512_setzero_si512();
    __m512i f[4] = {fields, fields, fields, fields};
    for (uint64_t n = 0; n < iterations; ++n) {
#pragma GCC unroll 8
        for (int q = 0; q < 8; ++q) {
            const int at = 3 * (q % 4);
            __m512i first, second;
            AND(first, f[q % 4], masks[0]);
            DOT(sums[at + 0], f[q % 4]);
            if (q >= 5) {  // an index put together from two registers, or for the last from three
                __m512i high, low, index;
                SHIFT(high, v, 5);
                SHIFT(low, v, 3);
                XOR(index, high, low);
                if (q == 7) XOR(index, v, low);
            }
            AND(second, f[q % 4], masks[1]);
            DOT(sums[at + 1], first);
            LOOKUP(f[q % 4], v, table);
            DOT(sums[at + 2], second);
        }
    }
#pragma GCC unroll 16
    for (int i = 0; i < 12; ++i) kept[i] = sums[i];  // so that sums stay in registers
    return sum_of(kept, 12);
}

// t5r is not among them: how fast its operations go together depends on their order by a tenth on
// Zen 4, the kernel's own order is the best known, and a bound that is exceeded is none.
const tb_probe_mix kMixes[] = {
    {"t3r_avx512vbmi", "24 vpdpbusd + 8 vpermb + 16 vpandd + 10 zmm for 1536 weights", 1536, t3r}};

}  // namespace

extern "C" const tb_probe_table tb_probes_avx512vbmi = {
    "avx512vbmi", TB_ISA_AVX512VBMI, nullptr, nullptr, 0,       nullptr, lookup, kLookupBytes,
    64,           "vpermb zmm",      nullptr, 0,       nullptr, kMixes,  1};
