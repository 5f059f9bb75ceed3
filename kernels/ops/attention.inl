// Attention, for kernels/ops/ops.inl.
//
// A rectangle of (token, head) pairs of one KV head goes through blocks of keys, then exp, then
// through blocks of values: maxima must be known before exp, so that scores are kept. Pairs are
// multiplied in tiles whose sums stay in registers. One or two read the cache itself; more
// share a block that was converted to floats for all of them.
namespace {

constexpr int64_t kBlock = TB_ATTENTION_BLOCK;
// Rows of a cache of floats that are fetched ahead: decoding goes through it faster than the CPU
// fetches by itself. Halves take as long to convert and multiply as to come.
constexpr int64_t kAhead = 16;

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

// Calls body(rows of the cache, begin, end) for blocks of positions: the cache itself where two
// tiles of `tile` rows are all there is. They convert twice, but while more of it comes.
template <class T, class Body>
inline void for_blocks(Rows& rows, const T* cache, int tile, Body body) {
    const int64_t positions = rows.positions();
    rows.ahead = sizeof(T) == sizeof(float) ? kAhead * rows.row_stride : 0;
    for (int64_t begin = 0; begin < positions; begin += kBlock) {
        const int64_t end = begin + kBlock < positions ? begin + kBlock : positions;
        const T* from = cache + begin * rows.row_stride;
        if (rows.count <= 2 * tile) {
            body(from, begin, end);
        } else {
            body(widen_block(rows, from, end - begin), begin, end);
        }
    }
}

// (token, head) pairs of the KV head whose keys and values these are: `heads` of each token, from
// head_begin, `first` being the first pair of the rows.
struct Pairs {
    int64_t first, head_begin, heads;

    int64_t token(int row) const { return (first + row) / heads; }
    int64_t head(int row) const { return head_begin + (first + row) % heads; }
};

// The queries of the rows, and what their sums begin with.
void begin_rows(const tb_attention& a, const Pairs& pairs, Rows& rows) {
    for (int r = 0; r < rows.count; ++r) {
        const int64_t token = pairs.token(r);
        rows.sees[r] = a.position + token + 1;
        const float* q = a.q + token * a.q_stride + pairs.head(r) * a.head_dim;
        float* to = rows.q + r * rows.row_stride;
        for (int64_t d = 0; d < a.head_dim; ++d) to[d] = q[d];
        for (int64_t d = a.head_dim; d < rows.row_stride; ++d) to[d] = 0.0F;
        for (int64_t d = 0; d < rows.row_stride; ++d) rows.out[r * rows.row_stride + d] = 0.0F;
    }
    rows.score_stride = (rows.positions() + kLanes - 1) / kLanes * kLanes;
}

template <class T>
void attend_rows(const tb_attention& a, const Pairs& pairs, Rows& rows, const T* k, const T* v) {
    begin_rows(a, pairs, rows);
    for_blocks(rows, k, kScoreRows, [&](const auto* keys, int64_t begin, int64_t end) {
        score_block(rows, keys, begin, end, a.scale);
    });
    float sums[kRows];
    for (int r = 0; r < rows.count; ++r) {
        float* scores = rows.scores + r * rows.score_stride;
        for (int64_t j = rows.sees[r]; j < rows.score_stride; ++j) scores[j] = -__builtin_inff();
        sums[r] = exp_row(scores, rows.score_stride);
    }
    for_blocks(rows, v, kValueRows, [&](const auto* values, int64_t begin, int64_t end) {
        value_block(rows, values, begin, end);
    });
    for (int r = 0; r < rows.count; ++r) {
        float* out = a.out + pairs.token(r) * a.out_stride + pairs.head(r) * a.head_dim;
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
    int64_t head = a.head_begin;
    while (head < a.head_end) {
        const int64_t kv_head = head / group;
        const int64_t group_end = (kv_head + 1) * group;
        const int64_t end = group_end < a.head_end ? group_end : a.head_end;
        Pairs pairs{0, head, end - head};
        const int64_t pairs_end = a.token_end * pairs.heads;
        for (pairs.first = a.token_begin * pairs.heads; pairs.first < pairs_end;
             pairs.first += kRows) {
            const int64_t left = pairs_end - pairs.first;
            rows.count = static_cast<int>(left < kRows ? left : kRows);
            attend_rows(a, pairs, rows, static_cast<const T*>(a.k) + kv_head * a.head_stride,
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
