// The one source of all operation tables; each ISA file includes it with TB_OPS_LANES set to the
// lanes of its native vectors. Same bits from every lane count: see kernels/api/ops.h.
#include "kernels/api/ops.h"
#include "kernels/ops/vec16.inl"

namespace {

constexpr int64_t kLanes = 16;

// The last n % 16 elements, zero behind them.
inline V16 load_part(const float* p, int64_t count) {
    float lanes[kLanes] = {};
    for (int64_t i = 0; i < count; ++i) lanes[i] = p[i];
    return load(lanes);
}
inline void store_part(float* p, V16 v, int64_t count) {
    float lanes[kLanes];
    store(lanes, v);
    for (int64_t i = 0; i < count; ++i) p[i] = lanes[i];
}

void rms_norm(const float* x, const float* w, float eps, int64_t n, float* y) {
    const int64_t whole = n / kLanes * kLanes;
    V16 squares = splat(0.0F);
    for (int64_t i = 0; i < whole; i += kLanes) {
        const V16 v = load(x + i);
        squares = squares + v * v;
    }
    const V16 rest = load_part(x + whole, n - whole);
    const float mean = sum16(squares + rest * rest) / static_cast<float>(n);
    const float inverse = 1.0F / __builtin_sqrtf(mean + eps);
    for (int64_t i = 0; i < n; ++i) y[i] = x[i] * inverse * w[i];
}

void rope(float* x, int64_t heads, int64_t head_dim, const float* cos, const float* sin) {
    const int64_t half = head_dim / 2;
    for (int64_t h = 0; h < heads; ++h) {
        float* __restrict low = x + h * head_dim;
        float* __restrict high = low + half;
        for (int64_t i = 0; i < half; ++i) {
            const float a = low[i];
            const float b = high[i];
            low[i] = a * cos[i] - b * sin[i];
            high[i] = a * sin[i] + b * cos[i];
        }
    }
}

void rope_pairs(float* x, int64_t heads, int64_t head_dim, const float* cos, const float* sin) {
    const int64_t half = head_dim / 2;
    for (int64_t h = 0; h < heads; ++h) {
        float* row = x + h * head_dim;
        for (int64_t i = 0; i < half; ++i) {
            const float a = row[2 * i];
            const float b = row[2 * i + 1];
            row[2 * i] = a * cos[i] - b * sin[i];
            row[2 * i + 1] = a * sin[i] + b * cos[i];
        }
    }
}

// x[i] = exp(x[i] - max) for a row padded to whole vectors with -infinity; returns the sum.
// The padding adds exact zeros to its lanes.
float exp_row(float* x, int64_t padded) {
    V16 most = load(x);
    for (int64_t i = kLanes; i < padded; i += kLanes) most = maximum(most, load(x + i));
    const V16 offset = splat(max16(most));
    V16 sum = splat(0.0F);
    for (int64_t i = 0; i < padded; i += kLanes) {
        const V16 e = exp(load(x + i) - offset);
        store(x + i, e);
        sum = sum + e;
    }
    return sum16(sum);
}

void softmax(float* x, int64_t n) {
    const int64_t whole = n / kLanes * kLanes;
    const int64_t rest = n - whole;
    float tail[kLanes];
    for (int64_t i = 0; i < kLanes; ++i) tail[i] = i < rest ? x[whole + i] : -__builtin_inff();
    V16 most = load(tail);
    for (int64_t i = 0; i < whole; i += kLanes) most = maximum(most, load(x + i));
    const V16 offset = splat(max16(most));
    V16 sum = splat(0.0F);
    for (int64_t i = 0; i < whole; i += kLanes) {
        const V16 e = exp(load(x + i) - offset);
        store(x + i, e);
        sum = sum + e;
    }
    const V16 last = exp(load(tail) - offset);
    store_part(x + whole, last, rest);
    const float total = sum16(sum + last);
    for (int64_t i = 0; i < n; ++i) x[i] = x[i] / total;
}

void relu2_gate(const float* gate, const float* up, int64_t n, float* y) {
    for (int64_t i = 0; i < n; ++i) {
        const float g = gate[i] < 0.0F ? 0.0F : gate[i];  // a NaN stays visible
        y[i] = g * g * up[i];
    }
}

inline V16 silu(V16 gate) {
    return gate / (splat(1.0F) + exp(splat(0.0F) - gate));
}

void silu_gate(const float* gate, const float* up, int64_t n, float* y) {
    const int64_t whole = n / kLanes * kLanes;
    const int64_t rest = n - whole;
    for (int64_t i = 0; i < whole; i += kLanes) store(y + i, silu(load(gate + i)) * load(up + i));
    store_part(y + whole, silu(load_part(gate + whole, rest)) * load_part(up + whole, rest), rest);
}

void add(float* x, const float* y, int64_t n) {
    for (int64_t i = 0; i < n; ++i) x[i] += y[i];
}

void exp_all(const float* x, int64_t n, float* y) {
    const int64_t whole = n / kLanes * kLanes;
    for (int64_t i = 0; i < whole; i += kLanes) store(y + i, exp(load(x + i)));
    store_part(y + whole, exp(load_part(x + whole, n - whole)), n - whole);
}

// ---- attention --------------------------------------------------------------------------------

constexpr int kRows = TB_ATTENTION_ROWS;
constexpr int kKeys = 4;                                // keys whose dot products run together
constexpr int64_t kValueBlock = 64;                     // values kept in L1 over all of head_dim
constexpr int kQueryTile = TB_OPS_LANES == 16 ? 4 : 1;  // so that accumulators stay in registers
constexpr int kValueRows = TB_OPS_LANES == 4 ? 2 : 4;   // rows of one value tile
constexpr int kValueTile = TB_OPS_LANES == 16 ? 2 : 1;  // 16-lane columns of one value tile

// What up to kRows (token, head) pairs with the same KV head work on.
struct Rows {
    float* q;       // [kRows][row_stride], zero behind head_dim
    float* out;     // [kRows][row_stride], not yet divided by the sum
    float* scores;  // [kRows][score_stride]
    int64_t score_stride;
    const float* k;  // [positions][row_stride]
    const float* v;
    int64_t row_stride;
    int64_t positions;  // of the row that sees most
};

// scores[r][j..j+3] = scale * q_r . k_j for Q rows.
template <int Q>
inline void score_tile(const Rows& rows, int first, int64_t j, float scale) {
    V16 sums[Q][kKeys];
    for (int r = 0; r < Q; ++r) {
        for (int key = 0; key < kKeys; ++key) sums[r][key] = splat(0.0F);
    }
    const float* k = rows.k + j * rows.row_stride;
    const float* q = rows.q + first * rows.row_stride;
    for (int64_t d = 0; d < rows.row_stride; d += kLanes) {
#pragma GCC unroll 4
        for (int key = 0; key < kKeys; ++key) {
            const V16 kv = load(k + key * rows.row_stride + d);
#pragma GCC unroll 4
            for (int r = 0; r < Q; ++r) {
                sums[r][key] = sums[r][key] + load(q + r * rows.row_stride + d) * kv;
            }
        }
    }
    for (int r = 0; r < Q; ++r) {
        const F4 dots = sum16(sums[r][0], sums[r][1], sums[r][2], sums[r][3]) * scale;
        __builtin_memcpy(rows.scores + (first + r) * rows.score_stride + j, &dots, sizeof dots);
    }
}

void score_rows(const Rows& rows, int count, float scale) {
    for (int64_t j = 0; j < rows.positions; j += kKeys) {
        int r = 0;
        for (; r + kQueryTile <= count; r += kQueryTile) {
            score_tile<kQueryTile>(rows, r, j, scale);
        }
        for (; r < count; ++r) score_tile<1>(rows, r, j, scale);
    }
}

// out[r][d..] += sum_j scores[r][j] * v_j[d..], j ascending, for R rows and C columns of lanes.
template <int R, int C>
inline void value_tile(const Rows& rows, int first, int64_t d, int64_t begin, int64_t end) {
    V16 sums[R][C];
    float* out = rows.out + first * rows.row_stride + d;
    const float* p = rows.scores + first * rows.score_stride;
    for (int r = 0; r < R; ++r) {
        for (int c = 0; c < C; ++c) sums[r][c] = load(out + r * rows.row_stride + c * kLanes);
    }
    for (int64_t j = begin; j < end; ++j) {
        const float* v = rows.v + j * rows.row_stride + d;
#pragma GCC unroll 2
        for (int c = 0; c < C; ++c) {
            const V16 value = load(v + c * kLanes);
#pragma GCC unroll 4
            for (int r = 0; r < R; ++r) {
                sums[r][c] = sums[r][c] + splat(p[r * rows.score_stride + j]) * value;
            }
        }
    }
    for (int r = 0; r < R; ++r) {
        for (int c = 0; c < C; ++c) store(out + r * rows.row_stride + c * kLanes, sums[r][c]);
    }
}

template <int R>
inline void value_columns(const Rows& rows, int first, int64_t begin, int64_t end) {
    int64_t d = 0;
    for (; d + kValueTile * kLanes <= rows.row_stride; d += kValueTile * kLanes) {
        value_tile<R, kValueTile>(rows, first, d, begin, end);
    }
    for (; d < rows.row_stride; d += kLanes) value_tile<R, 1>(rows, first, d, begin, end);
}

void value_rows(const Rows& rows, int count) {
    for (int64_t begin = 0; begin < rows.positions; begin += kValueBlock) {
        const int64_t limit = begin + kValueBlock;
        const int64_t end = limit < rows.positions ? limit : rows.positions;
        int r = 0;
        for (; r + kValueRows <= count; r += kValueRows) {
            value_columns<kValueRows>(rows, r, begin, end);
        }
        for (; r < count; ++r) value_columns<1>(rows, r, begin, end);
    }
}

// The (token, head) pairs [first, first + count) of one KV head, tokens outermost.
void attend_rows(const tb_attention& a, Rows& rows, int64_t head_begin, int64_t head_count,
                 int64_t first, int count) {
    rows.positions = a.position + a.token_begin + (first + count - 1) / head_count + 1;
    const int64_t padded = (rows.positions + kLanes - 1) / kLanes * kLanes;
    rows.score_stride = padded;
    for (int r = 0; r < count; ++r) {
        const int64_t token = a.token_begin + (first + r) / head_count;
        const int64_t head = head_begin + (first + r) % head_count;
        const float* q = a.q + token * a.q_stride + head * a.head_dim;
        float* to = rows.q + r * rows.row_stride;
        for (int64_t d = 0; d < a.head_dim; ++d) to[d] = q[d];
        for (int64_t d = a.head_dim; d < rows.row_stride; ++d) to[d] = 0.0F;
        for (int64_t d = 0; d < rows.row_stride; ++d) rows.out[r * rows.row_stride + d] = 0.0F;
    }
    score_rows(rows, count, a.scale);
    float sums[kRows];
    for (int r = 0; r < count; ++r) {
        float* scores = rows.scores + r * padded;
        const int64_t sees = a.position + a.token_begin + (first + r) / head_count + 1;
        for (int64_t j = sees; j < padded; ++j) scores[j] = -__builtin_inff();
        sums[r] = exp_row(scores, padded);
    }
    value_rows(rows, count);
    for (int r = 0; r < count; ++r) {
        const int64_t token = a.token_begin + (first + r) / head_count;
        const int64_t head = head_begin + (first + r) % head_count;
        float* out = a.out + token * a.out_stride + head * a.head_dim;
        for (int64_t d = 0; d < a.head_dim; ++d) {
            out[d] = rows.out[r * rows.row_stride + d] / sums[r];
        }
    }
}

void attention(const tb_attention* a) {
    const int64_t group = a->heads / a->kv_heads;
    Rows rows;
    rows.row_stride = a->row_stride;
    rows.q = a->scratch;
    rows.out = rows.q + kRows * a->row_stride;
    rows.scores = rows.out + kRows * a->row_stride;
    int64_t head = a->head_begin;
    while (head < a->head_end) {
        const int64_t kv_head = head / group;
        const int64_t group_end = (kv_head + 1) * group;
        const int64_t end = group_end < a->head_end ? group_end : a->head_end;
        rows.k = a->k + kv_head * a->head_stride;
        rows.v = a->v + kv_head * a->head_stride;
        const int64_t pairs = (a->token_end - a->token_begin) * (end - head);
        for (int64_t first = 0; first < pairs; first += kRows) {
            const int64_t left = pairs - first;
            attend_rows(*a, rows, head, end - head, first,
                        static_cast<int>(left < kRows ? left : kRows));
        }
        head = end;
    }
}

}  // namespace

#define TB_OPS_TABLE(isa, features)                                                                \
    {                                                                                              \
        isa, features, rms_norm, rope, rope_pairs, softmax, attention, relu2_gate, silu_gate, add, \
            exp_all                                                                                \
    }
