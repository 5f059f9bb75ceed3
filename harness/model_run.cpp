#include "harness/model_run.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <random>

#include "harness/measure.h"
#include "kernels/api/registry.h"
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

// With all layers, of which `factor` times fewer were run.
double whole_time(double ns, double outside_layers, double factor) {
    return factor > 1 ? outside_layers + (ns - outside_layers) * factor : ns;
}

}  // namespace

std::string session_key(const Cell& cell) {
    return fmt::format("{}|{}|{}|{}|{}", cell.plan->name, plan_text(*cell.plan), cell.sequences,
                       cell.prefill_batch, cache_type_name(cell.cache_type));
}

void include(SessionSize& size, const Cell& cell) {
    size.context = std::max(size.context, cell.depth + cell.tokens());
    const int64_t longest = std::max(cell.prompt, cell.depth);
    size.max_batch = std::max(size.max_batch, std::min(longest, cell.prefill_batch));
    size.sequences = std::max(size.sequences, cell.sequences);
    size.cache = cell.cache_type;
}

ModelRun::ModelRun(std::shared_ptr<const Model> model, std::shared_ptr<const Plan> plan,
                   ThreadPool& pool, const SessionSize& size, uint64_t seed)
    : model_(std::move(model)),
      plan_(std::move(plan)),
      pool_(pool),
      seed_(seed),
      session_(model_, *plan_, pool, size),
      outside_(now_ns) {
    std::uniform_int_distribution<int32_t> any(0, static_cast<int32_t>(model_->config().vocab - 1));
    for (int64_t s = 0; s < size.sequences; ++s) {
        std::mt19937_64 random(seed + static_cast<uint64_t>(s));
        auto& tokens = tokens_.emplace_back();
        for (int64_t i = 0; i < size.context; ++i) tokens.push_back(any(random));
    }
}

ProofResult ModelRun::prove(int64_t m, const std::function<void()>& alive) {
    const auto linears = model_->linears();
    const int64_t begin = now_ns();
    ProofResult result{Proof::No, "the model has no linear layers"};
    for (const size_t i : proof_order(linears)) {
        const auto& [name, role, weights] = linears[i];
        const PlanLayer* layer = plan_->find(role, weights->shape);
        if (layer == nullptr) return {Proof::No, fmt::format("{}: not in the plan", name)};
        const PlanCall& call = call_for(layer->calls, m);
        const tb_kernel& kernel = *call.kernel;
        const tb_tile tile = call_tile(kernel, call.tile, *weights);
        const std::string key = fmt::format("{} {} {}", name, kernel.id, tile_name(kernel, tile));
        auto it = proofs_.find(key);
        if (it == proofs_.end()) {
            CellProof proof(pool_, kernel, tile, weights->shape, model_->canonical_rows(name),
                            seed_ + i);
            it = proofs_.emplace(key, std::move(proof)).first;
        }
        const TestActivations x = random_activations(m, weights->shape.k, seed_ + i);
        PreparedBatch prepared;
        prepared.reserve(kernel, tile, weights->shape, m);
        prepared.prepare(pool_, kernel, tile, weights->shape, x.x.data(), x.m, x.k);
        scratch_.reserve(kernel, tile, weights->shape, m, pool_.threads());
        result = it->second.check(pool_, *weights, prepared, x, scratch_);
        alive();
        if (!result.ok())
            result.reason = fmt::format("{} with {}: {}", name, kernel.id, result.reason);
        if (!result.ok() || now_ns() - begin > kProofNs) break;
    }
    return result;
}

std::span<const int32_t> ModelRun::tokens(int64_t sequence, int64_t begin, int64_t count) const {
    return {tokens_[static_cast<size_t>(sequence)].data() + begin, static_cast<size_t>(count)};
}

void ModelRun::go_to(int64_t sequence, int64_t position) {
    session_.truncate(std::min(position, session_.position(sequence)), sequence);
    const int64_t have = session_.position(sequence);
    if (have < position) session_.forward(tokens(sequence, have, position - have), sequence);
}

// The next token of every sequence.
std::span<const float> ModelRun::step(const Cell& cell, int64_t position) {
    if (cell.sequences == 1) return session_.forward(tokens(0, position, 1));
    next_.resize(static_cast<size_t>(cell.sequences));
    for (int64_t s = 0; s < cell.sequences; ++s) {
        next_[static_cast<size_t>(s)] = tokens(s, position, 1).front();
    }
    return session_.step(next_);
}

