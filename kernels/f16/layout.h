/* The layout `f16`: IEEE half precision, row-major (float/layout.h), the bytes of a GGUF F16
 * tensor, the baseline that papers call FP16, and the usual type of embedding and LM head. 16 bits
 * per weight; beyond 65504 a weight becomes infinite, below 2^-14 it loses bits.
 *
 *   15 | 14 .. 10 | 9 .. 0
 *   sign exponent   fraction */
#ifndef TRITBENCH_KERNELS_F16_LAYOUT_H
#define TRITBENCH_KERNELS_F16_LAYOUT_H

#include "kernels/api/half.h"
#include "kernels/float/layout.h"

namespace {

struct F16 {
    using Weight = uint16_t;
    static constexpr const char* kLayout = "f16";
    static constexpr const char* kSource =
        "IEEE 754 binary16; the FP16 baseline of arXiv:2410.16144";
    static constexpr double kRounding = 0x1p-11;  // half a unit in the last of 11 bits

    static Weight encode(float value) { return tb_float_to_half(value); }
    static float decode(Weight weight) { return tb_half_to_float(weight); }
};

}  // namespace

#endif
