// Probes for AVX2 with FMA: 256-bit reads, vpmaddubsw, vpshufb, vfmadd.
//
// 16 registers: 8 accumulators for integer dot products (three instructions each, two of them
// multiplications on the same ports), 12 for multiply-adds (4 cycles on two ports need 8).
#include <immintrin.h>
#include <stddef.h>

#include "harness/roofline/probes.h"
#include "harness/roofline/read_streams.h"

namespace {

// The value may have changed, as far as the compiler knows: nothing is hoisted, merged or folded,
// and the value stays in a register.
#define OPAQUE(x) asm volatile("" : "+x"(x))

inline __m256i load(const char* p) {
    return _mm256_load_si256(reinterpret_cast<const __m256i*>(p));
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
    __m256i s0 = _mm256_setzero_si256(), s1 = s0, s2 = s0, s3 = s0, s4 = s0, s5 = s0, s6 = s0,
            s7 = s0;
    const auto line = [&](uint32_t i) __attribute__((always_inline)) {
        return start + (i / kLines) * stride + (i % kLines) * 64;
    };
    for (uint64_t pass = 0; pass < passes; ++pass) {
        asm volatile("" : : "r"(base) : "memory");  // each pass reads memory anew
        for (uint64_t at = 0; at < stride; at += kBytes) {
            if (kHow == TB_READ_PREFETCH)
                for (uint32_t i = 0; i < 8; ++i) _mm_prefetch(line(i) + at + 2048, _MM_HINT_T0);
            s0 = _mm256_add_epi64(s0, load(line(0) + at));
            s1 = _mm256_add_epi64(s1, load(line(0) + at + 32));
            s2 = _mm256_add_epi64(s2, load(line(1) + at));
            s3 = _mm256_add_epi64(s3, load(line(1) + at + 32));
            s4 = _mm256_add_epi64(s4, load(line(2) + at));
            s5 = _mm256_add_epi64(s5, load(line(2) + at + 32));
            s6 = _mm256_add_epi64(s6, load(line(3) + at));
            s7 = _mm256_add_epi64(s7, load(line(3) + at + 32));
            if (kHow == TB_READ_PACED) pause_briefly();
            s0 = _mm256_add_epi64(s0, load(line(4) + at));
            s1 = _mm256_add_epi64(s1, load(line(4) + at + 32));
            s2 = _mm256_add_epi64(s2, load(line(5) + at));
            s3 = _mm256_add_epi64(s3, load(line(5) + at + 32));
            s4 = _mm256_add_epi64(s4, load(line(6) + at));
            s5 = _mm256_add_epi64(s5, load(line(6) + at + 32));
            s6 = _mm256_add_epi64(s6, load(line(7) + at));
            s7 = _mm256_add_epi64(s7, load(line(7) + at + 32));
            if (kHow == TB_READ_PACED) pause_briefly();
        }
    }
    s0 = _mm256_add_epi64(_mm256_add_epi64(s0, s1), _mm256_add_epi64(s2, s3));
    s4 = _mm256_add_epi64(_mm256_add_epi64(s4, s5), _mm256_add_epi64(s6, s7));
    uint64_t parts[4];
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(parts), _mm256_add_epi64(s0, s4));
    return parts[0] + parts[1] + parts[2] + parts[3];
}

uint32_t sum_epi32(__m256i v) {
    uint32_t parts[8], total = 0;
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(parts), v);
    for (const uint32_t part : parts) total += part;
    return total;
}

constexpr uint32_t kDotMacs = 8 * 32;

uint32_t dot(uint64_t iterations, const uint8_t* a, const int8_t* b) {
    __m256i a0 = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(a));
    __m256i a1 = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(a + 32));
    const __m256i b0 = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(b));
    const __m256i b1 = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(b + 32));
    const __m256i ones = _mm256_set1_epi16(1);
    __m256i s0 = _mm256_setzero_si256(), s1 = s0, s2 = s0, s3 = s0, s4 = s0, s5 = s0, s6 = s0,
            s7 = s0;
// NOLINTBEGIN(bugprone-macro-parentheses): the arguments are names of registers
#define STEP(s, x, y)                                                             \
    OPAQUE(x);                                                                    \
    s = _mm256_add_epi32(s, _mm256_madd_epi16(_mm256_maddubs_epi16(x, y), ones)); \
    OPAQUE(s)
    // NOLINTEND(bugprone-macro-parentheses)
    for (uint64_t n = 0; n < iterations; ++n) {
        STEP(s0, a0, b0);
        STEP(s1, a1, b1);
        STEP(s2, a0, b0);
        STEP(s3, a1, b1);
        STEP(s4, a0, b0);
        STEP(s5, a1, b1);
        STEP(s6, a0, b0);
        STEP(s7, a1, b1);
    }
#undef STEP
    s0 = _mm256_add_epi32(_mm256_add_epi32(s0, s1), _mm256_add_epi32(s2, s3));
    s4 = _mm256_add_epi32(_mm256_add_epi32(s4, s5), _mm256_add_epi32(s6, s7));
    return sum_epi32(_mm256_add_epi32(s0, s4));
}

constexpr uint32_t kLookupBytes = 12 * 32;

uint32_t lookup(uint64_t iterations, const uint8_t* table, const uint8_t* start) {
    const __m256i t =
        _mm256_broadcastsi128_si256(_mm_loadu_si128(reinterpret_cast<const __m128i*>(table)));
    __m256i x0 = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(start));
    __m256i x1 = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(start + 32));
    __m256i x2 = x0, x3 = x1, x4 = x0, x5 = x1, x6 = x0, x7 = x1, x8 = x0, x9 = x1, x10 = x0,
            x11 = x1;
#define STEP(x)                    \
    x = _mm256_shuffle_epi8(t, x); \
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
    const __m256i all[] = {x0, x1, x2, x3, x4, x5, x6, x7, x8, x9, x10, x11};
    for (const __m256i& x : all) total += sum_epi32(_mm256_sad_epu8(x, _mm256_setzero_si256()));
    return total;
}

constexpr uint32_t kFmaMacs = 12 * 8;

float fma(uint64_t iterations, const float* a, const float* b) {
    const __m256 a0 = _mm256_loadu_ps(a), a1 = _mm256_loadu_ps(a + 8);
    const __m256 b0 = _mm256_loadu_ps(b), b1 = _mm256_loadu_ps(b + 8);
    __m256 s0 = _mm256_setzero_ps(), s1 = s0, s2 = s0, s3 = s0, s4 = s0, s5 = s0, s6 = s0, s7 = s0,
           s8 = s0, s9 = s0, s10 = s0, s11 = s0;
#define STEP(s, x, y)             \
    s = _mm256_fmadd_ps(x, y, s); \
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
    float total = 0, parts[8];
    const __m256 all[] = {s0, s1, s2, s3, s4, s5, s6, s7, s8, s9, s10, s11};
    for (const __m256& s : all) {
        _mm256_storeu_ps(parts, s);
        for (const float part : parts) total += part;
    }
    return total;
}

}  // namespace

extern "C" const tb_probe_table tb_probes_avx2 = {
    "avx2", TB_ISA_AVX2,   read, dot,      kDotMacs,     "vpmaddubsw ymm", lookup, kLookupBytes,
    16,     "vpshufb ymm", fma,  kFmaMacs, "vfmadd ymm", nullptr,          0};
