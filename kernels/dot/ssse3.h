/* Byte-code dot products with SSSE3: pmaddubsw (u8 codes x s8 activations -> int16 pairs), the
 * oldest instruction set that multiplies bytes.
 *
 * Overflow: as in avx2.h, 63 products of 16 columns between two widenings.
 *
 * A tile of 4 rows x 2 tokens holds 8 sums and 4 operands in the 16 registers. Static: see
 * epilogue.h. Include only from SSSE3 files. */
#ifndef TRITBENCH_KERNELS_DOT_SSSE3_H
#define TRITBENCH_KERNELS_DOT_SSSE3_H

#include <stdint.h>
#include <tmmintrin.h>

#include "kernels/dot/prefetch.h"
#include "kernels/dot/unroll.h"

namespace {

inline __m128i load16(const void* p) {
    return _mm_loadu_si128(static_cast<const __m128i*>(p));
}

// out[i] = the sum of the lanes of v[i]; four together share their additions.
template <int R>
inline void sum_each(const __m128i (&v)[R], int32_t* out) {
    if constexpr (R == 4) {
        _mm_storeu_si128(reinterpret_cast<__m128i*>(out),
                         _mm_hadd_epi32(_mm_hadd_epi32(v[0], v[1]), _mm_hadd_epi32(v[2], v[3])));
    } else {
        TB_UNROLL
        for (int i = 0; i < R; ++i) {
            const __m128i s = _mm_add_epi32(v[i], _mm_shuffle_epi32(v[i], 0x4e));
            out[i] = _mm_cvtsi128_si32(_mm_add_epi32(s, _mm_shuffle_epi32(s, 0xb1)));
        }
    }
}

// acc += codes . x in int16, two products a lane; codes are overwritten, x is in memory on a
// multiple of 16. As instructions: see avx2.h.
inline void multiply_add(__m128i& acc, __m128i codes, const int8_t* x) {
    asm("pmaddubsw %2, %1\n\tpaddw %1, %0"
        : "+x"(acc), "+x"(codes)
        : "m"(*reinterpret_cast<const __m128i*>(x)));
}

// Load: codes(p) makes 16 bytes of a row codes. Rows are whole registers.
template <class Load>
struct Ssse3Tile {
    static constexpr int64_t kSafeSteps = 63;

    template <int R, int T>
    static void small(const uint8_t* c, int64_t ldc, const int8_t* x, int64_t ldx, int64_t k,
                      int32_t* out, int64_t ldo) {
        const __m128i ones = _mm_set1_epi16(1);
        __m128i sums[R][T];
        TB_UNROLL
        for (int r = 0; r < R; ++r) {
            TB_UNROLL
            for (int t = 0; t < T; ++t) sums[r][t] = _mm_setzero_si128();
        }
        for (int64_t left = k / 16; left > 0; left -= kSafeSteps) {
            __m128i narrow[R][T];
            TB_UNROLL
            for (int r = 0; r < R; ++r) {
                TB_UNROLL
                for (int t = 0; t < T; ++t) narrow[r][t] = _mm_setzero_si128();
            }
            const int64_t steps = left < kSafeSteps ? left : kSafeSteps;
            for (const uint8_t* end = c + 16 * steps; c != end; c += 16, x += 16) {
                TB_UNROLL
                for (int r = 0; r < R; ++r) {
                    const __m128i codes = Load::codes(c + r * ldc);
                    TB_UNROLL
                    for (int t = 0; t < T; ++t) multiply_add(narrow[r][t], codes, x + t * ldx);
                }
            }
            TB_UNROLL
            for (int r = 0; r < R; ++r) {
                TB_UNROLL
                for (int t = 0; t < T; ++t) {
                    sums[r][t] = _mm_add_epi32(sums[r][t], _mm_madd_epi16(narrow[r][t], ones));
                }
            }
        }
        TB_UNROLL
        for (int r = 0; r < R; ++r) sum_each<T>(sums[r], out + r * ldo);
    }

    template <int R, int T, bool Prefetch = false>
    static void run(const uint8_t* c, int64_t ldc, const int8_t* x, int64_t ldx, int64_t k,
                    int32_t (&out)[R][T]) {
        if constexpr (T > 2) {  // no more tokens at once than there are registers for
            small<R, 2>(c, ldc, x, ldx, k, out[0], T);
            small<R, T - 2>(c, ldc, x + 2 * ldx, ldx, k, out[0] + 2, T);
        } else {
            small<R, T>(c, ldc, x, ldx, k, out[0], T);
        }
    }
};

}  // namespace

#endif
