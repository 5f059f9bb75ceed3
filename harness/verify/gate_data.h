// The data of a case of the gate: adversarial weights, scales and activations.
#pragma once

#include <cstdint>
#include <vector>

#include "harness/verify/gate_case.h"
#include "harness/verify/proof.h"
#include "kernels/api/kernel.h"

namespace tritbench {

struct GateData {
    std::vector<int8_t> trits;  // ternary kernels: canonical weights
    std::vector<float> values;  // others
    std::vector<float> scales;  // of every row; all equal where the tensor has one
    TestActivations x;
};

GateData make_gate_data(const tb_kernel& kernel, const GateCase& c);

// True if a row has a scale of its own, or its blocks have (then all of a row are equal).
bool has_own_scales(const tb_kernel& kernel);

// Canonical scales of a row: one, or one per block of columns.
int64_t scales_per_row(const tb_kernel& kernel, int64_t k);

}  // namespace tritbench
