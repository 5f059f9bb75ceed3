/* The Decoder (lanes/tile512.h) of a step of i2r: the register as it is and three fields under
 * masks; avx512vnni.cpp says what that costs. i2c, whose lines become steps of i2r, uses it too.
 * Static: see dot/epilogue.h. Include only from AVX-512 VNNI files. */
#ifndef TRITBENCH_KERNELS_I2R_DECODER512_H
#define TRITBENCH_KERNELS_I2R_DECODER512_H

#include "kernels/lanes/avx512vnni.h"

#include "kernels/i2r/layout.h"

namespace {

struct Decoder {
    static constexpr int kFields = Format::kFields, kStepBytes = Format::kStepBytes;
    static constexpr int kOperands = 4, kQuads = 1, kTokens = 6, kDirectTokens = 64;
    static constexpr bool kFetches = false;

    struct Constants {
        __m512i mask[3] = {_mm512_set1_epi8(0x03), _mm512_set1_epi8(0x0c), _mm512_set1_epi8(0x30)};
    };

    template <int>
    static void operands(const uint8_t* step, const Constants& c, __m512i (&o)[4]) {
        o[0] = _mm512_loadu_si512(step);
        TB_UNROLL
        for (int f = 0; f < 3; ++f) o[f + 1] = _mm512_and_si512(o[0], c.mask[f]);
    }

    static void combine(const __m512i (&sums)[4], __m512i (&rows)[4]) {
        const __m512i known = _mm512_add_epi32(_mm512_add_epi32(sums[1], sums[2]), sums[3]);
        rows[0] = sums[1];
        rows[1] = _mm512_srai_epi32(sums[2], 2);
        rows[2] = _mm512_srai_epi32(sums[3], 4);
        rows[3] = _mm512_srai_epi32(_mm512_sub_epi32(sums[0], known), 6);
    }
};

}  // namespace

#endif
