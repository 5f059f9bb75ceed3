/* Byte-code dot products with AVX2: vpmaddubsw (u8 codes x s8 activations -> int16 pairs).
 *
 * Overflow: codes are at most 2, so a pair is within 2 * 2 * 128 = 512, and 63 of them added in
 * int16 stay within 32256 (activations of -128 included); then vpmaddwd widens to int32.
 * Static: see epilogue.h. Include only from AVX2 files. */
#ifndef TRITBENCH_KERNELS_DOT_AVX2_H
#define TRITBENCH_KERNELS_DOT_AVX2_H

#include <immintrin.h>
#include <stdint.h>
#include <string.h>

#include "kernels/dot/unroll.h"

namespace {

inline __m256i load32(const void* p) {
    return _mm256_loadu_si256(static_cast<const __m256i*>(p));
}

inline int32_t sum_lanes(__m256i v) {
    __m128i s = _mm_add_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
    s = _mm_add_epi32(s, _mm_shuffle_epi32(s, 0x4e));
    s = _mm_add_epi32(s, _mm_shuffle_epi32(s, 0xb1));
    return _mm_cvtsi128_si32(s);
}

// Load: how 32 bytes of a packed row become codes.
template <class Load>
struct Avx2Tile {
    // Two by two registers of int16, widened every 63 steps: 8 accumulators and 4 operands fit the
    // 16 registers, so a larger tile is done in parts.
    template <int R, int T>
    static void small(const uint8_t* c, int64_t ldc, const int8_t* x, int64_t ldx, int64_t k,
                      int32_t out[R][T]) {
        const __m256i ones = _mm256_set1_epi16(1);
        __m256i wide[R][T];
        TB_UNROLL
        for (int r = 0; r < R; ++r) {
            TB_UNROLL
            for (int t = 0; t < T; ++t) wide[r][t] = _mm256_setzero_si256();
        }
        for (int64_t begin = 0; begin < k; begin += 63 * 32) {
            const int64_t end = begin + 63 * 32 < k ? begin + 63 * 32 : k;
            __m256i narrow[R][T];
            TB_UNROLL
            for (int r = 0; r < R; ++r) {
                TB_UNROLL
                for (int t = 0; t < T; ++t) narrow[r][t] = _mm256_setzero_si256();
            }
            for (int64_t i = begin; i < end; i += 32) {
                __m256i xs[T];
                TB_UNROLL
                for (int t = 0; t < T; ++t) xs[t] = load32(x + t * ldx + i);
                TB_UNROLL
                for (int r = 0; r < R; ++r) {
                    const __m256i codes = Load::codes(c + r * ldc + i, k - i);
                    TB_UNROLL
                    for (int t = 0; t < T; ++t) {
                        narrow[r][t] =
                            _mm256_add_epi16(narrow[r][t], _mm256_maddubs_epi16(codes, xs[t]));
                    }
                }
            }
            TB_UNROLL
            for (int r = 0; r < R; ++r) {
                TB_UNROLL
                for (int t = 0; t < T; ++t) {
                    wide[r][t] =
                        _mm256_add_epi32(wide[r][t], _mm256_madd_epi16(narrow[r][t], ones));
                }
            }
        }
        TB_UNROLL
        for (int r = 0; r < R; ++r) {
            TB_UNROLL
            for (int t = 0; t < T; ++t) out[r][t] = sum_lanes(wide[r][t]);
        }
    }

    template <int R, int T>
    static void run(const uint8_t* c, int64_t ldc, const int8_t* x, int64_t ldx, int64_t k,
                    int32_t out[R][T]) {
        if constexpr (R == 4 && T == 4) {
            TB_UNROLL
            for (int r = 0; r < 4; r += 2) {
                TB_UNROLL
                for (int t = 0; t < 4; t += 2) {
                    int32_t part[2][2];
                    small<2, 2>(c + r * ldc, ldc, x + t * ldx, ldx, k, part);
                    for (int i = 0; i < 4; ++i) out[r + i / 2][t + i % 2] = part[i / 2][i % 2];
                }
            }
        } else {
            small<R, T>(c, ldc, x, ldx, k, out);
        }
    }
};

}  // namespace

#endif
