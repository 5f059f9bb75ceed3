/* q8_0 with vpmaddubsw (u8 x s8, two products to an int16 lane), for the ISAs without a dot product
 * of four: see avx2.cpp.
 *
 * Overflow: codes are within +-127 (layout.h), so two products of 127 * 128 fit int16: 32512.
 * Static: see dot/epilogue.h. */
#ifndef TRITBENCH_KERNELS_Q8_0_PAIRS_H
#define TRITBENCH_KERNELS_Q8_0_PAIRS_H

#include "kernels/blocks/lanes.h"
#include "kernels/q8_0/layout.h"

namespace {

// The first, or the second, 16 columns of the 8 blocks.
struct PairCodes {
    __m256i dwords[4];
};

inline PairCodes pair_codes(const uint8_t* chunk, int part) {
    PairCodes c;
    transpose<Q80::kBytes>(chunk + 2 + 16 * part, c.dwords);
    return c;
}

// w x = (w with the sign of x) |x|, and |-128| = 128 as an unsigned byte.
inline __m256i pair_products(__m256i w, __m256i x) {
    const __m256i pairs = _mm256_maddubs_epi16(_mm256_abs_epi8(x), _mm256_sign_epi8(w, x));
    return _mm256_madd_epi16(pairs, _mm256_set1_epi16(1));
}

inline __m256i pair_sums(const PairCodes& c, const tb_block32_chunk& x, int part) {
    __m256i sum[4];
    TB_UNROLL
    for (int j = 0; j < 4; ++j) {
        sum[j] = pair_products(c.dwords[j], load32(x.q[2 * j + part]));
    }
    return _mm256_add_epi32(_mm256_add_epi32(sum[0], sum[1]), _mm256_add_epi32(sum[2], sum[3]));
}

}  // namespace

#endif
