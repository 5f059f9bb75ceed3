/* The Core (lanes/panels.h) of i2r for AVX-VNNI: a panel and one token. avxvnni.cpp says what it
 * costs. i2c, whose lines become steps of i2r, uses it too. Static: see dot/epilogue.h. Include
 * only from AVX-VNNI files. */
#ifndef TRITBENCH_KERNELS_I2R_CORE_AVXVNNI_H
#define TRITBENCH_KERNELS_I2R_CORE_AVXVNNI_H

#include "kernels/lanes/avxvnni.h"

namespace {

struct Core {
    static constexpr int kStreams = 1;  // a panel is contiguous; two would not fit the registers
    static constexpr int64_t kFewTokens = 16;

    template <bool Prefetch>
    static void panel(const uint8_t* p, const int8_t* x, int64_t steps, int32_t* sums) {
        const __m256i mask[3] = {_mm256_set1_epi8(0x03), _mm256_set1_epi8(0x0c),
                                 _mm256_set1_epi8(0x30)};
        __m256i whole[2], field[2][3];
        TB_UNROLL
        for (int h = 0; h < 2; ++h) {
            whole[h] = _mm256_setzero_si256();
            TB_UNROLL
            for (int f = 0; f < 3; ++f) field[h][f] = _mm256_setzero_si256();
        }
        for (; steps != 0; --steps, p += 64, x += 4) {
            if (Prefetch) fetch_ahead(p);
            const __m256i four = broadcast4(x);
            TB_UNROLL
            for (int h = 0; h < 2; ++h) {
                const __m256i v = load32(p + 32 * h);
                dot4(whole[h], v, four);
                TB_UNROLL
                for (int f = 0; f < 3; ++f) dot4(field[h][f], _mm256_and_si256(v, mask[f]), four);
            }
        }
        TB_UNROLL
        for (int h = 0; h < 2; ++h) {
            int32_t* to = sums + 8 * h;
            TB_UNROLL
            for (int f = 0; f < 3; ++f) {
                store32(to + 16 * f, _mm256_srai_epi32(field[h][f], 2 * f));
                whole[h] = _mm256_sub_epi32(whole[h], field[h][f]);
            }
            store32(to + 48, _mm256_srai_epi32(whole[h], 6));
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
