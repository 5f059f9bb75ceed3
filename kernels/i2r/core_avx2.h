/* The Core (lanes/panels.h) of i2r for AVX2: a panel and one token. avx2.cpp says what it costs.
 * i2c, whose lines become steps of i2r, uses it too. Static: see dot/epilogue.h. Include only from
 * AVX2 files. */
#ifndef TRITBENCH_KERNELS_I2R_CORE_AVX2_H
#define TRITBENCH_KERNELS_I2R_CORE_AVX2_H

#include "kernels/lanes/avx2.h"

namespace {

constexpr int64_t kNibbleSteps = 12;
constexpr int64_t kFieldSteps = 60;
static_assert(kNibbleSteps <= safe_steps(10) && kFieldSteps <= safe_steps(2));
static_assert(kFieldSteps % kNibbleSteps == 0);

struct Core {
    static constexpr int kStreams = 1;
    static constexpr int64_t kFewTokens = 7;

    // int32 sums of one half of a panel: of the nibbles and of their lower fields.
    struct Wide {
        __m256i low, high, field0, field2;
    };

    // At most kNibbleSteps steps; the sums of fields go on in int16.
    template <bool Prefetch>
    static void nibbles(const uint8_t* p, const int8_t* x, int64_t steps, __m256i field0[2],
                        __m256i field2[2], Wide wide[2]) {
        const __m256i nibble = _mm256_set1_epi8(0x0f);
        const __m256i field = _mm256_set1_epi8(0x03);
        __m256i low[2], high[2];
        TB_UNROLL
        for (int h = 0; h < 2; ++h) low[h] = high[h] = _mm256_setzero_si256();
        for (int64_t k = 0; k < steps; ++k, p += 64, x += 4) {
            if (Prefetch) fetch_ahead(p);
            const __m256i four = broadcast4(x);
            TB_UNROLL
            for (int h = 0; h < 2; ++h) {
                const __m256i v = load32(p + 32 * h);
                const __m256i u = _mm256_and_si256(_mm256_srli_epi16(v, 4), nibble);
                dot2(low[h], _mm256_and_si256(v, nibble), four);
                dot2(field0[h], _mm256_and_si256(v, field), four);
                dot2(high[h], u, four);
                dot2(field2[h], _mm256_and_si256(u, field), four);
            }
        }
        TB_UNROLL
        for (int h = 0; h < 2; ++h) {
            wide[h].low = widen(wide[h].low, low[h]);
            wide[h].high = widen(wide[h].high, high[h]);
        }
    }

    template <bool Prefetch>
    static void panel(const uint8_t* p, const int8_t* x, int64_t steps, int32_t* sums) {
        Wide wide[2];
        TB_UNROLL
        for (int h = 0; h < 2; ++h) {
            wide[h].low = wide[h].high = wide[h].field0 = wide[h].field2 = _mm256_setzero_si256();
        }
        for (int64_t k = 0; k < steps;) {
            __m256i field0[2], field2[2];
            TB_UNROLL
            for (int h = 0; h < 2; ++h) field0[h] = field2[h] = _mm256_setzero_si256();
            for (const int64_t end = at_most(k + kFieldSteps, steps); k < end; k += kNibbleSteps) {
                nibbles<Prefetch>(p + k * 64, x + k * 4, at_most(kNibbleSteps, end - k), field0,
                                  field2, wide);
            }
            TB_UNROLL
            for (int h = 0; h < 2; ++h) {
                wide[h].field0 = widen(wide[h].field0, field0[h]);
                wide[h].field2 = widen(wide[h].field2, field2[h]);
            }
        }
        for (int h = 0; h < 2; ++h) {
            const Wide& w = wide[h];
            int32_t* to = sums + 8 * h;
            store32(to, w.field0);
            store32(to + 16, _mm256_srai_epi32(_mm256_sub_epi32(w.low, w.field0), 2));
            store32(to + 32, w.field2);
            store32(to + 48, _mm256_srai_epi32(_mm256_sub_epi32(w.high, w.field2), 2));
        }
    }

    template <int S, bool Prefetch>
    static void run(const uint8_t* p, int64_t apart, const int8_t* x, int64_t steps,
                    int32_t* sums) {
        for (int s = 0; s < S; ++s) panel<Prefetch>(p + s * apart, x, steps, sums + s * 64);
    }
};

}  // namespace

#endif
