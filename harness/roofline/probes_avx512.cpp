// Probes for AVX-512 (F, BW, VL, DQ): 512-bit reads, vpmaddubsw, vpshufb, vfmadd.
#include <immintrin.h>
#include <stddef.h>

#include "harness/roofline/probes.h"
#include "harness/roofline/read_streams.h"

namespace {

// The value may have changed, as far as the compiler knows: nothing is hoisted, merged or folded,
// and the value stays in a register.
#define OPAQUE(x) asm volatile("" : "+v"(x))

inline __m512i load(const char* p) {
    return _mm512_load_si512(p);
}

// A few cycles: as many instructions as a core decodes in eight.
inline void pause_briefly() {
    asm volatile(".fill 48, 1, 0x90");
}

template <uint32_t kStreams, uint32_t kHow>
uint64_t read_streams(const void* base, uint64_t rounds, uint64_t passes) {
    constexpr uint64_t kBytes = TB_PROBE_ROUND_BYTES / kStreams;  // of a stream per round
    constexpr uint32_t kLines = 8 / kStreams;
    const char* const start = static_cast<const char*>(base);
    const uint64_t stride = rounds * kBytes;
    __m512i s0 = _mm512_setzero_si512(), s1 = s0, s2 = s0, s3 = s0, s4 = s0, s5 = s0, s6 = s0,
            s7 = s0;
    const auto line = [&](uint32_t i) __attribute__((always_inline)) {
        return start + (i / kLines) * stride + (i % kLines) * 64;
    };
    for (uint64_t pass = 0; pass < passes; ++pass) {
        asm volatile("" : : "r"(base) : "memory");  // each pass reads memory anew
        for (uint64_t at = 0; at < stride; at += kBytes) {
            if (kHow == TB_READ_PREFETCH)
                for (uint32_t i = 0; i < 8; ++i) _mm_prefetch(line(i) + at + 2048, _MM_HINT_T0);
            s0 = _mm512_add_epi64(s0, load(line(0) + at));
            s1 = _mm512_add_epi64(s1, load(line(1) + at));
            s2 = _mm512_add_epi64(s2, load(line(2) + at));
            s3 = _mm512_add_epi64(s3, load(line(3) + at));
            if (kHow == TB_READ_PACED) pause_briefly();
            s4 = _mm512_add_epi64(s4, load(line(4) + at));
            s5 = _mm512_add_epi64(s5, load(line(5) + at));
            s6 = _mm512_add_epi64(s6, load(line(6) + at));
            s7 = _mm512_add_epi64(s7, load(line(7) + at));
            if (kHow == TB_READ_PACED) pause_briefly();
        }
    }
    s0 = _mm512_add_epi64(_mm512_add_epi64(s0, s1), _mm512_add_epi64(s2, s3));
    s4 = _mm512_add_epi64(_mm512_add_epi64(s4, s5), _mm512_add_epi64(s6, s7));
    uint64_t parts[8], total = 0;
    _mm512_storeu_si512(parts, _mm512_add_epi64(s0, s4));
    for (const uint64_t part : parts) total += part;
    return total;
}

uint32_t sum_epi32(__m512i v) {
    uint32_t parts[16], total = 0;
    _mm512_storeu_si512(parts, v);
    for (const uint32_t part : parts) total += part;
    return total;
}

constexpr uint32_t kDotMacs = 8 * 64;

uint32_t dot(uint64_t iterations, const uint8_t* a, const int8_t* b) {
    __m512i x0 = _mm512_loadu_si512(a), x1 = x0;
    OPAQUE(x1);
    const __m512i y = _mm512_loadu_si512(b), ones = _mm512_set1_epi16(1);
    __m512i s0 = _mm512_setzero_si512(), s1 = s0, s2 = s0, s3 = s0, s4 = s0, s5 = s0, s6 = s0,
            s7 = s0;
// (GCC 12 adds a register move per step; it is eliminated at rename and no port is busier for it.)
#define STEP(s, x)                                                                \
    OPAQUE(x);                                                                    \
    s = _mm512_add_epi32(_mm512_madd_epi16(_mm512_maddubs_epi16(x, y), ones), s); \
    OPAQUE(s)
    for (uint64_t n = 0; n < iterations; ++n) {
        STEP(s0, x0);
        STEP(s1, x1);
        STEP(s2, x0);
        STEP(s3, x1);
        STEP(s4, x0);
        STEP(s5, x1);
        STEP(s6, x0);
        STEP(s7, x1);
    }
#undef STEP
    s0 = _mm512_add_epi32(_mm512_add_epi32(s0, s1), _mm512_add_epi32(s2, s3));
    s4 = _mm512_add_epi32(_mm512_add_epi32(s4, s5), _mm512_add_epi32(s6, s7));
    return sum_epi32(_mm512_add_epi32(s0, s4));
}

constexpr uint32_t kLookupBytes = 12 * 64;

uint32_t lookup(uint64_t iterations, const uint8_t* table, const uint8_t* start) {
    const __m512i t =
        _mm512_broadcast_i32x4(_mm_loadu_si128(reinterpret_cast<const __m128i*>(table)));
    __m512i x0 = _mm512_loadu_si512(start);
    __m512i x1 = x0, x2 = x0, x3 = x0, x4 = x0, x5 = x0, x6 = x0, x7 = x0, x8 = x0, x9 = x0,
            x10 = x0, x11 = x0;
#define STEP(x)                    \
    x = _mm512_shuffle_epi8(t, x); \
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
    uint32_t total = 0;
    const __m512i all[] = {x0, x1, x2, x3, x4, x5, x6, x7, x8, x9, x10, x11};
    for (const __m512i& x : all) total += sum_epi32(_mm512_sad_epu8(x, _mm512_setzero_si512()));
    return total;
}

constexpr uint32_t kFmaMacs = 12 * 16;

float fma(uint64_t iterations, const float* a, const float* b) {
    const __m512 x = _mm512_loadu_ps(a), y = _mm512_loadu_ps(b);
    __m512 s0 = _mm512_setzero_ps(), s1 = s0, s2 = s0, s3 = s0, s4 = s0, s5 = s0, s6 = s0, s7 = s0,
           s8 = s0, s9 = s0, s10 = s0, s11 = s0;
#define STEP(s)                   \
    s = _mm512_fmadd_ps(x, y, s); \
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
    }
#undef STEP
    float total = 0, parts[16];
    const __m512 all[] = {s0, s1, s2, s3, s4, s5, s6, s7, s8, s9, s10, s11};
    for (const __m512& s : all) {
        _mm512_storeu_ps(parts, s);
        for (const float part : parts) total += part;
    }
    return total;
}

}  // namespace

extern "C" const tb_probe_table tb_probes_avx512 = {
    "avx512", TB_ISA_AVX512, read, dot,      kDotMacs,     "vpmaddubsw zmm", lookup, kLookupBytes,
    16,       "vpshufb zmm", fma,  kFmaMacs, "vfmadd zmm", nullptr,          0};
