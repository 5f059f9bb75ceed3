/* Panels with AVX2: vpmaddubsw (u8 codes x s8 activations -> int16 sums of two products).
 *
 * A 64-byte register of the layout is two halves of 8 lanes here. The activations of 4 columns are
 * one broadcast dword, so a lane holds two int16 sums of its row, and vpmaddwd with ones adds them
 * into the int32 sum of the row.
 *
 * Overflow: a byte of at most c gives sums from c * 2 * -128 to c * 2 * 127, and n of them added
 * stay within int16 when c * n <= 128 (128 * 2 * -128 = -32768 exactly). safe_steps(c) is that n.
 * vpmaddubsw itself saturates beyond c = 128.
 *
 * Static: see dot/epilogue.h. Include only from AVX2 files. */
#ifndef TRITBENCH_KERNELS_LANES_AVX2_H
#define TRITBENCH_KERNELS_LANES_AVX2_H

#include <immintrin.h>

#include "kernels/dot/unroll.h"
#include "kernels/lanes/codes.h"

namespace {

constexpr int64_t safe_steps(int largest_byte) {
    return 128 / largest_byte;
}

inline __m256i load32(const void* p) {
    return _mm256_loadu_si256(static_cast<const __m256i*>(p));
}

// Four activations for every lane.
inline __m256i broadcast4(const int8_t* x) {
    int32_t four;
    memcpy(&four, x, sizeof four);
    return _mm256_set1_epi32(four);
}

// sum += bytes . x
inline void dot2(__m256i& sum, __m256i bytes, __m256i x) {
    sum = _mm256_add_epi16(sum, _mm256_maddubs_epi16(bytes, x));
}

// wide += the int32 sums of the int16 pairs
inline void flush(__m256i& wide, __m256i sum) {
    wide = _mm256_add_epi32(wide, _mm256_madd_epi16(sum, _mm256_set1_epi16(1)));
}

}  // namespace

#endif
