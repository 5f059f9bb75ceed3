/* What AVX-512 adds to lanes.h, still on 256-bit vectors: the half-precision scales of 8 blocks by
 * vpermt2w. Static: see dot/epilogue.h. Include only from AVX-512 files. */
#ifndef TRITBENCH_KERNELS_BLOCKS_AVX512_H
#define TRITBENCH_KERNELS_BLOCKS_AVX512_H

#include "kernels/blocks/lanes.h"

namespace {

// Four words at the given distances (in words, below 64) from p.
inline __m128i gather_words(const uint8_t* p, int a, int b, int c, int d, int e, int f, int g,
                            int h) {
    const __m512i index = _mm512_castsi128_si512(
        _mm_setr_epi16(static_cast<int16_t>(a), static_cast<int16_t>(b), static_cast<int16_t>(c),
                       static_cast<int16_t>(d), static_cast<int16_t>(e), static_cast<int16_t>(f),
                       static_cast<int16_t>(g), static_cast<int16_t>(h)));
    return _mm512_castsi512_si128(
        _mm512_permutex2var_epi16(_mm512_loadu_si512(p), index, _mm512_loadu_si512(p + 64)));
}

// q4_0: 18 bytes apart, all within 128 bytes.
inline __m256 scales_18_bytes_apart(const uint8_t* p) {
    return _mm256_cvtph_ps(gather_words(p, 0, 9, 18, 27, 36, 45, 54, 63));
}

// q8_0: 34 bytes apart, four within 128 bytes and four within the next.
inline __m256 scales_34_bytes_apart(const uint8_t* p) {
    const __m128i low = gather_words(p, 0, 17, 34, 51, 0, 0, 0, 0);
    const __m128i high = gather_words(p + 128, 4, 21, 38, 55, 0, 0, 0, 0);
    return _mm256_cvtph_ps(_mm_unpacklo_epi64(low, high));
}

}  // namespace

#endif
