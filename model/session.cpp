// Session: the forward pass, top to bottom.
#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstring>

#include "kernels/api/error.h"
#include "kernels/api/ops.h"
#include "kernels/api/registry.h"
#include "model/kv_cache.h"
#include "model/model_impl.h"

namespace tritbench {

namespace {

// Work on fewer floats than this is done by the caller: a fork and a join cost some 2 to 5 us.
constexpr int64_t kSerialElements = 32 * 1024;
// Tokens whose queries share one pass over the keys and values of their head.
constexpr int64_t kAttentionTokens = 16;

int64_t round16(int64_t count) {
    return (count + 15) / 16 * 16;
}

AlignedBuffer floats(int64_t count) {
    return AlignedBuffer(static_cast<size_t>(count) * sizeof(float));
}

// Cosines and sines of position * base^(-2i / head_dim), in double, once.
class RopeTable {
  public:
    RopeTable(int64_t context, int64_t head_dim, double base)
        : half_(head_dim / 2), cos_(floats(context * half_)), sin_(floats(context * half_)) {
        for (int64_t i = 0; i < half_; ++i) {
            const double turn =
                std::pow(base, -2.0 * static_cast<double>(i) / static_cast<double>(head_dim));
            for (int64_t p = 0; p < context; ++p) {
                const double angle = static_cast<double>(p) * turn;
                cos_.as<float>()[p * half_ + i] = static_cast<float>(std::cos(angle));
                sin_.as<float>()[p * half_ + i] = static_cast<float>(std::sin(angle));
            }
        }
    }
    const float* cos(int64_t position) const { return cos_.as<float>() + position * half_; }
    const float* sin(int64_t position) const { return sin_.as<float>() + position * half_; }

  private:
    int64_t half_;
    AlignedBuffer cos_, sin_;
};

// Tells the observer that a role runs for the life of this object.
class RoleScope {
  public:
    RoleScope(const Observer& observer, Role role) : observer_(observer), role_(role) {
        if (observer_.begin != nullptr) observer_.begin(observer_.context, role_);
    }
    ~RoleScope() {
        if (observer_.end != nullptr) observer_.end(observer_.context, role_);
    }
    RoleScope(const RoleScope&) = delete;
    RoleScope& operator=(const RoleScope&) = delete;

  private:
    const Observer& observer_;
    Role role_;
};

// Runs body(token) for every token, in parallel where that pays.
template <class Body>
void for_tokens(ThreadPool& pool, int64_t tokens, int64_t elements_each, Body&& body) {
    if (tokens == 1 || tokens * elements_each < kSerialElements) {
        for (int64_t t = 0; t < tokens; ++t) body(t);
        return;
    }
    pool.for_each_worker([&](int worker, int workers) {
        const auto [begin, end] = split_range(tokens, 1, worker, workers);
        for (int64_t t = begin; t < end; ++t) body(t);
    });
}

}  // namespace

struct Session::Impl {
    Impl(std::shared_ptr<const Model> shared, const tb_kernel& linear, ThreadPool& threads,
         int64_t positions, int64_t batch);

    void forward(std::span<const int32_t> tokens, float* logits, bool all);
    void run_batch(std::span<const int32_t> tokens);
    void run_layer(int64_t index, int64_t m);
    void embed(std::span<const int32_t> tokens);
    void normalise(const float* x, const std::vector<float>& weights, int64_t m, float* y);
    void project(const float* x, int64_t m, std::initializer_list<Product> products);
    void rotate_and_store(int64_t layer, int64_t m);
    void attend(int64_t layer, int64_t m);
    void add_residual(int64_t m);
    void head(int64_t first, int64_t m, float* to);
    void reserve(const PackedWeights& weights);
    void check_kernel() const;

