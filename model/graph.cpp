// The forward pass, top to bottom.
#include <algorithm>
#include <array>
#include <atomic>
#include <cmath>
#include <cstring>

#include "kernels/api/error.h"
#include "model/first_error.h"
#include "model/session_impl.h"

namespace tritbench {

namespace {

// Work on fewer floats than this is done by the caller: a fork and a join cost some 2 to 5 us.
constexpr int64_t kSerialElements = 32 * 1024;
// Tokens whose queries share one pass over the keys and values of their head.
constexpr int64_t kAttentionTokens = 16;
// Products of one input in a layer: q, k and v.
constexpr size_t kMostProjections = 3;

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

bool same_tile(const tb_tile& a, const tb_tile& b) {
    return std::memcmp(&a, &b, sizeof a) == 0;
}

}  // namespace

void Session::Impl::embed(std::span<const int32_t> tokens) {
    const RoleScope scope(observer, Role::Embed);
    FirstError error;
    for_tokens(pool, static_cast<int64_t>(tokens.size()), c.hidden, [&](int64_t t) {
        const int64_t row = tokens[static_cast<size_t>(t)];
        try {
            model.embedding->values(row, row + 1, x.as<float>() + t * c.hidden);
        } catch (...) {
            error.keep(std::current_exception());
        }
    });
    error.rethrow();
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

// Products of the same m rows. Layers that were packed with different tiles may want differently
// prepared rows, so that each tile is a group.
void Session::Impl::project(const float* from, int64_t m,
                            std::initializer_list<Projection> projections) {
    const Projection* begin = projections.begin();
    while (begin != projections.end()) {
        const tb_tile tile = call_tile(kernel, begin->linear->weights);
        const Projection* end = std::find_if(begin, projections.end(), [&](const Projection& p) {
            return !same_tile(call_tile(kernel, p.linear->weights), tile);
        });
        multiply_group(from, m, {begin, end}, tile);
        begin = end;
    }
}

// Quantises m rows once and multiplies them with every layer of the group.
void Session::Impl::multiply_group(const float* from, int64_t m, std::span<const Projection> group,
                                   const tb_tile& tile) {
    std::array<Product, kMostProjections> products;
    for (size_t i = 0; i < group.size(); ++i) {
        const PackedWeights& weights = group[i].linear->weights;
        products.at(i) = {&weights, group[i].y, weights.shape.n};
    }
    const tb_shape shape = group.front().linear->weights.shape;
    {
        const RoleScope scope(observer, Role::Prepare);
        prepared.prepare(pool, kernel, tile, shape, from, m, shape.k);
    }
    const RoleScope scope(observer, Role::Product);
    multiply_all(pool, kernel, {products.data(), group.size()}, prepared, scratch, &tile);
    for (const Projection& p : group) {
        const float scale = p.linear->output_scale;
        if (scale == 1.0F) continue;
        const int64_t count = m * p.linear->weights.shape.n;
        for (int64_t i = 0; i < count; ++i) p.y[i] *= scale;
    }
}

void Session::Impl::rotate_and_store(int64_t layer, int64_t m) {
    const auto turn = c.rope == RopeKind::Neox ? ops.rope : ops.rope_pairs;
    for_tokens(pool, m, q_dim + 2 * kv_dim, [&](int64_t t) {
        const int64_t at = position + t;
        float* key = k.as<float>() + t * kv_dim;
        turn(q.as<float>() + t * q_dim, c.heads, c.head_dim, rope.cos(at), rope.sin(at));
        turn(key, c.kv_heads, c.head_dim, rope.cos(at), rope.sin(at));
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

// gate = activation(gate) * up.
void Session::Impl::activate(int64_t m) {
    const RoleScope scope(observer, Role::Activation);
    const auto apply = c.activation == Activation::Relu2 ? ops.relu2_gate : ops.silu_gate;
    for_tokens(pool, m, c.ffn, [&](int64_t t) {
        float* g = gate.as<float>() + t * c.ffn;
        apply(g, up.as<float>() + t * c.ffn, c.ffn, g);
    });
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
            {{&layer.q, q.as<float>()}, {&layer.k, k.as<float>()}, {&layer.v, v.as<float>()}});
    {
        const RoleScope scope(observer, Role::Attention);
        rotate_and_store(index, m);
        attend(index, m);
    }
    if (c.sub_norms) normalise(attended.as<float>(), layer.attn_sub_norm, m, attended.as<float>());
    project(attended.as<float>(), m, {{&layer.o, result.as<float>()}});
    add_residual(m);

    normalise(x.as<float>(), layer.ffn_norm, m, normed.as<float>());
    project(normed.as<float>(), m, {{&layer.gate, gate.as<float>()}, {&layer.up, up.as<float>()}});
    activate(m);
    if (c.sub_norms) normalise(gate.as<float>(), layer.ffn_sub_norm, m, gate.as<float>());
    project(gate.as<float>(), m, {{&layer.down, result.as<float>()}});
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

}  // namespace tritbench
