// The forward pass, top to bottom.
#include <algorithm>
#include <array>
#include <atomic>
#include <cmath>
#include <cstring>
#include <string_view>

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

// One preparation serves both calls.
bool same_preparation(const PlanCall& a, const PlanCall& b) {
    if (std::string_view(a.kernel->prepare_tag) != b.kernel->prepare_tag) return false;
    const auto plain = [](const tb_kernel& kernel) {
        for (int i = 0; i < kernel.tile_param_count; ++i) {
            if ((kernel.tile_params[i].affects & TB_TILE_AFFECTS_PREPARE) != 0) return false;
        }
        return true;
    };
    if (a.kernel == b.kernel && same_tile(a.tile, b.tile)) return true;
    return plain(*a.kernel) && plain(*b.kernel);
}

}  // namespace

void Session::Impl::embed(std::span<const int32_t> tokens) {
    const RoleScope scope(observer, Role::Embed);
    FirstError error;
    for_tokens(pool, static_cast<int64_t>(tokens.size()), c.hidden, [&](int64_t t) {
        const int64_t row = tokens[static_cast<size_t>(t)];
        float* to = x.as<float>() + t * c.hidden;
        try {
            model.embed(row, to);
            squares.as<float>()[t] = ops.sum_squares(to, c.hidden);
        } catch (...) {
            error.keep(std::current_exception());
        }
    });
    error.rethrow();
}

// y = RMSNorm(x), row by row; `squares` are those of x. Leaves the maxima of y in `maxima`.
void Session::Impl::normalise(const float* from, const std::vector<float>& weights, int64_t m,
                              float* to) {
    const RoleScope scope(observer, Role::Norm);
    const auto width = static_cast<int64_t>(weights.size());
    for_tokens(pool, m, width, [&](int64_t t) {
        maxima.as<float>()[t] = ops.norm_scale(from + t * width, squares.as<float>()[t],
                                               weights.data(), c.norm_eps, width, to + t * width);
    });
}

void Session::Impl::normalise_attended(const std::vector<float>& weights, int64_t m) {
    const RoleScope scope(observer, Role::Norm);
    for_tokens(pool, m, q_dim, [&](int64_t t) {
        float* row = attended.as<float>() + t * q_dim;
        maxima.as<float>()[t] = ops.norm_scale(row, ops.sum_squares(row, q_dim), weights.data(),
                                               c.norm_eps, q_dim, row);
    });
}

// Products of the same m rows, whose maxima are given if known. Layers of other kernels or tiles
// may want differently prepared rows; consecutive ones with the same call run together.
void Session::Impl::project(const float* from, const float* row_maxima, int64_t m,
                            std::initializer_list<Projection> projections) {
    const PlanCall* prepared_for = nullptr;
    const Projection* begin = projections.begin();
    while (begin != projections.end()) {
        const PlanCall& call = call_of(*begin->linear, m);
        const Projection* end = std::find_if(begin, projections.end(), [&](const Projection& p) {
            const PlanCall& other = call_of(*p.linear, m);
            return other.kernel != call.kernel || !same_tile(other.tile, call.tile);
        });
        if (prepared_for == nullptr || !same_preparation(*prepared_for, call)) {
            const RoleScope scope(observer, Role::Prepare);
            const tb_shape shape = begin->linear->weights.shape;
            prepared.prepare(pool, *call.kernel, call.tile, shape, from, m, shape.k, row_maxima);
            prepared_for = &call;
        }
        multiply_group(m, {begin, end}, call);
        begin = end;
    }
}

// Multiplies the prepared rows with every layer of the group.
void Session::Impl::multiply_group(int64_t m, std::span<const Projection> group,
                                   const PlanCall& call) {
    std::array<Product, kMostProjections> products;
    for (size_t i = 0; i < group.size(); ++i) {
        const PackedWeights& weights = group[i].linear->weights;
        products.at(i) = {&weights, group[i].y, weights.shape.n};
        if (observer.input != nullptr) {
            observer.input(observer.context, *call.kernel, weights, prepared);
        }
    }
    const RoleScope scope(observer, Role::Product);
    multiply_all(pool, *call.kernel, {products.data(), group.size()}, prepared, scratch,
                 &call.tile);
    for (const Projection& p : group) {
        const float scale = p.linear->output_scale;
        if (scale == 1.0F) continue;
        const int64_t count = m * p.linear->weights.shape.n;
        for (int64_t i = 0; i < count; ++i) p.y[i] *= scale;
    }
}

void Session::Impl::rotate_and_store(int64_t layer, const Run& run) {
    const auto turn = c.rope == RopeKind::Neox ? ops.rope : ops.rope_pairs;
    for_tokens(pool, run.count, q_dim + 2 * kv_dim, [&](int64_t t) {
        const int64_t row = run.first + t, at = run.position + t;
        float* key = k.as<float>() + row * kv_dim;
        turn(q.as<float>() + row * q_dim, c.heads, c.head_dim, rope.cos(at), rope.sin(at));
        turn(key, c.kv_heads, c.head_dim, rope.cos(at), rope.sin(at));
        cache.store(ops, run.sequence, layer, at, key, v.as<float>() + row * kv_dim);
    });
}

