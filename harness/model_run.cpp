#include "harness/model_run.h"

#include <algorithm>
#include <random>
#include <set>

#include "harness/measure.h"
#include "harness/model_cells.h"
#include "model/logits.h"

namespace tritbench {
namespace {

constexpr int64_t kProofNs = 300'000'000;

// Positions in `linears`, those to be proved first in front: "blk.3.attn_q.weight" is of the kind
// "attn_q.weight".
std::vector<size_t> proof_order(const std::vector<Model::NamedLinear>& linears) {
    std::map<std::string, std::vector<size_t>> kinds;
    for (size_t i = 0; i < linears.size(); ++i) {
        const std::string& name = linears[i].name;
        const size_t dot = name.starts_with("blk.") ? name.find('.', 4) : std::string::npos;
        kinds[dot == std::string::npos ? name : name.substr(dot + 1)].push_back(i);
    }
    std::vector<size_t> order;
    for (const auto& [kind, positions] : kinds) order.push_back(positions[positions.size() / 2]);
    for (const size_t end : {size_t{0}, linears.size() - 1}) {
        if (std::find(order.begin(), order.end(), end) == order.end()) order.push_back(end);
    }
    return order;
}

}  // namespace

void RunSize::include(const Cell& cell) {
    context = std::max(context, cell.depth + cell.tokens);
    const int64_t together = cell.phase == Phase::Prefill ? cell.tokens : cell.depth;
    batch = std::max(batch, std::min(together, kPrefillBatch));
}

ModelRun::ModelRun(std::shared_ptr<const Model> model, const tb_kernel& kernel, ThreadPool& pool,
                   const RunSize& size, uint64_t seed)
    : model_(std::move(model)),
      kernel_(kernel),
      pool_(pool),
      seed_(seed),
      session_(model_, kernel, pool, size.context, size.batch) {
    std::mt19937_64 random(seed);
    std::uniform_int_distribution<int32_t> any(0, static_cast<int32_t>(model_->config().vocab - 1));
    for (int64_t i = 0; i < size.context; ++i) tokens_.push_back(any(random));
}

ProofResult ModelRun::prove(int64_t m, const std::function<void()>& alive) {
    const auto linears = model_->linears();
    const int64_t begin = now_ns();
    ProofResult result{Proof::No, "the model has no linear layers"};
    for (const size_t i : proof_order(linears)) {
        const auto& [name, role, weights] = linears[i];
        const tb_tile tile = call_tile(kernel_, *weights);
        auto it = proofs_.find(name);
        if (it == proofs_.end()) {
            CellProof proof(pool_, kernel_, tile, weights->shape, model_->canonical_rows(name),
                            seed_ + i);
            it = proofs_.emplace(name, std::move(proof)).first;
        }
        const TestActivations x = random_activations(m, weights->shape.k, seed_ + i);
        PreparedBatch prepared;
        prepared.reserve(kernel_, tile, weights->shape, m);
        prepared.prepare(pool_, kernel_, tile, weights->shape, x.x.data(), x.m, x.k);
        scratch_.reserve(kernel_, tile, weights->shape, m, pool_.threads());
        result = it->second.check(pool_, *weights, prepared, x, scratch_);
        alive();
        if (!result.ok()) result.reason = name + ": " + result.reason;
        if (!result.ok() || now_ns() - begin > kProofNs) break;
    }
    return result;
}

void ModelRun::go_to(int64_t position) {
    session_.truncate(std::min(position, session_.position()));
    const int64_t have = session_.position();
    if (have < position) {
        session_.forward({tokens_.data() + have, static_cast<size_t>(position - have)});
    }
}

uint64_t ModelRun::repeat(const Cell& cell, std::vector<double>* samples, std::string* problem) {
    go_to(cell.depth);
    const std::span<const int32_t> tokens(tokens_.data() + cell.depth,
                                          static_cast<size_t>(cell.tokens));
    const size_t step = cell.phase == Phase::Decode ? 1 : tokens.size();
    if (samples != nullptr) samples->reserve(samples->size() + tokens.size() / step);
    std::span<const float> logits;
    for (size_t i = 0; i < tokens.size(); i += step) {
        const int64_t begin = now_ns();
        logits = session_.forward(tokens.subspan(i, step));
        const int64_t end = now_ns();
        if (samples != nullptr) samples->push_back(static_cast<double>(end - begin));
    }
    *problem = logits_problem(logits);
    return fnv1a64(logits.data(), logits.size_bytes());
}

uint64_t ModelRun::bytes_per_token(const Cell& cell) const {
    const auto mean_depth = static_cast<uint64_t>(cell.depth + (cell.tokens + 1) / 2);
    return model_->linear_bytes() + model_->head_bytes() +
           mean_depth * session_.kv_bytes_per_token();
}

}  // namespace tritbench
