// What a Model holds; for weights.cpp, which fills it, and session.cpp, which runs it.
#pragma once

#include <array>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "model/bitlinear.h"
#include "model/linear_shapes.h"
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

    // Each with its shape, in file order.
    std::array<std::pair<LinearShape, Linear*>, 7> linears(const ModelConfig& c) {
        const auto s = linear_shapes(c);
        return {{{s[0], &q},
                 {s[1], &k},
                 {s[2], &v},
                 {s[3], &o},
                 {s[4], &gate},
                 {s[5], &up},
                 {s[6], &down}}};
    }
};

struct Model::Impl {
    std::shared_ptr<const GgufFile> file;  // null: drawn from a WeightSource
    std::string origin;                    // file or source, for messages
    LoadOptions options;
    ModelConfig config;
    std::vector<Layer> layers;  // with weights of their own
    int64_t layers_run = 0;     // of a forward pass: layer i is layers[i % layers.size()]
    std::vector<float> output_norm;
    std::vector<float> rope_factors;                      // [head_dim / 2]; empty: all 1
    std::function<void(int64_t token, float* to)> embed;  // a row of the embedding
    PackedWeights embedding;                              // behind `embed` when drawn
    PackedWeights head;                                   // [vocab][hidden]
    const tb_kernel* head_kernel = nullptr;
    std::vector<Model::NamedLinear> linears;
    std::vector<const Linear*> sources;  // of the linears

    // For those that fill it. All throw Error.
    // Layers as options.window has them, none of them filled; checks what the config promises.
    void make_layers();
    // The head's kernel: of the layout that options.head names, or of `stored`; returns which.
    std::string_view choose_head(std::string_view stored);
    void add_linear(const std::string& name, Linear& linear);

    int64_t q_dim() const { return config.heads * config.head_dim; }
    int64_t kv_dim() const { return config.kv_heads * config.head_dim; }
};

// What packs a linear layer: any kernel of a layout may pack for all, this is the one that serves
// most tokens. Throws Error where the plan has none, or one that does not run here.
const PlanCall& packer_of(const Plan& plan, const std::string& name, const std::string& role,
                          tb_shape shape);

}  // namespace tritbench
