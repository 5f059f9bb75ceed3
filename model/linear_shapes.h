// The linear layers of a decoder block: their roles and shapes follow from the config.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <string_view>

#include "kernels/api/kernel.h"
#include "model/config.h"

namespace tritbench {

// As in the tensors' names, blk.N.<role>.weight; in file order.
inline constexpr std::array<const char*, 7> kLinearRoles{
    "attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down"};

constexpr bool is_linear_role(std::string_view text) {
    return std::find(kLinearRoles.begin(), kLinearRoles.end(), text) != kLinearRoles.end();
}

struct LinearShape {
    const char* role;  // one of kLinearRoles
    int64_t n;         // output features, rows of W
    int64_t k;         // input features

    tb_shape shape() const { return {n, k}; }
};

// In file order.
inline std::array<LinearShape, 7> linear_shapes(const ModelConfig& c) {
    const int64_t q = c.heads * c.head_dim, kv = c.kv_heads * c.head_dim;
    const std::array<tb_shape, 7> shapes{{{q, c.hidden},
                                          {kv, c.hidden},
                                          {kv, c.hidden},
                                          {c.hidden, q},
                                          {c.ffn, c.hidden},
                                          {c.ffn, c.hidden},
                                          {c.hidden, c.ffn}}};
    std::array<LinearShape, 7> linears{};
    for (size_t i = 0; i < linears.size(); ++i) {
        linears[i] = {kLinearRoles[i], shapes[i].n, shapes[i].k};
    }
    return linears;
}

}  // namespace tritbench
