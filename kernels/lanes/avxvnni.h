/* Panels with AVX-VNNI: the GEMM of lanes/avx2.h with vpdpbusd (u8 codes x s8 activations, four
 * products added to an int32 lane), so that nothing needs widening. Static: see dot/epilogue.h.
 * Include only from AVX-VNNI files. */
#ifndef TRITBENCH_KERNELS_LANES_AVXVNNI_H
#define TRITBENCH_KERNELS_LANES_AVXVNNI_H

#include "kernels/dot/avxvnni.h"
#include "kernels/lanes/avx2.h"

namespace {

// Sixteen rows x T tokens: 2 T sums, two registers of codes and one of activations, 11 of 16
// registers for T = 4; per step 6 loads for 8 vpdpbusd, which their two ports bind. Bytes of at
// most 2 over 512 columns, then added to the sums of at most 65536 columns: far from 2^31.
struct LanesAvxVnniTile {
    template <int T>
    __attribute__((noinline)) static void run(const uint8_t* codes, const int8_t* x, int64_t ldx,
                                              int64_t steps, int32_t* sums, int64_t ld) {
        __m256i acc[T][2];
        TB_UNROLL
        for (int t = 0; t < T; ++t) {
            acc[t][0] = load32(sums + t * ld);
            acc[t][1] = load32(sums + t * ld + 8);
        }
        for (int64_t k = 0; k < steps; ++k) {
            const __m256i low = load32(codes + k * 64);
            const __m256i high = load32(codes + k * 64 + 32);
            TB_UNROLL
            for (int t = 0; t < T; ++t) {
                const __m256i four = broadcast4(x + t * ldx + k * 4);
                dot4(acc[t][0], low, four);
                dot4(acc[t][1], high, four);
            }
        }
        TB_UNROLL
        for (int t = 0; t < T; ++t) {
            store32(sums + t * ld, acc[t][0]);
            store32(sums + t * ld + 8, acc[t][1]);
        }
    }
};

}  // namespace

#endif
