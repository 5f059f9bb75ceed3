// Attention, for kernels/ops/ops.inl.
//
// A rectangle of (token, head) pairs of one KV head goes through blocks of keys, then exp, then
// through blocks of values: maxima must be known before exp, so that scores are kept. Pairs are
// multiplied in tiles whose sums stay in registers. One tile reads the cache itself; several
// share a block that was converted to floats for all of them.
namespace {

constexpr int kRows = TB_ATTENTION_ROWS;
constexpr int64_t kBlock = TB_ATTENTION_BLOCK;
constexpr int kKeys = 4;                                // keys whose dot products run together
constexpr int kParts = kLanes / TB_OPS_LANES;           // native vectors of 16 lanes
constexpr int kScoreRows = TB_OPS_LANES == 16 ? 4 : 2;  // pairs of a tile of scores
constexpr int kValueRows = 4;                           // pairs of a tile of values,
constexpr int kColumns = TB_OPS_LANES == 16 ? 4 : 2;    // and its native vectors

// What up to kRows (token, head) pairs with the same KV head work on.
struct Rows {
    float* q;       // [kRows][row_stride], zero behind head_dim
    float* out;     // [kRows][row_stride], not yet divided by the sum
    float* block;   // [kBlock][row_stride]
    float* scores;  // [kRows][score_stride]
    int64_t score_stride, row_stride;
    int64_t position;    // of token 0
    int64_t first_pair;  // the pairs of the rectangle are tokens x heads, tokens outermost
    int64_t heads;       // of the rectangle
    int count;

