// The inner loops of attention, for kernels/ops/attention.inl: tiles of scores and of values whose
// sums stay in registers, and blocks made of tiles.
namespace {

constexpr int kRows = TB_ATTENTION_ROWS;
constexpr int kKeys = 4;                                // keys whose dot products run together
constexpr int kParts = kLanes / TB_OPS_LANES;           // native vectors of 16 lanes
constexpr int kScoreRows = TB_OPS_LANES == 16 ? 4 : 2;  // pairs of a tile of scores
constexpr int64_t kScoreBlock = 32;                     // keys that all pairs go through at once
constexpr int kValueRows = 4;                           // pairs of a tile of values,
constexpr int kColumns = TB_OPS_LANES == 16 ? 4 : 2;    // and its native vectors

// What up to kRows (token, head) pairs with the same KV head work on.
struct Rows {
    float* q;       // [kRows][row_stride], zero behind head_dim
    float* out;     // [kRows][row_stride], not yet divided by the sum
    float* block;   // [kBlock][row_stride]
    float* scores;  // [kRows][score_stride]
    int64_t score_stride, row_stride;
    int64_t ahead;  // floats to fetch ahead of what is read; 0: that comes by itself
    int count;
    int64_t sees[kRows];  // cached positions that a row may look at: of later rows no fewer

