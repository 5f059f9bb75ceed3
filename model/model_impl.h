// What a Model holds; for weights.cpp, which fills it, and session.cpp, which runs it.
#pragma once

#include <memory>
#include <vector>

#include "model/bitlinear.h"
#include "model/transformer.h"

namespace tritbench {

struct Layer {
    std::vector<float> attn_norm, attn_sub_norm, ffn_norm, ffn_sub_norm;
    PackedWeights q, k, v, o, gate, up, down;
};

struct Model::Impl {
    std::shared_ptr<const GgufFile> file;
    ModelConfig config;
    const tb_kernel* kernel = nullptr;  // packed the linear layers
    std::vector<Layer> layers;
    std::vector<float> output_norm;
    const GgufTensor* embedding = nullptr;  // F16 or F32, [vocab][hidden]
    PackedWeights head;                     // layout f16, [vocab][hidden]
    std::vector<Model::NamedLinear> linears;
    uint64_t parameters = 0;

    int64_t q_dim() const { return config.heads * config.head_dim; }
    int64_t kv_dim() const { return config.kv_heads * config.head_dim; }
};

}  // namespace tritbench
