/* i2r to byte codes with 256-bit registers, for the GEMM of lanes/avx2.h and lanes/avxvnni.h, one
 * of which is included before it. Static: see dot/epilogue.h. */
#ifndef TRITBENCH_KERNELS_I2R_UNPACK256_H
#define TRITBENCH_KERNELS_I2R_UNPACK256_H

#include "kernels/i2r/layout.h"
#include "kernels/lanes/avx2.h"

namespace {

struct Unpack {
    static void step(const uint8_t* bytes, uint8_t* codes) {
        const __m256i field = _mm256_set1_epi8(0x03);
        TB_UNROLL
        for (int h = 0; h < 2; ++h) {
            const __m256i v = load32(bytes + 32 * h);
            uint8_t* to = codes + 32 * h;
            store32(to, _mm256_and_si256(v, field));
            store32(to + kFieldBytes, _mm256_and_si256(_mm256_srli_epi16(v, 2), field));
            store32(to + 2 * kFieldBytes, _mm256_and_si256(_mm256_srli_epi16(v, 4), field));
            store32(to + 3 * kFieldBytes, _mm256_and_si256(_mm256_srli_epi16(v, 6), field));
        }
    }
};

}  // namespace

#endif