void ModelRun::run_prompt(const Cell& cell, const RepetitionTimes& to) {
    if (to.timeline != nullptr) to.timeline->begin_sample();
    const int64_t begin = now_ns();
    logits_ = session_.forward(tokens(0, cell.depth, cell.prompt));
    if (to.first_token != nullptr) {
        const auto first = static_cast<double>(now_ns() - begin);
        to.first_token->push_back(whole_time(first, outside_.total(), layer_factor()));
    }
    for (int64_t i = 0; i < cell.generated; ++i) logits_ = step(cell, cell.depth + cell.prompt + i);
    const int64_t end = now_ns();
    if (to.timeline != nullptr) to.timeline->end_sample();
    add_sample(to, static_cast<double>(end - begin));
}

void ModelRun::run_decode(const Cell& cell, const RepetitionTimes& to) {
    for (int64_t i = 0; i < cell.generated; ++i) {
        if (to.timeline != nullptr) to.timeline->begin_sample();
        const int64_t begin = now_ns();
        logits_ = step(cell, cell.depth + i);
        const int64_t end = now_ns();
        if (to.timeline != nullptr) to.timeline->end_sample();
        add_sample(to, static_cast<double>(end - begin));
    }
}

RepetitionEnd ModelRun::repeat(const Cell& cell, const RepetitionTimes& to) {
    for (int64_t s = 0; s < cell.sequences; ++s) go_to(s, cell.depth);
    if (to.samples != nullptr) {
        to.samples->reserve(to.samples->size() + static_cast<size_t>(cell.tokens()));
    }
    Observer observer;
    if (to.timeline != nullptr) {
        observer = to.timeline->observer();
    } else if (to.skipped != nullptr) {
        observer = to.skipped->observer();
    } else if (layer_factor() > 1) {
        outside_.take();
        observer = outside_.observer();
    }
    session_.observe(observer);
    if (cell.phase == Phase::Decode) {
        run_decode(cell, to);
    } else {
        run_prompt(cell, to);
    }
    session_.observe({});
    const auto vocab = static_cast<size_t>(model_->config().vocab);
    RepetitionEnd end;
    end.hash = fnv1a64(logits_.data(), vocab * sizeof(float));
    end.all_hash = fnv1a64(logits_.data(), logits_.size_bytes());
    for (size_t at = 0; at < logits_.size() && end.problem.empty(); at += vocab) {
        end.problem = logits_problem(logits_.subspan(at, vocab));
    }
    return end;
}

std::string ModelRun::prove_sequences(const Cell& cell, const std::function<void()>& alive) {
    const auto vocab = static_cast<size_t>(model_->config().vocab);
    const std::vector<float> together(logits_.begin(), logits_.end());
    for (int64_t s = 0; s < cell.sequences; ++s) {
        go_to(s, cell.depth);
        const auto alone = session_.forward(tokens(s, cell.depth, cell.generated), s);
        alive();
        if (std::memcmp(alone.data(), together.data() + static_cast<size_t>(s) * vocab,
                        vocab * sizeof(float)) == 0) {
            continue;
        }
        return fmt::format("sequence {}: its logits differ from those of its tokens alone", s);
    }
    return "";
}

uint64_t ModelRun::bytes_per_step(const Cell& cell) const {
    const auto mean_depth = static_cast<uint64_t>(cell.depth + (cell.generated + 1) / 2);
    const uint64_t of_layers = model_->linear_bytes() + static_cast<uint64_t>(cell.sequences) *
                                                            mean_depth *
                                                            session_.kv_bytes_per_token();
    return static_cast<uint64_t>(layer_factor() * static_cast<double>(of_layers)) +
           model_->head_bytes();
}

double ModelRun::layer_factor() const {
    return static_cast<double>(model_->config().layers) / static_cast<double>(model_->layers_run());
}

void ModelRun::add_sample(const RepetitionTimes& to, double ns) {
    const double outside = outside_.take();
    if (to.samples != nullptr) to.samples->push_back(whole_time(ns, outside, layer_factor()));
}

}  // namespace tritbench