// Cuts tokens x heads into rectangles that workers take as they become free, the longest rows
// first. Which worker computes one does not touch its bits.
void Session::Impl::attend(int64_t layer) {
    tiles.clear();
    int64_t sees = 0;  // keys of all queries
    for (const Run& run : runs) {
        for (int64_t t = 0; t < run.count; t += kAttentionTokens) {
            tiles.push_back({run.first + t, std::min(kAttentionTokens, run.count - t), run.sequence,
                             run.position + t});
        }
        sees += run.count * (run.position + run.count);
    }
    const auto tile_count = static_cast<int64_t>(tiles.size());
    const int64_t group = c.heads / c.kv_heads;
    // Rectangles lie within the heads of one KV head, to share its keys and values; that many
    // are halved while there are too few to balance the workers: each part reads them anew.
    int64_t heads_each = group;
    const auto parts = [&] { return (group + heads_each - 1) / heads_each; };
    while (heads_each > 1 && tile_count * c.kv_heads * parts() < 2 * pool.threads()) {
        heads_each = (heads_each + 1) / 2;
    }
    const int64_t items_per_tile = c.kv_heads * parts();
    const int64_t items = tile_count * items_per_tile;
    std::atomic<int64_t> next{0};
    const auto work = [&](int worker, int) {
        tb_attention a{};
        a.q_stride = a.out_stride = q_dim;
        a.cache_type = cache.op_type();
        a.head_stride = cache.head_stride();
        a.row_stride = cache.row_stride();
        a.heads = c.heads;
        a.kv_heads = c.kv_heads;
        a.head_dim = c.head_dim;
        a.scale = 1.0F / std::sqrt(static_cast<float>(c.head_dim));
        a.scratch = attention_scratch.as<float>() + attention_stride * worker;
        for (;;) {
            const int64_t item = next.fetch_add(1, std::memory_order_relaxed);
            if (item >= items) return;
            const Run& tile = tiles[static_cast<size_t>(tile_count - 1 - item / items_per_tile)];
            const int64_t kv_head = item % items_per_tile / parts();
            const int64_t part = item % items_per_tile % parts();
            a.q = q.as<float>() + tile.first * q_dim;
            a.out = attended.as<float>() + tile.first * q_dim;
            a.k = cache.keys(tile.sequence, layer);
            a.v = cache.values(tile.sequence, layer);
            a.position = tile.position;
            a.token_begin = 0;
            a.token_end = tile.count;
            a.head_begin = kv_head * group + part * heads_each;
            a.head_end = std::min(a.head_begin + heads_each, (kv_head + 1) * group);
            ops.attention(&a);
        }
    };
    if (sees * q_dim < kSerialElements) {
        work(0, 1);
    } else {
        pool.for_each_worker(work);
    }
}

// gate = activation(gate) * up, normalised if the graph does.
void Session::Impl::activate(const std::vector<float>& sub_norm, int64_t m) {
    const RoleScope scope(observer, Role::Activation);
    const auto apply = c.activation == Activation::Relu2 ? ops.relu2_gate : ops.silu_gate;
    for_tokens(pool, m, c.ffn, [&](int64_t t) {
        float* g = gate.as<float>() + t * c.ffn;
        const float sum = apply(g, up.as<float>() + t * c.ffn, c.ffn, g);
        if (!c.sub_norms) return;
        maxima.as<float>()[t] = ops.norm_scale(g, sum, sub_norm.data(), c.norm_eps, c.ffn, g);
    });
}

void Session::Impl::add_residual(int64_t m) {
    const RoleScope scope(observer, Role::Other);
    for_tokens(pool, m, c.hidden, [&](int64_t t) {
        squares.as<float>()[t] =
            ops.add(x.as<float>() + t * c.hidden, result.as<float>() + t * c.hidden, c.hidden);
    });
}

void Session::Impl::run_layer(int64_t index, int64_t m) {
    const Layer& layer = model.layers[static_cast<size_t>(index) % model.layers.size()];
    const float* const known = maxima.as<float>();
    const float* const of_sub_norm = c.sub_norms ? known : nullptr;
    normalise(x.as<float>(), layer.attn_norm, m, normed.as<float>());
    project(normed.as<float>(), known, m,
            {{&layer.q, q.as<float>()}, {&layer.k, k.as<float>()}, {&layer.v, v.as<float>()}});
    {
        const RoleScope scope(observer, Role::Attention);
        for (const Run& run : runs) rotate_and_store(index, run);
        attend(index);
    }
    if (c.sub_norms) normalise_attended(layer.attn_sub_norm, m);
    project(attended.as<float>(), of_sub_norm, m, {{&layer.o, result.as<float>()}});
    add_residual(m);

    normalise(x.as<float>(), layer.ffn_norm, m, normed.as<float>());
    project(normed.as<float>(), known, m,
            {{&layer.gate, gate.as<float>()}, {&layer.up, up.as<float>()}});
    activate(layer.ffn_sub_norm, m);
    project(gate.as<float>(), of_sub_norm, m, {{&layer.down, result.as<float>()}});
    add_residual(m);
}

void Session::Impl::run_batch(std::span<const int32_t> tokens) {
    embed(tokens);
    for (int64_t i = 0; i < model.layers_run; ++i)
        run_layer(i, static_cast<int64_t>(tokens.size()));
}

// Logits of the rows [first, first + m) of the last batch, row by row.
void Session::Impl::head(int64_t first, int64_t m, float* to) {
    {
        const RoleScope scope(observer, Role::Norm);
        for_tokens(pool, m, c.hidden, [&](int64_t t) {
            maxima.as<float>()[t] = ops.norm_scale(
                x.as<float>() + (first + t) * c.hidden, squares.as<float>()[first + t],
                model.output_norm.data(), c.norm_eps, c.hidden, normed.as<float>() + t * c.hidden);
        });
    }
    const RoleScope scope(observer, Role::Head);
    const PlanCall& call = call_for(head_calls, m);
    head_prepared.prepare(pool, *call.kernel, call.tile, model.head.shape, normed.as<float>(), m,
                          c.hidden, maxima.as<float>());
    multiply(pool, *call.kernel, model.head, head_prepared, head_scratch, to, c.vocab, &call.tile);
}

}  // namespace tritbench
