// Session: its buffers, and tokens in batches through the graph.
#include <fmt/format.h>

#include <algorithm>
#include <string_view>

#include "kernels/api/error.h"
#include "kernels/api/registry.h"
#include "model/session_impl.h"

namespace tritbench {

namespace {

int64_t round16(int64_t count) {
    return (count + 15) / 16 * 16;
}

AlignedBuffer floats(int64_t count) {
    return AlignedBuffer(static_cast<size_t>(count) * sizeof(float));
}

// The head may as well run with the kernel that was asked for.
const tb_kernel& choose_head_kernel(const Model::Impl& model, const tb_kernel& linear) {
    return std::string_view(linear.layout) == model.head_kernel->layout ? linear
                                                                        : *model.head_kernel;
}

int64_t require_between(const char* what, int64_t value, int64_t most, const char* limit) {
    if (value < 1 || value > most) {
        throw Error(fmt::format("{}: {}; expected 1 to {} ({})", what, value, most, limit));
    }
    return value;
}

}  // namespace

Session::Impl::Impl(std::shared_ptr<const Model> given, const tb_kernel& linear,
                    ThreadPool& threads, int64_t positions, int64_t batch)
    : shared(std::move(given)),
      model(shared->impl()),
      c(model.config),
      kernel(linear),
      head_kernel(choose_head_kernel(model, linear)),
      ops(best_ops()),
      pool(threads),
      context(require_between("context", positions, c.context, "the model's context length")),
      max_batch(
          std::min(require_between("batch", batch, int64_t{1} << 20, "tokens at once"), context)),
      q_dim(model.q_dim()),
      kv_dim(model.kv_dim()),
      cache(c.layers, c.kv_heads, c.head_dim, context),
      rope(context, c.head_dim, c.rope_base, model.rope_factors),
      x(floats(max_batch * c.hidden)),
      normed(floats(max_batch * c.hidden)),
      result(floats(max_batch * c.hidden)),
      q(floats(max_batch * q_dim)),
      attended(floats(max_batch * q_dim)),
      k(floats(max_batch * kv_dim)),
      v(floats(max_batch * kv_dim)),
      gate(floats(max_batch * c.ffn)),
      up(floats(max_batch * c.ffn)),
      logits(floats(c.vocab)),
      attention_stride(round16(tb_attention_scratch(c.head_dim, context))) {
    check_kernel();
    if (kernel.max_m > 0) max_batch = std::min(max_batch, kernel.max_m);
    if (head_kernel.max_m > 0) max_batch = std::min(max_batch, head_kernel.max_m);
    attention_scratch = floats(attention_stride * pool.threads());
    head_tile = call_tile(head_kernel, model.head);
    // Layers have the same shapes, but perhaps each its own tile.
    for (const Model::NamedLinear& layer : model.linears) reserve(*layer.weights);
    head_prepared.reserve(head_kernel, head_tile, model.head.shape, max_batch);
    head_scratch.reserve(head_kernel, head_tile, model.head.shape, max_batch, pool.threads());
}

void Session::Impl::check_kernel() const {
    const std::string why = why_not_here(kernel);
    if (!why.empty()) throw Error(fmt::format("kernel {}: does not run here: {}", kernel.id, why));
    if (shared->layout() != kernel.layout) {
        throw Error(fmt::format("kernel {}: reads layout {}; the model is loaded in {}", kernel.id,
                                kernel.layout, shared->layout()));
    }
}

void Session::Impl::reserve(const PackedWeights& weights) {
    const tb_tile tile = call_tile(kernel, weights);
    require_accepts(kernel, weights.shape, tile);
    prepared.reserve(kernel, tile, weights.shape, max_batch);
    scratch.reserve(kernel, tile, weights.shape, max_batch, pool.threads());
    scratch.reserve(kernel, tile, weights.shape, 1, pool.threads());
}

void Session::Impl::forward(std::span<const int32_t> tokens, float* to, bool all) {
    const auto count = static_cast<int64_t>(tokens.size());
    if (count == 0) throw Error("tokens: none given; expected at least one");
    if (count > context - position) {
        throw Error(fmt::format("tokens: {} after {} do not fit; the context holds {}", count,
                                position, context));
    }
    for (size_t i = 0; i < tokens.size(); ++i) {
        if (tokens[i] < 0 || tokens[i] >= c.vocab) {
            throw Error(fmt::format("tokens: token {} at place {}; expected 0 to {}", tokens[i], i,
                                    c.vocab - 1));
        }
    }
    for (int64_t done = 0; done < count;) {
        const int64_t m = std::min(max_batch, count - done);
        run_batch(tokens.subspan(static_cast<size_t>(done), static_cast<size_t>(m)));
        if (all) {
            head(0, m, to + done * c.vocab);
        } else if (done + m == count) {
            head(m - 1, 1, to);
        }
        done += m;
    }
}

Session::Session(std::shared_ptr<const Model> model, const tb_kernel& kernel, ThreadPool& pool,
                 int64_t context, int64_t max_batch)
    : impl_(std::make_unique<Impl>(std::move(model), kernel, pool, context, max_batch)) {}

Session::~Session() = default;

std::span<const float> Session::forward(std::span<const int32_t> tokens) {
    auto* const logits = impl_->logits.as<float>();
    impl_->forward(tokens, logits, false);
    return {logits, static_cast<size_t>(impl_->c.vocab)};
}

void Session::forward_all(std::span<const int32_t> tokens, std::span<float> logits) {
    const size_t expected = tokens.size() * static_cast<size_t>(impl_->c.vocab);
    if (logits.size() != expected) {
        throw Error(fmt::format("logits: room for {} floats; expected {} for {} tokens",
                                logits.size(), expected, tokens.size()));
    }
    impl_->forward(tokens, logits.data(), true);
}

void Session::reset() {
    impl_->position = 0;
}

void Session::truncate(int64_t position) {
    if (position < 0 || position > impl_->position) {
        throw Error(
            fmt::format("truncate: position {}; expected 0 to {}", position, impl_->position));
    }
    impl_->position = position;
}

int64_t Session::position() const {
    return impl_->position;
}

uint64_t Session::kv_bytes_per_token() const {
    return impl_->cache.bytes_per_token();
}

void Session::observe(const Observer& observer) {
    impl_->observer = observer;
}

}  // namespace tritbench
