/* The digits of packed bytes with AVX-512: what the exact and the published kernel share.
 *
 * In the order of the columns: the 13 bytes of a block are spread over 64, the even ones in the
 * high bytes of the words of one register, the odd ones of another; vpmullw by 3^(4 - digit) brings
 * a trit to the point and vpmulhuw by 3 over it: 7 instructions for 64 weights. Static: see
 * dot/epilogue.h. Include only from AVX-512 VBMI files. */
#ifndef TRITBENCH_KERNELS_IQ1_BN_DIGITS512_H
#define TRITBENCH_KERNELS_IQ1_BN_DIGITS512_H

#include <immintrin.h>

#include "kernels/iq1_bn/layout.h"

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

struct SpreadTables {
    alignas(64) uint8_t spread[2][64];     // of each even, odd column, the packed byte
    alignas(64) uint16_t multiply[2][32];  // and 3^(4 - digit)

    constexpr SpreadTables() : spread(), multiply() {
        for (int c = 0; c < 64; ++c) {
            spread[c % 2][c | 1] = static_cast<uint8_t>(iq1_bn_byte(c));
            multiply[c % 2][c / 2] = iq1_bn_power(c);
        }
    }
};

constexpr SpreadTables kSpreadTables;

// The codes of blocks, in the order of the columns.
struct Spread {
    const __m512i even = _mm512_load_si512(kSpreadTables.spread[0]);
    const __m512i odd = _mm512_load_si512(kSpreadTables.spread[1]);
    const __m512i times_even = _mm512_load_si512(kSpreadTables.multiply[0]);
    const __m512i times_odd = _mm512_load_si512(kSpreadTables.multiply[1]);

    __m512i codes(const uint8_t* block) const {
        constexpr __mmask64 kHigh = 0xaaaaaaaaaaaaaaaa;
        const __m512i u =
            _mm512_zextsi128_si512(_mm_maskz_loadu_epi8((1 << Iq1Bn::kBlockBytes) - 1, block));
        const __m512i v = _mm512_mullo_epi16(_mm512_maskz_permutexvar_epi8(kHigh, even, u),  //
                                             times_even);
        const __m512i w = _mm512_mullo_epi16(_mm512_maskz_permutexvar_epi8(kHigh, odd, u),  //
                                             times_odd);
        const __m512i low = _mm512_mulhi_epu16(v, _mm512_set1_epi16(3));
        const __m512i high = _mm512_mulhi_epu16(w, _mm512_set1_epi16(3 * 256));
        return _mm512_ternarylogic_epi64(low, high, _mm512_set1_epi16(static_cast<short>(0xff00)),
                                         0xf8);  // low | (high & mask)
    }
};

}  // namespace

#endif
