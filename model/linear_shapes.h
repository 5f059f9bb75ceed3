// The linear layers of a decoder block: their roles and shapes follow from the config.
#pragma once

#include <array>
#include <cstdint>

#include "kernels/api/kernel.h"
#include "model/config.h"

namespace tritbench {

struct LinearShape {
    const char* role;  // attn_q, attn_k, attn_v, attn_output, ffn_gate, ffn_up, ffn_down
    int64_t n;         // output features, rows of W
    int64_t k;         // input features

    tb_shape shape() const { return {n, k}; }
};

// In file order.
inline std::array<LinearShape, 7> linear_shapes(const ModelConfig& c) {
    const int64_t q = c.heads * c.head_dim, kv = c.kv_heads * c.head_dim;
    return {{{"attn_q", q, c.hidden},
             {"attn_k", kv, c.hidden},
             {"attn_v", kv, c.hidden},
             {"attn_output", c.hidden, q},
             {"ffn_gate", c.ffn, c.hidden},
             {"ffn_up", c.ffn, c.hidden},
             {"ffn_down", c.hidden, c.ffn}}};
}

}  // namespace tritbench