    int64_t token(int row) const { return (first_pair + row) / heads; }
    int64_t head(int row) const { return (first_pair + row) % heads; }
    // Cached positions that a row may look at: those of later rows are no fewer.
    int64_t sees(int row) const { return position + token(row) + 1; }
    int64_t positions() const { return sees(count - 1); }
};

// sums[r][key] += q_r . k_key in the lanes of one native vector of the sixteen.
template <int Q, class T>
inline void dot_part(const float* q, const T* k, int64_t row, Native (&sums)[Q][kKeys]) {
    for (int r = 0; r < Q; ++r) {
        for (int key = 0; key < kKeys; ++key) sums[r][key] = Native{};
    }
    for (int64_t d = 0; d < row; d += kLanes) {
#pragma GCC unroll 4
        for (int key = 0; key < kKeys; ++key) {
            const Native kv = native(k + key * row + d);
#pragma GCC unroll 4
            for (int r = 0; r < Q; ++r) {
                sums[r][key] = sums[r][key] + native(q + r * row + d) * kv;
            }
        }
    }
}

// scores[r][j..j+3] = scale * q_r . k_j for Q rows; k is the row of key j.
template <int Q, class T>
inline void score_tile(const Rows& rows, int first, const T* k, int64_t j, float scale) {
    const float* q = rows.q + first * rows.row_stride;
    float lanes[Q][kKeys][kLanes];
#pragma GCC unroll 4
    for (int part = 0; part < kParts; ++part) {
        const int64_t lane = part * TB_OPS_LANES;
        Native sums[Q][kKeys];
        dot_part<Q>(q + lane, k + lane, rows.row_stride, sums);
        for (int r = 0; r < Q; ++r) {
            for (int key = 0; key < kKeys; ++key) {
                Access<Native>::store(lanes[r][key] + lane, sums[r][key]);
            }
        }
    }
    for (int r = 0; r < Q; ++r) {
        const F4 dots =
            sum16(load(lanes[r][0]), load(lanes[r][1]), load(lanes[r][2]), load(lanes[r][3])) *
            scale;
        __builtin_memcpy(rows.scores + (first + r) * rows.score_stride + j, &dots, sizeof dots);
    }
}

// The keys [begin, end) for Q rows, as far as the last of them sees.
template <int Q, class T>
inline void score_keys(const Rows& rows, int first, const T* k, int64_t begin, int64_t end,
                       float scale) {
    const int64_t sees = rows.sees(first + Q - 1);
    const int64_t stop = end < sees ? end : sees;
    for (int64_t j = begin; j < stop; j += kKeys) {
        score_tile<Q>(rows, first, k + (j - begin) * rows.row_stride, j, scale);
    }
}

template <class T>
void score_block(const Rows& rows, const T* k, int64_t begin, int64_t end, float scale) {
    int r = 0;
    for (; r + kScoreRows <= rows.count; r += kScoreRows) {
        score_keys<kScoreRows>(rows, r, k, begin, end, scale);
    }
    switch (rows.count - r) {
        case 3:
            score_keys<3>(rows, r, k, begin, end, scale);
            break;
        case 2:
            score_keys<2>(rows, r, k, begin, end, scale);
            break;
        case 1:
            score_keys<1>(rows, r, k, begin, end, scale);
            break;
        default:
            break;
    }
}

// out[r][d..] += sum_j scores[r][j] * v_j[d..], j ascending, for R rows and C native vectors; v is
// column d of the row of value `begin`.
template <int R, int C, class T>
inline void value_tile(const Rows& rows, int first, const T* v, int64_t d, int64_t begin,
                       int64_t end) {
    Native sums[R][C];
    float* out = rows.out + first * rows.row_stride + d;
    const float* p = rows.scores + first * rows.score_stride;
    for (int r = 0; r < R; ++r) {
        for (int c = 0; c < C; ++c) sums[r][c] = native(out + r * rows.row_stride + c * kNative);
    }
    for (int64_t j = begin; j < end; ++j, v += rows.row_stride) {
        Native values[C];
#pragma GCC unroll 8
        for (int c = 0; c < C; ++c) values[c] = native(v + c * kNative);
#pragma GCC unroll 4
        for (int r = 0; r < R; ++r) {
            const Native weight = Access<Native>::splat(p[r * rows.score_stride + j]);
#pragma GCC unroll 8
            for (int c = 0; c < C; ++c) sums[r][c] = sums[r][c] + weight * values[c];
        }
    }
    for (int r = 0; r < R; ++r) {
        for (int c = 0; c < C; ++c) {
            Access<Native>::store(out + r * rows.row_stride + c * kNative, sums[r][c]);
        }
    }
}

template <int R, class T>
inline void value_columns(const Rows& rows, int first, const T* v, int64_t begin, int64_t end) {
    constexpr int64_t kStep = kColumns * kNative;
    const int64_t sees = rows.sees(first + R - 1);
    const int64_t stop = end < sees ? end : sees;
    int64_t d = 0;
    for (; d + kStep <= rows.row_stride; d += kStep) {
        value_tile<R, kColumns>(rows, first, v + d, d, begin, stop);
    }
    for (; d < rows.row_stride; d += kNative) {
        value_tile<R, 1>(rows, first, v + d, d, begin, stop);
    }
}

template <class T>
void value_block(const Rows& rows, const T* v, int64_t begin, int64_t end) {
    int r = 0;
    for (; r + kValueRows <= rows.count; r += kValueRows) {
        value_columns<kValueRows>(rows, r, v, begin, end);
    }
    switch (rows.count - r) {
        case 3:
            value_columns<3>(rows, r, v, begin, end);
            break;
        case 2:
            value_columns<2>(rows, r, v, begin, end);
            break;
        case 1:
            value_columns<1>(rows, r, v, begin, end);
            break;
        default:
            break;
    }
}

// Rows of the cache as floats, whole quadruples of them: keys are read four at a time.
inline const float* widen_block(const Rows& rows, const uint16_t* from, int64_t count) {
    const int64_t elements = (count + kKeys - 1) / kKeys * kKeys * rows.row_stride;
    for (int64_t i = 0; i < elements; i += kLanes) {
        for (int part = 0; part < kParts; ++part) {
            const int64_t at = i + part * kNative;
            Access<Native>::store(rows.block + at, native(from + at));
        }
    }
    return rows.block;
}
inline const float* widen_block(const Rows&, const float* from, int64_t) {
    return from;
}

// Calls body(rows of the cache, begin, end) for blocks of positions: the cache itself where one
// tile of `tile` rows is all there is.
template <class T, class Body>
inline void for_blocks(const Rows& rows, const T* cache, int tile, Body body) {
    const int64_t positions = rows.positions();
    for (int64_t begin = 0; begin < positions; begin += kBlock) {
        const int64_t end = begin + kBlock < positions ? begin + kBlock : positions;
        const T* from = cache + begin * rows.row_stride;
        if (rows.count <= tile) {
            body(from, begin, end);
        } else {
            body(widen_block(rows, from, end - begin), begin, end);
        }
    }
}

template <class T>
void attend_rows(const tb_attention& a, const Rows& rows, int64_t head_begin, const T* k,
                 const T* v) {
    const int64_t padded = rows.score_stride;
    for (int r = 0; r < rows.count; ++r) {
        const float* q =
            a.q + rows.token(r) * a.q_stride + (head_begin + rows.head(r)) * a.head_dim;
        float* to = rows.q + r * rows.row_stride;
        for (int64_t d = 0; d < a.head_dim; ++d) to[d] = q[d];
        for (int64_t d = a.head_dim; d < rows.row_stride; ++d) to[d] = 0.0F;
        for (int64_t d = 0; d < rows.row_stride; ++d) rows.out[r * rows.row_stride + d] = 0.0F;
    }
    for_blocks(rows, k, kScoreRows, [&](const auto* keys, int64_t begin, int64_t end) {
        score_block(rows, keys, begin, end, a.scale);
    });
    float sums[kRows];
    for (int r = 0; r < rows.count; ++r) {
        float* scores = rows.scores + r * padded;
        for (int64_t j = rows.sees(r); j < padded; ++j) scores[j] = -__builtin_inff();
        sums[r] = exp_row(scores, padded);
    }
    for_blocks(rows, v, kValueRows, [&](const auto* values, int64_t begin, int64_t end) {
        value_block(rows, values, begin, end);
    });
    for (int r = 0; r < rows.count; ++r) {
        float* out =
            a.out + rows.token(r) * a.out_stride + (head_begin + rows.head(r)) * a.head_dim;
        for (int64_t d = 0; d < a.head_dim; ++d) {
            out[d] = rows.out[r * rows.row_stride + d] / sums[r];
        }
    }
}

template <class T>
void attend(const tb_attention& a) {
    const int64_t group = a.heads / a.kv_heads;
    Rows rows;
    rows.row_stride = a.row_stride;
    rows.q = a.scratch;
    rows.out = rows.q + kRows * a.row_stride;
    rows.block = rows.out + kRows * a.row_stride;
    rows.scores = rows.block + kBlock * a.row_stride;
    rows.position = a.position;
    int64_t head = a.head_begin;
    while (head < a.head_end) {
        const int64_t kv_head = head / group;
        const int64_t group_end = (kv_head + 1) * group;
        const int64_t end = group_end < a.head_end ? group_end : a.head_end;
        rows.heads = end - head;
        const int64_t pairs_end = a.token_end * rows.heads;
        for (int64_t pair = a.token_begin * rows.heads; pair < pairs_end; pair += kRows) {
            rows.first_pair = pair;
            rows.count = static_cast<int>(pairs_end - pair < kRows ? pairs_end - pair : kRows);
            rows.score_stride = (rows.positions() + kLanes - 1) / kLanes * kLanes;
            attend_rows(a, rows, head, static_cast<const T*>(a.k) + kv_head * a.head_stride,
                        static_cast<const T*>(a.v) + kv_head * a.head_stride);
        }
        head = end;
    }
}

void attention(const tb_attention* a) {
    if (a->cache_type == TB_CACHE_F16) {
        attend<uint16_t>(*a);
    } else {
        attend<float>(*a);
    }
}

}  // namespace
