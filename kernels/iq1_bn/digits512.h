/* The digits of packed bytes with AVX-512: what the exact and the published kernel share.
 * Static: see dot/epilogue.h. Include only from AVX-512 VBMI files. */
#ifndef TRITBENCH_KERNELS_IQ1_BN_DIGITS512_H
#define TRITBENCH_KERNELS_IQ1_BN_DIGITS512_H

#include <immintrin.h>

namespace {

// Clang must not see that three of these are a multiplication by 27: it would do that in 16 bits.
inline __m512i times_three(__m512i v) {
    asm("" : "+v"(v));
    return _mm512_add_epi8(_mm512_add_epi8(v, v), v);
}

// The code of the digit at the point: (v > 85) + (v > 170).
inline __m512i digit_codes(__m512i v) {
    const __m512i third = _mm512_set1_epi8(85), one = _mm512_set1_epi8(1);
    const __m512i above = _mm512_subs_epu8(v, third);
    return _mm512_add_epi8(_mm512_min_epu8(above, one),
                           _mm512_min_epu8(_mm512_subs_epu8(above, third), one));
}

}  // namespace

#endif
