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

#include "kernels/dot/unroll.h"

namespace {

// acc += codes . x, four products a lane. As an instruction and not as the intrinsic, because GCC
// 12 copies and spills the accumulators of the intrinsic around every use (clang does not); tying
// the register keeps a tile of 16 in registers under both.
inline void dot4(__m512i& acc, __m512i codes, __m512i x) {
    asm("vpdpbusd %2, %1, %0" : "+v"(acc) : "v"(codes), "v"(x));
}

// Load: how 64 bytes of a packed row become codes.
template <class Load>
struct Avx512VnniTile {
    template <int R, int T>
    static void run(const uint8_t* c, int64_t ldc, const int8_t* x, int64_t ldx, int64_t k,
                    int32_t out[R][T]) {
        __m512i acc[R][T];
        TB_UNROLL
        for (int r = 0; r < R; ++r) {
            TB_UNROLL
            for (int t = 0; t < T; ++t) acc[r][t] = _mm512_setzero_si512();
        }
        for (int64_t i = 0; i < k; i += 64) {
            __m512i xs[T];
            TB_UNROLL
            for (int t = 0; t < T; ++t) xs[t] = _mm512_loadu_si512(x + t * ldx + i);
            TB_UNROLL
            for (int r = 0; r < R; ++r) {
                const __m512i codes = Load::codes(c + r * ldc + i, k - i);
                TB_UNROLL
                for (int t = 0; t < T; ++t) dot4(acc[r][t], codes, xs[t]);
            }
        }
        TB_UNROLL
        for (int r = 0; r < R; ++r) {
            TB_UNROLL
            for (int t = 0; t < T; ++t) out[r][t] = _mm512_reduce_add_epi32(acc[r][t]);
        }
    }
};

}  // namespace

#endif
