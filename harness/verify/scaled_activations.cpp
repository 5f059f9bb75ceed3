#include "harness/verify/scaled_activations.h"

#include <fmt/format.h>

#include <algorithm>

#include "kernels/reference/oracle.h"

namespace tritbench {

namespace {

constexpr int64_t kPhases = 4;

bool known(const tb_kernel& kernel) {
    const int32_t width = kernel.activation_block;
    if (kernel.activation_kind == TB_ACT_INT8_PHASE) return width == 4 || width == 16;
    const bool ternary = kernel.weight_kind == TB_WEIGHT_TERNARY;
    return width == (ternary ? 256 : 32);
}

void quantise(const tb_kernel& kernel, const float* x, int64_t k, int8_t* q, float* dx) {
    if (kernel.activation_kind == TB_ACT_INT8_PHASE) {
        reference::quantise_phases(x, k, kernel.activation_block, q, dx);
    } else if (kernel.activation_block == 256) {
        reference::quantise_q8k(x, k, q, dx);
    } else {
        reference::quantise_blocks(x, k, q, dx);
    }
}

}  // namespace

std::string ScaledActivations::make(const tb_kernel& kernel, const TestActivations& given,
                                    bool from_float) {
    if (!known(kernel)) {
        return fmt::format("the oracle has no activations with a scale per {} columns",
                           kernel.activation_block);
    }
    const bool phases = kernel.activation_kind == TB_ACT_INT8_PHASE;
    const int64_t k = given.k, width = kernel.activation_block;
    per_token = phases ? kPhases : (k + width - 1) / width;
    q = given.q;
    x.resize(q.size());
    scale.resize(static_cast<size_t>(given.m * per_token));
    for (int64_t m = 0; m < given.m; ++m) {
        float* dx = scale.data() + m * per_token;
        std::fill_n(dx, per_token, given.q_scale[static_cast<size_t>(m)]);
        if (from_float) quantise(kernel, given.x.data() + m * k, k, q.data() + m * k, dx);
        for (int64_t i = 0; i < k; ++i) {
            const auto at = static_cast<size_t>(m * k + i);
            x[at] = static_cast<float>(q[at]) * dx[phases ? i / width % kPhases : i / width];
        }
    }
    return "";
}

float ternary_product(const tb_kernel& kernel, const int8_t* trits, float sw, const int8_t* q,
                      const float* dx, int64_t k) {
    if (kernel.activation_kind == TB_ACT_INT8_PHASE) {
        return reference::dot_phases(trits, sw, q, dx, kernel.activation_block, k);
    }
    const std::vector<float> d(static_cast<size_t>((k + 255) / 256), sw);
    return reference::dot_q8k(trits, d.data(), q, dx, k);
}

}  // namespace tritbench
