/* Byte-code dot products with AVX-VNNI: the 256-bit vpdpbusd of processors without AVX-512 (u8
 * codes x s8 activations, four products added to an int32 lane, no saturation).
 *
 * The instruction has two encodings: VEX (AVX-VNNI) and EVEX (AVX-512 VNNI with VL). They compute
 * the same, so a build with TB_VNNI_EVEX proves these kernels on processors that have only the
 * second; tests/CMakeLists.txt makes one. dot4 is the only place that knows.
 *
 * A tile of 4 rows x 2 tokens holds 8 sums and 3 operands in the 16 registers and does 8 vpdpbusd
 * for 6 loads. Codes are at most 2: an int32 lane is safe for K < 2^23. Static: see epilogue.h.
 * Include only from AVX-VNNI files. */
#ifndef TRITBENCH_KERNELS_DOT_AVXVNNI_H
#define TRITBENCH_KERNELS_DOT_AVXVNNI_H

#include <immintrin.h>
#include <stdint.h>

#include "kernels/dot/avx2.h"

namespace {

// acc += codes . x, four products a lane. As an instruction and not as the intrinsic: see
// avx512vnni.h.
inline void dot4(__m256i& acc, __m256i codes, __m256i x) {
#ifdef TB_VNNI_EVEX
    asm("%{evex%} vpdpbusd %2, %1, %0" : "+v"(acc) : "v"(codes), "v"(x));
#else
    asm("%{vex%} vpdpbusd %2, %1, %0" : "+x"(acc) : "x"(codes), "x"(x));
#endif
}

// Load: as Avx2Tile has it.
template <class Load>
struct AvxVnniTile {
    template <int R, int T, bool Prefetch>
    static void small(const uint8_t* c, int64_t ldc, const int8_t* x, int64_t ldx, int64_t k,
                      int32_t* out, int64_t ldo) {
        __m256i acc[R][T];
        TB_UNROLL
        for (int r = 0; r < R; ++r) {
            TB_UNROLL
            for (int t = 0; t < T; ++t) acc[r][t] = _mm256_setzero_si256();
        }
        for (; k >= 32; k -= 32, c += 32, x += 32) {
            __m256i xs[T];
            TB_UNROLL
            for (int t = 0; t < T; ++t) xs[t] = load32(x + t * ldx);
            TB_UNROLL
            for (int r = 0; r < R; ++r) {
                if (Prefetch) fetch_ahead(c + r * ldc);
                const __m256i codes = Load::codes(c + r * ldc);
                TB_UNROLL
                for (int t = 0; t < T; ++t) dot4(acc[r][t], codes, xs[t]);
            }
        }
        if (k > 0) {
            TB_UNROLL
            for (int r = 0; r < R; ++r) {
                const __m256i codes = Load::tail(c + r * ldc, k);
                TB_UNROLL
                for (int t = 0; t < T; ++t) dot4(acc[r][t], codes, load32(x + t * ldx));
            }
        }
        TB_UNROLL
        for (int r = 0; r < R; ++r) sum_each<T>(acc[r], out + r * ldo);
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
