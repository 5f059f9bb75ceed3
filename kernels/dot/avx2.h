/* Byte-code dot products with AVX2: vpmaddubsw (u8 codes x s8 activations -> int16 pairs).
 *
 * Overflow: codes are at most 2, so a pair is within 2 * 2 * 128 = 512, and 63 of them added in
 * int16 stay within 32256 (activations of -128 included); then vpmaddwd widens to int32.
 *
 * A product of 32 columns is one vpmaddubsw and one vpaddw. A tile of 4 rows x 2 tokens holds 8
 * sums and 4 operands in the 16 registers and does 8 products for 6 loads, so that the two
 * multipliers are the bound, not the loads. Static: see epilogue.h. Include only from AVX2 files.
 */
#ifndef TRITBENCH_KERNELS_DOT_AVX2_H
#define TRITBENCH_KERNELS_DOT_AVX2_H

#include <immintrin.h>
#include <stdint.h>

#include "kernels/dot/prefetch.h"
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

// out[i] = the sum of the lanes of v[i]; four together share their additions.
template <int R>
inline void sum_each(const __m256i (&v)[R], int32_t* out) {
    if constexpr (R == 4) {
        const __m256i s = _mm256_hadd_epi32(_mm256_hadd_epi32(v[0], v[1]),  //
                                            _mm256_hadd_epi32(v[2], v[3]));
        _mm_storeu_si128(reinterpret_cast<__m128i*>(out),
                         _mm_add_epi32(_mm256_castsi256_si128(s), _mm256_extracti128_si256(s, 1)));
    } else {
        TB_UNROLL
        for (int i = 0; i < R; ++i) out[i] = sum_lanes(v[i]);
    }
}

// acc += codes . x in int16, two products a lane. As instructions and not as intrinsics, because
// GCC 12 runs out of registers when it orders the intrinsics of a tile to its own liking.
inline void multiply_add(__m256i& acc, __m256i codes, __m256i x) {
    __m256i pairs;
    asm("vpmaddubsw %3, %2, %1\n\tvpaddw %1, %0, %0"
        : "+x"(acc), "=&x"(pairs)
        : "x"(codes), "x"(x));
}

// The same with x in memory, for code that uses each x once: codes are overwritten.
inline void multiply_add(__m256i& acc, __m256i codes, const int8_t* x) {
    asm("vpmaddubsw %2, %1, %1\n\tvpaddw %1, %0, %0"
        : "+x"(acc), "+x"(codes)
        : "m"(*reinterpret_cast<const __m256i*>(x)));
}

// Load: codes(p) makes 32 bytes of a packed row codes; tail(p, left) does so with the `left` < 32
// bytes that the row ends with, and is never called for rows of whole registers.
template <class Load>
struct Avx2Tile {
    static constexpr int64_t kSafeSteps = 63;

    // sums[r][t] += over 32 * steps columns, steps <= kSafeSteps.
    template <int R, int T, bool Prefetch>
    static void whole_steps(const uint8_t* c, int64_t ldc, const int8_t* x, int64_t ldx,
                            int64_t steps, __m256i (&sums)[R][T]) {
        __m256i narrow[R][T];
        TB_UNROLL
        for (int r = 0; r < R; ++r) {
            TB_UNROLL
            for (int t = 0; t < T; ++t) narrow[r][t] = _mm256_setzero_si256();
        }
        for (; steps != 0; --steps, c += 32, x += 32) {
            __m256i xs[T];
            TB_UNROLL
            for (int t = 0; t < T; ++t) xs[t] = load32(x + t * ldx);
            TB_UNROLL
            for (int r = 0; r < R; ++r) {
                if (Prefetch) fetch_ahead(c + r * ldc);
                const __m256i codes = Load::codes(c + r * ldc);
                TB_UNROLL
                for (int t = 0; t < T; ++t) multiply_add(narrow[r][t], codes, xs[t]);
            }
        }
        widen(narrow, sums);
    }

    template <int R, int T>
    static void widen(const __m256i (&narrow)[R][T], __m256i (&sums)[R][T]) {
        const __m256i ones = _mm256_set1_epi16(1);
        TB_UNROLL
        for (int r = 0; r < R; ++r) {
            TB_UNROLL
            for (int t = 0; t < T; ++t) {
                sums[r][t] = _mm256_add_epi32(sums[r][t], _mm256_madd_epi16(narrow[r][t], ones));
            }
        }
    }

    template <int R, int T, bool Prefetch>
    static void small(const uint8_t* c, int64_t ldc, const int8_t* x, int64_t ldx, int64_t k,
                      int32_t* out, int64_t ldo) {
        __m256i sums[R][T];
        TB_UNROLL
        for (int r = 0; r < R; ++r) {
            TB_UNROLL
            for (int t = 0; t < T; ++t) sums[r][t] = _mm256_setzero_si256();
        }
        for (int64_t steps = k / 32; steps > 0; steps -= kSafeSteps) {
            const int64_t count = steps < kSafeSteps ? steps : kSafeSteps;
            whole_steps<R, T, Prefetch>(c, ldc, x, ldx, count, sums);
            c += count * 32;
            x += count * 32;
        }
        if (k % 32 != 0) {
            __m256i narrow[R][T];
            TB_UNROLL
            for (int r = 0; r < R; ++r) {
                const __m256i codes = Load::tail(c + r * ldc, k % 32);
                TB_UNROLL
                for (int t = 0; t < T; ++t) {
                    narrow[r][t] = _mm256_maddubs_epi16(codes, load32(x + t * ldx));
                }
            }
            widen(narrow, sums);
        }
        TB_UNROLL
        for (int r = 0; r < R; ++r) sum_each<T>(sums[r], out + r * ldo);
    }

    template <int R, int T, bool Prefetch = false>
    static void run(const uint8_t* c, int64_t ldc, const int8_t* x, int64_t ldx, int64_t k,
                    int32_t (&out)[R][T]) {
        if constexpr (T > 2) {  // no more tokens at once than there are registers for
            small<R, 2, Prefetch>(c, ldc, x, ldx, k, out[0], T);
            small<R, T - 2, Prefetch>(c, ldc, x + 2 * ldx, ldx, k, out[0] + 2, T);
        } else {
            small<R, T, Prefetch>(c, ldc, x, ldx, k, out[0], T);
        }
    }
};

}  // namespace

#endif
