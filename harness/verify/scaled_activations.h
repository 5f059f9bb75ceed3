// Int8 activations with several scales per token (TB_ACT_INT8_BLOCK, TB_ACT_INT8_PHASE) as the
// oracle derives them, and the oracle's product with ternary rows.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "harness/verify/proof.h"
#include "kernels/api/kernel.h"

namespace tritbench {

inline bool has_scaled_activations(const tb_kernel& kernel) {
    return kernel.activation_kind == TB_ACT_INT8_BLOCK ||
           kernel.activation_kind == TB_ACT_INT8_PHASE;
}

struct ScaledActivations {
    std::vector<int8_t> q;     // [m][k]
    std::vector<float> scale;  // [m][per_token]
    std::vector<float> x;      // [m][k] = q * its scale
    int64_t per_token = 0;

    // What `kernel` must make of the float rows; or the int8 rows as given, where every scale is
    // that of the token. Says if the oracle has no such activations, else empty.
    std::string make(const tb_kernel& kernel, const TestActivations& given, bool from_float);
};

// One result of a ternary kernel with such activations, in the order that the contract fixes; every
// block of the row has the scale sw. q [k], dx [per_token].
float ternary_product(const tb_kernel& kernel, const int8_t* trits, float sw, const int8_t* q,
                      const float* dx, int64_t k);

}  // namespace tritbench
