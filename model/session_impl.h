// What a Session holds: session.cpp makes it and feeds it tokens, graph.cpp computes with it.
#pragma once

#include <initializer_list>
#include <memory>
#include <span>
#include <vector>

#include "kernels/api/ops.h"
#include "model/kv_cache.h"
#include "model/model_impl.h"
#include "model/rope_table.h"

namespace tritbench {

// A linear layer and where its results go: [tokens][N], without gaps.
struct Projection {
    const Linear* linear;
    float* y;
};

struct Session::Impl {
    Impl(std::shared_ptr<const Model> shared, const tb_kernel& linear, ThreadPool& threads,
         int64_t positions, int64_t batch);

    // session.cpp
    void forward(std::span<const int32_t> tokens, float* logits, bool all);
    void reserve(const PackedWeights& weights);
    void check_kernel() const;

    // graph.cpp
    void run_batch(std::span<const int32_t> tokens);
    void run_layer(int64_t index, int64_t m);
    void embed(std::span<const int32_t> tokens);
    void normalise(const float* x, const std::vector<float>& weights, int64_t m, float* y);
    void project(const float* x, int64_t m, std::initializer_list<Projection> projections);
    void multiply_group(const float* x, int64_t m, std::span<const Projection> group,
                        const tb_tile& tile);
    void rotate_and_store(int64_t layer, int64_t m);
    void attend(int64_t layer, int64_t m);
    void activate(int64_t m);
    void add_residual(int64_t m);
    void head(int64_t first, int64_t m, float* to);

    std::shared_ptr<const Model> shared;
    const Model::Impl& model;
    const ModelConfig& c;
    const tb_kernel& kernel;
    const tb_kernel& head_kernel;
    const tb_ops& ops;
    ThreadPool& pool;
    int64_t context, max_batch, position = 0;
    int64_t q_dim, kv_dim;
    tb_tile head_tile{};
    Observer observer;

    KvCache cache;
    RopeTable rope;
    AlignedBuffer x, normed, result;  // [batch][hidden]
    AlignedBuffer q, attended;        // [batch][q_dim]
    AlignedBuffer k, v;               // [batch][kv_dim]
    AlignedBuffer gate, up;           // [batch][ffn]
    AlignedBuffer logits;             // [vocab]
    AlignedBuffer attention_scratch;  // per worker
    int64_t attention_stride;
    PreparedBatch prepared, head_prepared;
    ProductScratch scratch, head_scratch;
};

}  // namespace tritbench
