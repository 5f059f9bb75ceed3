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

// Consecutive rows of a batch that are consecutive tokens of one sequence.
struct Run {
    int64_t first, count;  // rows
    int64_t sequence;
    int64_t position;  // of the first
};

struct Session::Impl {
    Impl(std::shared_ptr<const Model> shared, const Plan& plan, ThreadPool& threads,
         const SessionSize& size);

    // session.cpp
    void forward(std::span<const int32_t> tokens, int64_t sequence, float* logits, bool all);
    void step(std::span<const int32_t> tokens);
    void choose_calls(const Plan& plan);
    void choose_head(const Plan& plan);
    void reserve();
    void require_tokens(std::span<const int32_t> tokens) const;
    void require_sequence(int64_t sequence) const;
    int64_t& position_of(int64_t sequence) { return positions[static_cast<size_t>(sequence)]; }

    // graph.cpp: the rows of `runs`, whose tokens are given, through all layers.
    void run_batch(std::span<const int32_t> tokens);
    void run_layer(int64_t index, int64_t m);
    void embed(std::span<const int32_t> tokens);
    void normalise(const float* x, const std::vector<float>& weights, int64_t m, float* y);
    void project(const float* x, const float* maxima, int64_t m,
                 std::initializer_list<Projection> projections);
    void multiply_group(int64_t m, std::span<const Projection> group, const PlanCall& call);
    const PlanCall& call_of(const Linear& linear, int64_t m) const {
        return call_for(calls[linear.index], m);
    }
    void rotate_and_store(int64_t layer, const Run& run);
    void attend(int64_t layer);
    void normalise_attended(const std::vector<float>& weights, int64_t m);
    void activate(const std::vector<float>& sub_norm, int64_t m);
    void add_residual(int64_t m);
    void head(int64_t first, int64_t m, float* to);

    std::shared_ptr<const Model> shared;
    const Model::Impl& model;
    const ModelConfig& c;
    const tb_ops& ops;
    ThreadPool& pool;
    int64_t context, max_batch, sequences;
    int64_t q_dim, kv_dim;
    std::vector<std::vector<PlanCall>> calls;  // by Linear::index, tiles as the weights have them
    std::vector<PlanCall> head_calls;
    Observer observer;

    std::vector<int64_t> positions;  // tokens of each sequence
    std::vector<Run> runs;           // of the batch
    std::vector<Run> tiles;          // the same rows in pieces for the attention
    KvCache cache;
    RopeTable rope;
    AlignedBuffer x, normed, result;  // [batch][hidden]
    AlignedBuffer q, attended;        // [batch][q_dim]
    AlignedBuffer k, v;               // [batch][kv_dim]
    AlignedBuffer gate, up;           // [batch][ffn]
    AlignedBuffer squares;            // [batch], of x
    AlignedBuffer maxima;             // [batch], of what is to be multiplied next
    AlignedBuffer logits;             // [sequences][vocab]
    AlignedBuffer attention_scratch;  // per worker
    int64_t attention_stride;
    PreparedBatch prepared, head_prepared;
    ProductScratch scratch, head_scratch;
};

}  // namespace tritbench
