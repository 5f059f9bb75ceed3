/* Byte-code dot products with AVX-512 VNNI: vpdpbusd (u8 codes x s8 activations, four products
 * added to an int32 lane, no saturation).
 *
 * A 4 x 4 tile holds 16 accumulators and 8 operands of the 32 registers, and does 16 vpdpbusd for 8
 * loads, so that the two dot-product ports are the bound, not the loads. Codes are at most 2: an
 * int32 lane is safe for K < 2^23. Static: see epilogue.h. Include only from AVX-512 VNNI files. */
#ifndef TRITBENCH_KERNELS_DOT_AVX512VNNI_H
#define TRITBENCH_KERNELS_DOT_AVX512VNNI_H

#include <immintrin.h>
#include <stdint.h>

#include "kernels/dot/prefetch.h"
#include "kernels/dot/unroll.h"

namespace {

// acc += codes . x, four products a lane. As an instruction and not as the intrinsic, because GCC
// 12 copies and spills the accumulators of the intrinsic around every use (clang does not); tying
// the register keeps a tile of 16 in registers under both.
inline void dot4(__m512i& acc, __m512i codes, __m512i x) {
    asm("vpdpbusd %2, %1, %0" : "+v"(acc) : "v"(codes), "v"(x));
}

// out[i] = the sum of the 16 lanes of v[i]. Four together cost 9 shuffles where four times one cost
// 16: lanes of different vectors are brought side by side, then added.
template <int R>
inline void sum_each(const __m512i (&v)[R], int32_t* out) {
    if constexpr (R == 4) {
        const __m512i a =
            _mm512_add_epi32(_mm512_unpacklo_epi32(v[0], v[1]), _mm512_unpackhi_epi32(v[0], v[1]));
        const __m512i b =
            _mm512_add_epi32(_mm512_unpacklo_epi32(v[2], v[3]), _mm512_unpackhi_epi32(v[2], v[3]));
        const __m512i c =
            _mm512_add_epi32(_mm512_unpacklo_epi64(a, b), _mm512_unpackhi_epi64(a, b));
        const __m256i d =
            _mm256_add_epi32(_mm512_castsi512_si256(c), _mm512_extracti64x4_epi64(c, 1));
        const __m128i e = _mm_add_epi32(_mm256_castsi256_si128(d), _mm256_extracti128_si256(d, 1));
        _mm_storeu_si128(reinterpret_cast<__m128i*>(out), e);
    } else {
        TB_UNROLL
        for (int i = 0; i < R; ++i) out[i] = _mm512_reduce_add_epi32(v[i]);
    }
}

// Load: codes(p) makes 64 bytes of a packed row codes; tail(p, left) does so with the `left` < 64
// bytes that the row ends with, and is never called for rows of whole registers.
template <class Load>
struct Avx512VnniTile {
    template <int R, int T, bool Prefetch = false>
    static void run(const uint8_t* c, int64_t ldc, const int8_t* x, int64_t ldx, int64_t k,
                    int32_t (&out)[R][T]) {
        __m512i acc[R][T];
        TB_UNROLL
        for (int r = 0; r < R; ++r) {
            TB_UNROLL
            for (int t = 0; t < T; ++t) acc[r][t] = _mm512_setzero_si512();
        }
        for (; k >= 64; k -= 64, c += 64, x += 64) {
            __m512i xs[T];
            TB_UNROLL
            for (int t = 0; t < T; ++t) xs[t] = _mm512_loadu_si512(x + t * ldx);
            TB_UNROLL
            for (int r = 0; r < R; ++r) {
                if (Prefetch) fetch_ahead(c + r * ldc);
                const __m512i codes = Load::codes(c + r * ldc);
                TB_UNROLL
                for (int t = 0; t < T; ++t) dot4(acc[r][t], codes, xs[t]);
            }
        }
        if (k > 0) {
            TB_UNROLL
            for (int r = 0; r < R; ++r) {
                const __m512i codes = Load::tail(c + r * ldc, k);
                TB_UNROLL
                for (int t = 0; t < T; ++t) {
                    dot4(acc[r][t], codes, _mm512_loadu_si512(x + t * ldx));
                }
            }
        }
        TB_UNROLL
        for (int r = 0; r < R; ++r) sum_each<T>(acc[r], out[r]);
    }
};

}  // namespace

#endif
