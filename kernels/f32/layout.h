/* The layout `f32`: IEEE single precision, row-major (float/layout.h), the bytes of a GGUF F32
 * tensor. 32 bits per weight and nothing rounded: what a model costs before anybody quantises it.
 *
 *   31 | 30 .. 23 | 22 .. 0
 *   sign exponent   fraction */
#ifndef TRITBENCH_KERNELS_F32_LAYOUT_H
#define TRITBENCH_KERNELS_F32_LAYOUT_H

#include "kernels/float/layout.h"

namespace {

struct F32 {
    using Weight = float;
    static constexpr const char* kLayout = "f32";
    static constexpr const char* kSource = "IEEE 754 binary32";
    static constexpr double kRounding = 0;

    static Weight encode(float value) { return value; }
    static float decode(Weight weight) { return weight; }
};

}  // namespace

#endif
