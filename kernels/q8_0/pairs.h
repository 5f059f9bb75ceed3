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

struct PairCodes {
    __m256i dwords[8];  // dword i of the 8 blocks
};

inline PairCodes pair_codes(const uint8_t* chunk) {
    PairCodes c;
    transpose<Q80::kBytes>(chunk + 2, c.dwords);
    transpose<Q80::kBytes>(chunk + 18, c.dwords + 4);
    return c;
}

// w x = (w with the sign of x) |x|, and |-128| = 128 as an unsigned byte.
inline __m256i pair_products(__m256i w, __m256i x) {
    const __m256i pairs = _mm256_maddubs_epi16(_mm256_abs_epi8(x), _mm256_sign_epi8(w, x));
    return _mm256_madd_epi16(pairs, _mm256_set1_epi16(1));
}

inline __m256i pair_sums(const PairCodes& c, const tb_block32_chunk& x) {
    __m256i sum = _mm256_setzero_si256();
    TB_UNROLL
    for (int j = 0; j < 4; ++j) {
        const __m256i two =
            _mm256_add_epi32(pair_products(c.dwords[j], load32(x.q[2 * j])),
                             pair_products(c.dwords[j + 4], load32(x.q[2 * j + 1])));
        sum = _mm256_add_epi32(sum, two);
    }
    return sum;
}

}  // namespace

#endif
