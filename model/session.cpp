// Session: its buffers, and tokens in batches through the graph.
#include <fmt/format.h>

#include <algorithm>
#include <string_view>

#include "kernels/api/error.h"
#include "kernels/api/registry.h"
#include "model/session_impl.h"

namespace tritbench {

namespace {

constexpr int64_t kMostTogether = int64_t{1} << 20;

int64_t round16(int64_t count) {
    return (count + 15) / 16 * 16;
}

AlignedBuffer floats(int64_t count) {
    return AlignedBuffer(static_cast<size_t>(count) * sizeof(float));
}

int64_t require_between(const char* what, int64_t value, int64_t most, const char* limit) {
    if (value < 1 || value > most) {
        throw Error(fmt::format("{}: {}; expected 1 to {} ({})", what, value, most, limit));
    }
    return value;
}

// The tokens that fit in any sequence, or one of each sequence.
int64_t batch_of(const SessionSize& size) {
    const int64_t given = require_between("batch", size.max_batch, kMostTogether, "tokens at once");
    return std::max(std::min(given, size.context), size.sequences);
}

// The calls of a layer with the tiles that its weights were packed with.
std::vector<PlanCall> calls_for(const PlanLayer& layer, const PackedWeights& weights) {
    std::vector<PlanCall> calls = layer.calls;
    for (PlanCall& call : calls) {
        const std::string why = why_not_here(*call.kernel);
        if (!why.empty()) {
            throw Error(fmt::format("kernel {}: does not run here: {}", call.kernel->id, why));
        }
        call.tile = call_tile(*call.kernel, call.tile, weights);
        require_accepts(*call.kernel, weights.shape, call.tile);
    }
    return calls;
}

}  // namespace

Session::Impl::Impl(std::shared_ptr<const Model> given, const Plan& plan, ThreadPool& threads,
                    const SessionSize& size)
    : shared(std::move(given)),
      model(shared->impl()),
      c(model.config),
      ops(best_ops()),
      pool(threads),
      context(require_between("context", size.context, c.context, "the model's context length")),
      max_batch(batch_of(size)),
      sequences(require_between("sequences", size.sequences, kMostTogether, "sequences at once")),
      q_dim(model.q_dim()),
      kv_dim(model.kv_dim()),
      positions(static_cast<size_t>(sequences)),
      cache(model.layers_run, c.kv_heads, c.head_dim, context, sequences, size.cache),
      rope(context, c.head_dim, c.rope_base, model.rope_factors),
      attention_stride(round16(tb_attention_scratch(c.head_dim, context))) {
    choose_calls(plan);
    choose_head(plan);
    reserve();
}

void Session::Impl::choose_calls(const Plan& plan) {
    for (const Model::NamedLinear& linear : model.linears) {
        const PackedWeights& weights = *linear.weights;
        const PlanLayer* layer = plan.find(linear.role, weights.shape);
        if (layer == nullptr) {
            throw Error(fmt::format("plan {}: no layer for {}; expected one for every layer",
                                    plan.name, linear.name));
        }
        const std::string_view layout = weights.kernel->layout;
        if (layout != layer->layout) {
            throw Error(fmt::format("kernel {}: reads layout {}; {} is loaded in {}",
                                    layer->calls.front().kernel->id, layer->layout, linear.name,
                                    layout));
        }
        calls.push_back(calls_for(*layer, weights));
    }
}

// The head runs with the best kernel of the layout it is in, unless the plan has one of it.
void Session::Impl::choose_head(const Plan& plan) {
    const PlanLayer* layer = plan.find("output", model.head.shape);
    if (layer != nullptr && layer->layout == model.head_kernel->layout) {
        head_calls = calls_for(*layer, model.head);
    } else {
        head_calls = calls_for(plan_of_kernel(*model.head_kernel).layers.front(), model.head);
    }
}

// Grows every buffer to the largest batch, for any call of the plan.
void Session::Impl::reserve() {
    for (const std::vector<PlanCall>& layer : calls) {
        for (const PlanCall& call : layer) {
            if (call.kernel->max_m > 0) max_batch = std::min(max_batch, call.kernel->max_m);
        }
    }
    for (const PlanCall& call : head_calls) {
        if (call.kernel->max_m > 0) max_batch = std::min(max_batch, call.kernel->max_m);
    }
    const auto reserve_for = [&](PreparedBatch& batch, ProductScratch& room, const PlanCall& call,
                                 tb_shape shape) {
        const int64_t most = call.batch == 0 ? max_batch : std::min(max_batch, call.batch);
        batch.reserve(*call.kernel, call.tile, shape, most);
        room.reserve(*call.kernel, call.tile, shape, most, pool.threads());
        room.reserve(*call.kernel, call.tile, shape, 1, pool.threads());
    };
    for (size_t i = 0; i < calls.size(); ++i) {
        for (const PlanCall& call : calls[i]) {
            reserve_for(prepared, scratch, call, model.linears[i].weights->shape);
        }
    }
    for (const PlanCall& call : head_calls) {
        reserve_for(head_prepared, head_scratch, call, model.head.shape);
    }
    x = floats(max_batch * c.hidden);
    normed = floats(max_batch * c.hidden);
    result = floats(max_batch * c.hidden);
    q = floats(max_batch * q_dim);
    attended = floats(max_batch * q_dim);
    k = floats(max_batch * kv_dim);
    v = floats(max_batch * kv_dim);
    gate = floats(max_batch * c.ffn);
    up = floats(max_batch * c.ffn);
    squares = floats(max_batch);
    maxima = floats(max_batch);
    logits = floats(sequences * c.vocab);
    attention_scratch = floats(attention_stride * pool.threads());
    runs.reserve(static_cast<size_t>(max_batch));
    tiles.reserve(static_cast<size_t>(max_batch));
}

void Session::Impl::require_sequence(int64_t sequence) const {
    if (sequence >= 0 && sequence < sequences) return;
    throw Error(fmt::format("sequence: {}; expected 0 to {}", sequence, sequences - 1));
}

void Session::Impl::require_tokens(std::span<const int32_t> tokens) const {
    if (tokens.empty()) throw Error("tokens: none given; expected at least one");
    for (size_t i = 0; i < tokens.size(); ++i) {
        if (tokens[i] < 0 || tokens[i] >= c.vocab) {
            throw Error(fmt::format("tokens: token {} at place {}; expected 0 to {}", tokens[i], i,
                                    c.vocab - 1));
        }
    }
}

void Session::Impl::forward(std::span<const int32_t> tokens, int64_t sequence, float* to,
                            bool all) {
    const auto count = static_cast<int64_t>(tokens.size());
    require_sequence(sequence);
    int64_t& position = position_of(sequence);
    if (count > context - position) {
        throw Error(fmt::format("tokens: {} after {} do not fit; the context holds {}", count,
                                position, context));
    }
    require_tokens(tokens);
    for (int64_t done = 0; done < count;) {
        const int64_t m = std::min(max_batch, count - done);
        runs.assign(1, {0, m, sequence, position});
        run_batch(tokens.subspan(static_cast<size_t>(done), static_cast<size_t>(m)));
        position += m;
        if (all) {
            head(0, m, to + done * c.vocab);
        } else if (done + m == count) {
            head(m - 1, 1, to);
        }
        done += m;
    }
}

void Session::Impl::step(std::span<const int32_t> tokens) {
    const auto count = static_cast<int64_t>(tokens.size());
    if (count > sequences) {
        throw Error(
            fmt::format("tokens: {} for {} sequences; expected one each", count, sequences));
    }
    require_tokens(tokens);
    for (int64_t s = 0; s < count; ++s) {
        if (position_of(s) < context) continue;
        throw Error(fmt::format("sequence {}: its context of {} tokens is full", s, context));
    }
    for (int64_t done = 0; done < count;) {
        const int64_t m = std::min(max_batch, count - done);
        runs.clear();
        for (int64_t t = 0; t < m; ++t) runs.push_back({t, 1, done + t, position_of(done + t)});
        run_batch(tokens.subspan(static_cast<size_t>(done), static_cast<size_t>(m)));
        for (int64_t t = 0; t < m; ++t) ++position_of(done + t);
        head(0, m, logits.as<float>() + done * c.vocab);
        done += m;
    }
}

Session::Session(std::shared_ptr<const Model> model, const Plan& plan, ThreadPool& pool,
                 const SessionSize& size)
    : impl_(std::make_unique<Impl>(std::move(model), plan, pool, size)) {}

Session::Session(std::shared_ptr<const Model> model, const tb_kernel& kernel, ThreadPool& pool,
                 int64_t context, int64_t max_batch, CacheType cache)
    : Session(std::move(model), plan_of_kernel(kernel), pool, {context, max_batch, 1, cache}) {}

Session::~Session() = default;

std::span<const float> Session::forward(std::span<const int32_t> tokens, int64_t sequence) {
    auto* const logits = impl_->logits.as<float>();
    impl_->forward(tokens, sequence, logits, false);
    return {logits, static_cast<size_t>(impl_->c.vocab)};
}

void Session::forward_all(std::span<const int32_t> tokens, std::span<float> logits,
                          int64_t sequence) {
    const size_t expected = tokens.size() * static_cast<size_t>(impl_->c.vocab);
    if (logits.size() != expected) {
        throw Error(fmt::format("logits: room for {} floats; expected {} for {} tokens",
                                logits.size(), expected, tokens.size()));
    }
    impl_->forward(tokens, sequence, logits.data(), true);
}

std::span<const float> Session::step(std::span<const int32_t> tokens) {
    impl_->step(tokens);
    return {impl_->logits.as<float>(), tokens.size() * static_cast<size_t>(impl_->c.vocab)};
}

void Session::reset() {
    std::fill(impl_->positions.begin(), impl_->positions.end(), 0);
}

void Session::truncate(int64_t position, int64_t sequence) {
    impl_->require_sequence(sequence);
    const int64_t now = impl_->position_of(sequence);
    if (position < 0 || position > now) {
        throw Error(fmt::format("truncate: position {}; expected 0 to {}", position, now));
    }
    impl_->position_of(sequence) = position;
}

int64_t Session::position(int64_t sequence) const {
    impl_->require_sequence(sequence);
    return impl_->position_of(sequence);
}

uint64_t Session::kv_bytes_per_token() const {
    return impl_->cache.bytes_per_token();
}

void Session::observe(const Observer& observer) {
    impl_->observer = observer;
}

}  // namespace tritbench
