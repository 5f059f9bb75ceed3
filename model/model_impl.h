// What a Model holds; for weights.cpp, which fills it, and session.cpp, which runs it.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "model/bitlinear.h"
#include "model/plan.h"
#include "model/ternary_matrix.h"
#include "model/transformer.h"

namespace tritbench {

// A linear layer: packed for the kernel, and the matrix of the file that it was packed from.
struct Linear {
    PackedWeights weights;
    std::unique_ptr<const TernaryMatrix> source;  // null: quantised weights, taken as they are
    RowProvider rows;                             // of the file, for the kernel that packed them
    float output_scale = 1.0F;                    // what results are multiplied with
    std::string role;                             // "attn_q", ...: see plan.h
    size_t index = 0;                             // in Model::Impl::linears
};

struct Layer {
    std::vector<float> attn_norm, ffn_norm;
    std::vector<float> attn_sub_norm, ffn_sub_norm;  // empty: the graph has none
    Linear q, k, v, o, gate, up, down;
};

struct Model::Impl {
    std::shared_ptr<const GgufFile> file;
    LoadOptions options;
    ModelConfig config;
    std::vector<Layer> layers;
    std::vector<float> output_norm;
    std::vector<float> rope_factors;        // [head_dim / 2]; empty: all 1
    std::optional<StoredMatrix> embedding;  // [vocab][hidden]
    PackedWeights head;                     // in the file's own layout, [vocab][hidden]
    const tb_kernel* head_kernel = nullptr;
    std::vector<Model::NamedLinear> linears;
    std::vector<const Linear*> sources;  // of the linears
    uint64_t other_parameters = 0;       // all but those of the linears

    int64_t q_dim() const { return config.heads * config.head_dim; }
    int64_t kv_dim() const { return config.kv_heads * config.head_dim; }
};

}  // namespace tritbench