    std::shared_ptr<const Model> shared;
    const Model::Impl& model;
    const ModelConfig& c;
    const tb_kernel& kernel;
    const tb_kernel& head_kernel;
    const tb_ops& ops;
    ThreadPool& pool;
    int64_t context, max_batch, position = 0;
    int64_t q_dim, kv_dim;
    tb_tile tile{}, head_tile{};
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

namespace {

const tb_kernel& require_head_kernel(const tb_kernel& linear) {
    if (std::string_view(linear.layout) == "f16") return linear;
    const tb_kernel* kernel = best_kernel_of_layout("f16");
    if (kernel == nullptr)
        throw Error("model: the LM head needs a kernel of layout f16; none runs here");
    return *kernel;
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
      head_kernel(require_head_kernel(linear)),
      ops(best_ops()),
      pool(threads),
      context(require_between("context", positions, c.context, "the model's context length")),
      max_batch(
          std::min(require_between("batch", batch, int64_t{1} << 20, "tokens at once"), context)),
      q_dim(model.q_dim()),
      kv_dim(model.kv_dim()),
      cache(c.layers, c.kv_heads, c.head_dim, context),
      rope(context, c.head_dim, c.rope_base),
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
    tile = call_tile(kernel, model.layers.front().q);
    head_tile = call_tile(head_kernel, model.head);
    const Layer& layer = model.layers.front();  // all layers have the same shapes
    for (const PackedWeights* weights :
         {&layer.q, &layer.k, &layer.v, &layer.o, &layer.gate, &layer.up, &layer.down}) {
        reserve(*weights);
    }
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
    require_accepts(kernel, weights.shape, tile);
    prepared.reserve(kernel, tile, weights.shape, max_batch);
    scratch.reserve(kernel, tile, weights.shape, max_batch, pool.threads());
    scratch.reserve(kernel, tile, weights.shape, 1, pool.threads());
}

void Session::Impl::embed(std::span<const int32_t> tokens) {
    const RoleScope scope(observer, Role::Embed);
    const std::byte* rows = model.embedding->data;
    const bool half = model.embedding->type == GgmlType::F16;
    for_tokens(pool, static_cast<int64_t>(tokens.size()), c.hidden, [&](int64_t t) {
        const int64_t row = tokens[static_cast<size_t>(t)] * c.hidden;
        float* to = x.as<float>() + t * c.hidden;
        if (half) {
            ops.f16_to_f32(reinterpret_cast<const uint16_t*>(rows) + row, c.hidden, to);
        } else {
            std::memcpy(to, reinterpret_cast<const float*>(rows) + row,
                        static_cast<size_t>(c.hidden) * sizeof(float));
        }
    });
}

// y = RMSNorm(x) row by row; x and y may be the same rows.
void Session::Impl::normalise(const float* from, const std::vector<float>& weights, int64_t m,
                              float* to) {
    const RoleScope scope(observer, Role::Norm);
    const auto width = static_cast<int64_t>(weights.size());
    for_tokens(pool, m, width, [&](int64_t t) {
        ops.rms_norm(from + t * width, weights.data(), c.norm_eps, width, to + t * width);
    });
}

// Quantises m rows once and multiplies them with every one of `products`.
void Session::Impl::project(const float* from, int64_t m, std::initializer_list<Product> products) {
    const tb_shape shape = products.begin()->weights->shape;
    {
        const RoleScope scope(observer, Role::Prepare);
        prepared.prepare(pool, kernel, tile, shape, from, m, shape.k);
    }
    const RoleScope scope(observer, Role::Product);
    multiply_all(pool, kernel, {products.begin(), products.size()}, prepared, scratch, &tile);
}

void Session::Impl::rotate_and_store(int64_t layer, int64_t m) {
    for_tokens(pool, m, q_dim + 2 * kv_dim, [&](int64_t t) {
        const int64_t at = position + t;
        float* key = k.as<float>() + t * kv_dim;
        ops.rope(q.as<float>() + t * q_dim, c.heads, c.head_dim, rope.cos(at), rope.sin(at));
        ops.rope(key, c.kv_heads, c.head_dim, rope.cos(at), rope.sin(at));
        cache.store(layer, at, key, v.as<float>() + t * kv_dim);
    });
}

// Cuts tokens x heads into rectangles that workers take as they become free, the longest rows
// first. Which worker computes one does not touch its bits.
void Session::Impl::attend(int64_t layer, int64_t m) {
    const int64_t group = c.heads / c.kv_heads;
    const int64_t tiles = (m + kAttentionTokens - 1) / kAttentionTokens;
    // Rectangles lie within the heads of one KV head, to share its keys and values; that many
    // are halved until there are enough to balance the workers.
    int64_t heads_each = group;
    const auto parts = [&] { return (group + heads_each - 1) / heads_each; };
    while (heads_each > 1 && tiles * c.kv_heads * parts() < 4 * pool.threads()) {
        heads_each = (heads_each + 1) / 2;
    }
    const int64_t items_per_tile = c.kv_heads * parts();
    const int64_t items = tiles * items_per_tile;
    std::atomic<int64_t> next{0};
    const auto work = [&](int worker, int) {
        tb_attention a{};
        a.q = q.as<float>();
        a.q_stride = a.out_stride = q_dim;
        a.k = cache.keys(layer);
        a.v = cache.values(layer);
        a.head_stride = cache.head_stride();
        a.row_stride = cache.row_stride();
        a.heads = c.heads;
        a.kv_heads = c.kv_heads;
        a.head_dim = c.head_dim;
        a.position = position;
        a.scale = 1.0F / std::sqrt(static_cast<float>(c.head_dim));
        a.out = attended.as<float>();
        a.scratch = attention_scratch.as<float>() + attention_stride * worker;
        for (;;) {
            const int64_t item = next.fetch_add(1, std::memory_order_relaxed);
            if (item >= items) return;
            const int64_t token_tile = tiles - 1 - item / items_per_tile;
            const int64_t kv_head = item % items_per_tile / parts();
            const int64_t part = item % items_per_tile % parts();
            a.token_begin = token_tile * kAttentionTokens;
            a.token_end = std::min(a.token_begin + kAttentionTokens, m);
            a.head_begin = kv_head * group + part * heads_each;
            a.head_end = std::min(a.head_begin + heads_each, (kv_head + 1) * group);
            ops.attention(&a);
        }
    };
    if (m * (position + m) * q_dim < kSerialElements) {
        work(0, 1);
    } else {
        pool.for_each_worker(work);
    }
}

void Session::Impl::add_residual(int64_t m) {
    const RoleScope scope(observer, Role::Other);
    for_tokens(pool, m, c.hidden, [&](int64_t t) {
        ops.add(x.as<float>() + t * c.hidden, result.as<float>() + t * c.hidden, c.hidden);
    });
}

void Session::Impl::run_layer(int64_t index, int64_t m) {
    const Layer& layer = model.layers[static_cast<size_t>(index)];
    normalise(x.as<float>(), layer.attn_norm, m, normed.as<float>());
    project(normed.as<float>(), m,
            {{&layer.q, q.as<float>(), q_dim},
             {&layer.k, k.as<float>(), kv_dim},
             {&layer.v, v.as<float>(), kv_dim}});
    {
        const RoleScope scope(observer, Role::Attention);
        rotate_and_store(index, m);
        attend(index, m);
    }
    normalise(attended.as<float>(), layer.attn_sub_norm, m, attended.as<float>());
    project(attended.as<float>(), m, {{&layer.o, result.as<float>(), c.hidden}});
    add_residual(m);

    normalise(x.as<float>(), layer.ffn_norm, m, normed.as<float>());
    project(normed.as<float>(), m,
            {{&layer.gate, gate.as<float>(), c.ffn}, {&layer.up, up.as<float>(), c.ffn}});
    {
        const RoleScope scope(observer, Role::Activation);
        for_tokens(pool, m, c.ffn, [&](int64_t t) {
            float* g = gate.as<float>() + t * c.ffn;
            ops.relu2_gate(g, up.as<float>() + t * c.ffn, c.ffn, g);
        });
    }
    normalise(gate.as<float>(), layer.ffn_sub_norm, m, gate.as<float>());
    project(gate.as<float>(), m, {{&layer.down, result.as<float>(), c.hidden}});
    add_residual(m);
}

// The position moves on only when the whole batch is done: after an error nothing has happened.
void Session::Impl::run_batch(std::span<const int32_t> tokens) {
    embed(tokens);
    for (int64_t i = 0; i < c.layers; ++i) run_layer(i, static_cast<int64_t>(tokens.size()));
    position += static_cast<int64_t>(tokens.size());
}

// Logits of the tokens [first, first + m) of the last batch, row by row.
void Session::Impl::head(int64_t first, int64_t m, float* to) {
    normalise(x.as<float>() + first * c.hidden, model.output_norm, m, normed.as<float>());
    const RoleScope scope(observer, Role::Head);
    head_prepared.prepare(pool, head_kernel, head_tile, model.head.shape, normed.as<float>(), m,
                          c.hidden);
    multiply(pool, head_kernel, model.head, head_prepared, head_scratch, to, c.vocab, &head_tile);
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
