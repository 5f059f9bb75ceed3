/* The five trits of a byte that is a fraction in base 3 (TQ1_0, IQ1_BN), with AVX2.
 *
 * What multiplication by 9 carries out of a byte is two digits, 0 to 8, for which 16-byte tables
 * (vpshufb) hold both codes. vpmaddubsw multiplies every other byte by 9 and puts what carries out
 * in a byte of its own, beside what is left:
 *
 *   e = vpmaddubsw(v, {9, 0}), o = vpmaddubsw(v, {0, 9})      of even and odd bytes: carry, rest
 *   i = vpblendvb(e >> 8, o)                                  the carries in the order of the bytes
 *   code 0 = vpshufb(i / 3, i), code 1 = vpshufb(i % 3, i)
 *   e = vpmaddubsw(e, {9, 0}), ...                            the rests: codes 2 and 3 the same way
 *   e = vpmaddubsw(e, {3, 0}), ...                            and code 4, which carries out itself
 *
 * Tripling every byte and finding its code by two averages, a shift and a mask takes 28
 * instructions for five codes; this takes 16. v * 9 is at most 2295: no overflow.
 * Static: see dot/epilogue.h. Include only from AVX2 files. */
#ifndef TRITBENCH_KERNELS_TRIT_BLOCKS_DIGITS_AVX2_H
#define TRITBENCH_KERNELS_TRIT_BLOCKS_DIGITS_AVX2_H

#include "kernels/dot/avx2.h"

namespace {

inline __m256i table(__m128i t) {
    return _mm256_broadcastsi128_si256(t);
}

// Bytes on their way through multiplications: even and odd ones, each a pair of bytes.
struct Rest {
    __m256i even, odd;

    Rest(__m256i bytes, __m256i by_even, __m256i by_odd)
        : even(_mm256_maddubs_epi16(bytes, by_even)), odd(_mm256_maddubs_epi16(bytes, by_odd)) {}

    void multiply(__m256i by_even) {
        even = _mm256_maddubs_epi16(even, by_even);
        odd = _mm256_maddubs_epi16(odd, by_even);
    }
    // What was carried out, in the order of the bytes.
    __m256i carried() const {
        const __m256i odd_bytes = _mm256_set1_epi16(static_cast<int16_t>(0xff00));
        return _mm256_blendv_epi8(_mm256_srli_epi16(even, 8), odd, odd_bytes);
    }
};

// The digits of 32 bytes: take<0>(), ..., take<4>() in this order are their codes, the most
// significant first.
class Digits {
    Rest rest_;
    __m256i two_;

    static __m256i nine() { return _mm256_set1_epi16(9); }

  public:
    explicit Digits(__m256i bytes)
        : rest_(bytes, nine(), _mm256_set1_epi16(9 * 256)), two_(rest_.carried()) {}

    template <int I>
    __m256i take() {
        const __m256i upper = table(_mm_setr_epi8(0, 0, 0, 1, 1, 1, 2, 2, 2, 0, 0, 0, 0, 0, 0, 0));
        const __m256i lower = table(_mm_setr_epi8(0, 1, 2, 0, 1, 2, 0, 1, 2, 0, 0, 0, 0, 0, 0, 0));
        if (I == 2) {
            rest_.multiply(nine());
            two_ = rest_.carried();
        }
        if (I < 4) return _mm256_shuffle_epi8(I % 2 == 0 ? upper : lower, two_);
        rest_.multiply(_mm256_set1_epi16(3));
        return rest_.carried();
    }
};

}  // namespace

#endif
