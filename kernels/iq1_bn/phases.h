/* IQ1_BN as published (trit_blocks/phase.h): which bytes of a block share a phase.
 *
 * Column 16i + 5b + j, i = 0..3, b = 0..2, is digit j of byte 3i + b, and of phase (5b + j) / 4,
 * whatever i is; columns 15, 31, 47, 63, the digits of byte 12, are all of phase 3. So the bytes of
 * a block are put into four 32-bit lanes of four bytes,
 *
 *   lane 0: bytes 0, 3, 6, 9      1: 1, 4, 7, 10      2: 2, 5, 8, 11      3: 12, and three of
 * nobody
 *
 * and then the products of a digit with a lane are of one phase:
 *
 *   digit       0  1  2  3  4
 *   lane 0      0  0  0  0  1
 *   lane 1      1  1  1  2  2
 *   lane 2      2  2  3  3  3
 *   lane 3      3  3  3  3  -
 *
 * Digits 0 and 1 are added up together, the others alone: four sums a row.
 * Static: see dot/epilogue.h. Include only from files of AVX2 and up. */
#ifndef TRITBENCH_KERNELS_IQ1_BN_PHASES_H
#define TRITBENCH_KERNELS_IQ1_BN_PHASES_H

#include <immintrin.h>

#include "kernels/iq1_bn/layout.h"
#include "kernels/trit_blocks/phase.h"

namespace {

constexpr int kPhaseSumsOfRow = 4;

constexpr int phase_sum_of(int digit) {
    return digit < 2 ? 0 : digit - 1;
}
// Where byte b of a block is among 16.
struct PhaseSlot {
    static constexpr int of(int b) { return b < 12 ? b % 3 * 4 + b / 3 : 12; }
};

// The four phases, from the four sums in both halves: lanes go to where the table above says.
inline __m128i phases_of(const __m256i (&sum)[kPhaseSumsOfRow]) {
    const __m256i two = _mm256_broadcastsi128_si256(
        _mm_setr_epi8(0, 1, 2, 3, 4, 5, 6, 7, -1, -1, -1, -1, 8, 9, 10, 11));
    const __m256i three = _mm256_broadcastsi128_si256(
        _mm_setr_epi8(0, 1, 2, 3, -1, -1, -1, -1, 4, 5, 6, 7, 8, 9, 10, 11));
    const __m256i of_two = _mm256_shuffle_epi8(sum[1], two);
    const __m256i of_three = _mm256_shuffle_epi8(sum[2], three);
    const __m256i of_four = _mm256_slli_si256(sum[3], 4);
    const __m256i last =
        _mm256_blend_epi32(_mm256_setzero_si256(), _mm256_add_epi32(sum[1], sum[2]), 0x88);
    const __m256i all = _mm256_add_epi32(_mm256_add_epi32(_mm256_add_epi32(sum[0], of_two), last),
                                         _mm256_add_epi32(of_three, of_four));
    return _mm_add_epi32(_mm256_castsi256_si128(all), _mm256_extracti128_si256(all, 1));
}

}  // namespace

#endif