    int64_t positions() const { return sees[count - 1]; }
};

// Keeps v in a register where the compiler would rather load it again for every use.
inline void hold(Native& v) {
#if TB_OPS_LANES == 16
    asm("" : "+v"(v));
#elif TB_OPS_LANES == 8
    asm("" : "+x"(v));
#else
    static_cast<void>(v);
#endif
}

// Asks for the cache lines of `count` elements. What lies beyond the cache is not fetched.
template <class T>
inline void fetch(const T* p, int64_t count) {
    constexpr int64_t kLine = 64 / sizeof(T);
    for (int64_t i = 0; i < count; i += kLine) __builtin_prefetch(p + i);
}

// sums[r][key] += q_r . k_key in the lanes of one native vector of the sixteen.
template <int Q, class T>
inline void dot_part(const float* q, const T* k, int64_t row, Native (&sums)[Q][kKeys]) {
#pragma GCC unroll 4
    for (int r = 0; r < Q; ++r) {
#pragma GCC unroll 4
        for (int key = 0; key < kKeys; ++key) sums[r][key] = Native{};
    }
    for (int64_t d = 0; d < row; d += kLanes) {
#pragma GCC unroll 4
        for (int key = 0; key < kKeys; ++key) {
            Native kv = native(k + key * row + d);
            hold(kv);
#pragma GCC unroll 4
            for (int r = 0; r < Q; ++r) {
                sums[r][key] = sums[r][key] + native(q + r * row + d) * kv;
            }
        }
    }
}

// scores[r][j..j+3] = scale * q_r . k_j for Q rows; k is the row of key j.
template <int Q, class T>
[[gnu::always_inline]] inline void score_tile(const Rows& rows, int first, const T* k, int64_t j,
                                              float scale) {
    const float* q = rows.q + first * rows.row_stride;
    float* to = rows.scores + first * rows.score_stride + j;
    F4 dots[Q];
#if TB_OPS_LANES == 16
    if constexpr (Q == kKeys) {
        Native sums[Q][kKeys];
        dot_part<Q>(q, k, rows.row_stride, sums);
        const Native all = sum16(sums) * scale;
        __builtin_memcpy(dots, &all, sizeof all);
    } else
#endif
    {
        float lanes[Q][kKeys][kLanes];
        for (int64_t lane = 0; lane < kLanes; lane += kNative) {
            Native sums[Q][kKeys];
            dot_part<Q>(q + lane, k + lane, rows.row_stride, sums);
#pragma GCC unroll 4
            for (int r = 0; r < Q; ++r) {
#pragma GCC unroll 4
                for (int key = 0; key < kKeys; ++key) {
                    Access<Native>::store(lanes[r][key] + lane, sums[r][key]);
                }
            }
        }
#pragma GCC unroll 4
        for (int r = 0; r < Q; ++r) {
            dots[r] =
                sum16(load(lanes[r][0]), load(lanes[r][1]), load(lanes[r][2]), load(lanes[r][3])) *
                scale;
        }
    }
#pragma GCC unroll 4
    for (int r = 0; r < Q; ++r) {
        __builtin_memcpy(to + r * rows.score_stride, dots + r, sizeof dots[r]);
    }
}

// The keys [begin, end) for Q rows, as far as the last of them sees. Never inlined: the compiler
// keeps pointers of inner loops in registers only in functions that have little else.
template <int Q, class T>
[[gnu::noinline]] void score_keys(const Rows& rows, int first, const T* k, int64_t begin,
                                  int64_t end, float scale) {
    const int64_t sees = rows.sees[first + Q - 1];
    const int64_t stop = end < sees ? end : sees;
    for (int64_t j = begin; j < stop; j += kKeys) {
        const T* tile = k + (j - begin) * rows.row_stride;
        if (rows.ahead != 0 && first == 0) fetch(tile + rows.ahead, kKeys * rows.row_stride);
        score_tile<Q>(rows, first, tile, j, scale);
    }
}

// The keys [begin, end) for all rows, as many at a time as L1 holds beside the queries.
template <class T>
void score_block(const Rows& rows, const T* k, int64_t begin, int64_t end, float scale) {
    for (int64_t from = begin; from < end; from += kScoreBlock) {
        const int64_t to = from + kScoreBlock < end ? from + kScoreBlock : end;
        const T* keys = k + (from - begin) * rows.row_stride;
        int r = 0;
        for (; r + kScoreRows <= rows.count; r += kScoreRows) {
            score_keys<kScoreRows>(rows, r, keys, from, to, scale);
        }
        switch (rows.count - r) {
            case 3:
                score_keys<3>(rows, r, keys, from, to, scale);
                break;
            case 2:
                score_keys<2>(rows, r, keys, from, to, scale);
                break;
            case 1:
                score_keys<1>(rows, r, keys, from, to, scale);
                break;
            default:
                break;
        }
    }
}

// out[r][d..] += sum_j scores[r][j] * v_j[d..], j ascending, for R rows and C native vectors; v is
// column d of the row of value `begin`.
template <int R, int C, class T>
[[gnu::always_inline]] inline void value_tile(const Rows& rows, int first, const T* v, int64_t d,
                                              int64_t begin, int64_t end) {
    // With AVX-512 a multiplication broadcasts an operand from memory for nothing, where a
    // broadcast of its own takes the place of an addition. The compiler would make it one for all
    // columns, so that each column has a pointer that it cannot know to be the same.
    constexpr int kPointers = TB_OPS_LANES == 16 && R > 1 ? C : 1;
    Native sums[R][C];
    float* out = rows.out + first * rows.row_stride + d;
#pragma GCC unroll 4
    for (int r = 0; r < R; ++r) {
#pragma GCC unroll 8
        for (int c = 0; c < C; ++c) sums[r][c] = native(out + r * rows.row_stride + c * kNative);
    }
    const float* p[kPointers];
#pragma GCC unroll 8
    for (int c = 0; c < kPointers; ++c) {
        p[c] = rows.scores + first * rows.score_stride;
        if constexpr (kPointers > 1) asm volatile("" : "+r"(p[c]));
    }
    const int64_t ahead = first == 0 ? rows.ahead : 0;
    for (int64_t j = begin; j < end; ++j, v += rows.row_stride) {
        Native values[C];
        if constexpr (sizeof(T) == sizeof(float)) fetch(v + ahead, C * kNative);
#pragma GCC unroll 8
        for (int c = 0; c < C; ++c) {
            values[c] = native(v + c * kNative);
            hold(values[c]);
        }
#pragma GCC unroll 4
        for (int r = 0; r < R; ++r) {
#pragma GCC unroll 8
            for (int c = 0; c < C; ++c) {
                const float weight = p[c % kPointers][r * rows.score_stride + j];
                sums[r][c] = sums[r][c] + Access<Native>::splat(weight) * values[c];
            }
        }
    }
#pragma GCC unroll 4
    for (int r = 0; r < R; ++r) {
#pragma GCC unroll 8
        for (int c = 0; c < C; ++c) {
            Access<Native>::store(out + r * rows.row_stride + c * kNative, sums[r][c]);
        }
    }
}

template <int R, int C, class T>
[[gnu::noinline]] void value_rows(const Rows& rows, int first, const T* v, int64_t d, int64_t begin,
                                  int64_t end) {
    const int64_t sees = rows.sees[first + R - 1];
    value_tile<R, C>(rows, first, v, d, begin, end < sees ? end : sees);
}

// C native vectors of the values [begin, end), small enough for L1, for all rows.
template <int C, class T>
void value_columns(const Rows& rows, const T* v, int64_t d, int64_t begin, int64_t end) {
    int r = 0;
    for (; r + kValueRows <= rows.count; r += kValueRows) {
        value_rows<kValueRows, C>(rows, r, v, d, begin, end);
    }
    switch (rows.count - r) {
        case 3:
            value_rows<3, C>(rows, r, v, d, begin, end);
            break;
        case 2:
            value_rows<2, C>(rows, r, v, d, begin, end);
            break;
        case 1:
            value_rows<1, C>(rows, r, v, d, begin, end);
            break;
        default:
            break;
    }
}

template <class T>
void value_block(const Rows& rows, const T* v, int64_t begin, int64_t end) {
    constexpr int64_t kStep = kColumns * kNative;
    int64_t d = 0;
    for (; d + kStep <= rows.row_stride; d += kStep) {
        value_columns<kColumns>(rows, v + d, d, begin, end);
    }
    for (; d < rows.row_stride; d += kNative) value_columns<1>(rows, v + d, d, begin, end);
}

}  // namespace
