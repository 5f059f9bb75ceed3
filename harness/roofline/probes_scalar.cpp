// Probes in plain C for the baseline of the CPU family; the compiler may use baseline vectors.
#include <stddef.h>

#include "harness/roofline/probes.h"

namespace {

// Keeps the compiler from knowing what is in memory: loops are neither folded nor skipped.
inline void opaque(const void* p) {
    asm volatile("" : : "r"(p) : "memory");
}

template <uint32_t kStreams, bool kPrefetch>
uint64_t read_streams(const void* base, uint64_t rounds, uint64_t passes) {
    constexpr uint64_t kWords = TB_PROBE_ROUND_BYTES / 8 / kStreams;  // of a stream per round
    const uint64_t* words = static_cast<const uint64_t*>(base);
    const uint64_t stride = rounds * kWords;
    uint64_t sum[8] = {};
    for (uint64_t pass = 0; pass < passes; ++pass) {
        opaque(base);
        for (uint64_t r = 0; r < rounds; ++r) {
            for (uint32_t s = 0; s < kStreams; ++s) {
                const uint64_t* p = words + s * stride + r * kWords;
                if (kPrefetch)
                    for (uint64_t line = 0; line < kWords; line += 8)
                        __builtin_prefetch(p + line + 256);
                for (uint64_t w = 0; w < kWords; w += 8)
                    for (uint64_t i = 0; i < 8; ++i) sum[i] += p[w + i];
            }
        }
    }
    uint64_t total = 0;
    for (const uint64_t part : sum) total += part;
    return total;
}

uint64_t read(const void* base, uint64_t rounds, uint64_t passes, uint32_t streams, uint32_t how) {
    switch (streams * 2 + (how == TB_READ_PREFETCH ? 1 : 0)) {
        case 16:
            return read_streams<8, false>(base, rounds, passes);
        case 17:
            return read_streams<8, true>(base, rounds, passes);
        case 8:
            return read_streams<4, false>(base, rounds, passes);
        case 9:
            return read_streams<4, true>(base, rounds, passes);
        case 3:
            return read_streams<1, true>(base, rounds, passes);
        default:
            return read_streams<1, false>(base, rounds, passes);
    }
}

constexpr uint32_t kDotMacs = 1024;

// The patterns repeated, so that a compiler that vectorises adds up its lanes once per 1024.
uint32_t dot(uint64_t iterations, const uint8_t* a, const int8_t* b) {
    alignas(64) uint8_t x[kDotMacs];
    alignas(64) int8_t y[kDotMacs];
    for (uint32_t i = 0; i < kDotMacs; ++i) {
        x[i] = a[i % 64];
        y[i] = b[i % 64];
    }
    uint32_t total = 0;
    for (uint64_t n = 0; n < iterations; ++n) {
        opaque(x);
        opaque(y);
        int32_t sum = 0;
        for (uint32_t i = 0; i < kDotMacs; ++i) sum += x[i] * y[i];
        total += static_cast<uint32_t>(sum);
    }
    return total;
}

constexpr uint32_t kLookupChains = 8;

uint32_t lookup(uint64_t iterations, const uint8_t* table, const uint8_t* start) {
    uint32_t x[kLookupChains];
    for (uint32_t i = 0; i < kLookupChains; ++i) x[i] = start[i];
    for (uint64_t n = 0; n < iterations; ++n)
        for (uint32_t i = 0; i < kLookupChains; ++i) x[i] = table[x[i]];
    uint32_t total = 0;
    for (const uint32_t value : x) total += value;
    return total;
}

// Four floats, in whatever the baseline has for them.
typedef float Float4 __attribute__((vector_size(16)));

#if defined(__x86_64__)
#define OPAQUE(v) asm volatile("" : "+x"(v))
#elif defined(__aarch64__)
#define OPAQUE(v) asm volatile("" : "+w"(v))
#else
#define OPAQUE(v) asm volatile("" : "+m"(v))
#endif

Float4 load4(const float* p) {
    return Float4{p[0], p[1], p[2], p[3]};
}

constexpr uint32_t kFmaMacs = 32;

// A multiplication and an addition: the baseline need not have a fused one. One operand comes from
// the first-level cache, because 16 registers do not hold 8 sums and both operands.
float fma(uint64_t iterations, const float* a, const float* b) {
    const Float4 a0 = load4(a), a1 = load4(a + 4), a2 = load4(a + 8), a3 = load4(a + 12);
    alignas(64) Float4 y[4] = {load4(b), load4(b + 4), load4(b + 8), load4(b + 12)};
    Float4 s0 = {0, 0, 0, 0}, s1 = s0, s2 = s0, s3 = s0, s4 = s0, s5 = s0, s6 = s0, s7 = s0;
#define STEP(s, x, i) \
    s += x * y[i];    \
    OPAQUE(s)
    for (uint64_t n = 0; n < iterations; ++n) {
        opaque(y);
        STEP(s0, a0, 0);
        STEP(s1, a1, 1);
        STEP(s2, a2, 2);
        STEP(s3, a3, 3);
        opaque(y);
        STEP(s4, a0, 0);
        STEP(s5, a1, 1);
        STEP(s6, a2, 2);
        STEP(s7, a3, 3);
    }
#undef STEP
    const Float4 sum = ((s0 + s1) + (s2 + s3)) + ((s4 + s5) + (s6 + s7));
    return (sum[0] + sum[1]) + (sum[2] + sum[3]);
}

}  // namespace

extern "C" const tb_probe_table tb_probes_scalar = {
    "scalar", TB_ISA_SCALAR, read, dot,      kDotMacs,     "compiled C", lookup, kLookupChains,
    16,       "byte load",   fma,  kFmaMacs, "compiled C", nullptr,      0};
