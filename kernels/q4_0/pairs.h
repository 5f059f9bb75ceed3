/* q4_0 with vpmaddubsw (u8 codes x s8 activations, two products to an int16 lane), for the ISAs
 * without a dot product of four: see avx2.cpp.
 *
 * Overflow: a lane adds 8 times two products of 15 * 128: 30720 fits int16.
 * Static: see dot/epilogue.h. */
#ifndef TRITBENCH_KERNELS_Q4_0_PAIRS_H
#define TRITBENCH_KERNELS_Q4_0_PAIRS_H

#include "kernels/blocks/lanes.h"
#include "kernels/q4_0/layout.h"

namespace {

struct PairCodes {
    __m256i dwords[4];  // dword j of the 8 blocks: low nibbles dword j of the columns, high 4 + j
};

inline PairCodes pair_codes(const uint8_t* chunk) {
    PairCodes c;
    transpose<Q40::kBytes>(chunk + 2, c.dwords);
    return c;
}

inline __m256i pair_sums(const PairCodes& c, const tb_block32_chunk& x) {
    const __m256i mask = _mm256_set1_epi8(0x0f);
    __m256i sum[4];
    TB_UNROLL
    for (int j = 0; j < 4; ++j) {
        const __m256i low = _mm256_and_si256(c.dwords[j], mask);
        const __m256i high = _mm256_and_si256(_mm256_srli_epi16(c.dwords[j], 4), mask);
        sum[j] = _mm256_add_epi16(_mm256_maddubs_epi16(low, load32(x.q[2 * j])),
                                  _mm256_maddubs_epi16(high, load32(x.q[2 * j + 1])));
    }
    const __m256i all =
        _mm256_add_epi16(_mm256_add_epi16(sum[0], sum[1]), _mm256_add_epi16(sum[2], sum[3]));
    return _mm256_sub_epi32(_mm256_madd_epi16(all, _mm256_set1_epi16(1)),
                            _mm256_slli_epi32(block_sums(x), 3));
}

}  // namespace

#endif
