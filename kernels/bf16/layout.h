/* The layout `bf16`: the upper half of an IEEE single, row-major (float/layout.h), the bytes of a
 * GGUF BF16 tensor and the type most models are published in. 16 bits per weight: the range of a
 * float, 8 bits of precision.
 *
 *   15 | 14 .. 7 | 6 .. 0
 *   sign exponent  fraction          float bits = weight << 16 */
#ifndef TRITBENCH_KERNELS_BF16_LAYOUT_H
#define TRITBENCH_KERNELS_BF16_LAYOUT_H

#include "kernels/float/layout.h"

namespace {

struct Bf16 {
    using Weight = uint16_t;
    static constexpr const char* kLayout = "bf16";
    static constexpr const char* kSource = "bfloat16 (arXiv:1905.12322)";
    static constexpr double kRounding = 0x1p-8;  // half a unit in the last of 8 bits

    // Adding just under half of the last bit kept, and that bit, rounds to nearest even and carries
    // into the exponent where it must, up to infinity. A NaN could carry into infinity, or lose its
    // only fraction bits: it is made quiet instead.
    static Weight encode(float value) {
        uint32_t bits;
        memcpy(&bits, &value, 4);
        const uint32_t nan = (bits >> 16) | 0x40U;
        const uint32_t rounded = (bits + 0x7fffU + ((bits >> 16) & 1U)) >> 16;
        return static_cast<Weight>((bits & 0x7fffffffU) > 0x7f800000U ? nan : rounded);
    }

    static float decode(Weight weight) {
        const uint32_t bits = static_cast<uint32_t>(weight) << 16;
        float value;
        memcpy(&value, &bits, 4);
        return value;
    }
};

}  // namespace

#endif
