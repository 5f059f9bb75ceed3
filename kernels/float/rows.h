/* The loops of `f32`, `f16` and `bf16` around a register tile. Every output is 16 lanes (lane = k %
 * 16) of fused multiply-adds in order of k, then the tree 16 -> 8 -> 4 -> 2 -> 1, whatever tile
 * computes it: the bits do not depend on ISA, batch, split or prefetch.
 *
 *   Tile: using Weight;
 *         R rows, `ldw` weights from one to the next, against T tokens:
 *         template <int R, int T>
 *         static void run(const Weight* w, int64_t ldw, const float* x, int64_t ldx, int64_t k,
 *                         Later later, float out[R][T]);
 *         The same for one token, taking `Lines` cache lines of a row before the next row has its
 *         turn, and prefetching `Ahead` bytes ahead of each (0: not):
 *         template <int R, int Lines, int Ahead>
 *         static void walk(const Weight* w, int64_t ldw, const float* x, int64_t k,
 *                          float out[R][1]);
 * Static: see dot/epilogue.h. */
#ifndef TRITBENCH_KERNELS_FLOAT_ROWS_H
#define TRITBENCH_KERNELS_FLOAT_ROWS_H

#include "kernels/dot/prefetch.h"
#include "kernels/float/layout.h"

namespace {

template <class Tile>
inline const typename Tile::Weight* row_of(const tb_product* p, int64_t n) {
    return static_cast<const typename Tile::Weight*>(p->packed) + n * p->shape.k;
}

inline const float* token_of(const tb_product* p, int64_t m) {
    return static_cast<const float*>(p->prepared) + m * tb_float_stride(p->shape.k);
}

// Bytes to bring to L2 while a tile computes, `step` of them for every 16 columns. A step shorter
// than a line asks for some lines again, which costs little.
struct Later {
    const char* at;
    int64_t step;
};

// R rows of W against T tokens.
template <class Tile, int R, int T>
inline void tile_and_store(const tb_product* p, int64_t m, int64_t n, Later later) {
    const int64_t k = p->shape.k;
    float sums[R][T];
    Tile::template run<R, T>(row_of<Tile>(p, n), k, token_of(p, m), tb_float_stride(k), k, later,
                             sums);
    for (int t = 0; t < T; ++t) {
        for (int r = 0; r < R; ++r) p->y[(m + t) * p->ldy + n + r] = sums[r][t];
    }
}

template <class Tile>
inline void single_row(const tb_product* p, int64_t m, int64_t n) {
    tile_and_store<Tile, 1, 1>(p, m, n, {});
}

// One token: the rows [begin, end) are cut in R equal parts that are walked side by side, so that
// memory sees R long streams and not R rows that begin again and again.
template <class Tile, int R, int Lines, int Ahead>
void walk_streams(const tb_product* p, int64_t m, int64_t begin, int64_t end) {
    const int64_t k = p->shape.k, apart = (end - begin) / R;
    float* y = p->y + m * p->ldy;
    for (int64_t n = begin; n < begin + apart; ++n) {
        float sums[R][1];
        Tile::template walk<R, Lines, Ahead>(row_of<Tile>(p, n), apart * k, token_of(p, m), k,
                                             sums);
        for (int r = 0; r < R; ++r) y[n + r * apart] = sums[r][0];
    }
    for (int64_t n = begin + R * apart; n < end; ++n) single_row<Tile>(p, m, n);
}

// The one token of a wide matrix does not stay in L1 beside the weights that pass through it, so
// that its bytes are traffic too: 4 for every column, for R * sizeof(Weight) of weights. Where the
// hardware prefetches by itself, what costs is that traffic, and more streams than it can follow.
// Measured on Zen 4 for K from 2560 to 13824: 6 streams of 2-byte weights, 4 lines of each at a
// time, read at 85-95% of its bandwidth (4 streams: 91-95% at 2560 but 72-80% from 4096 on; 8:
// 77-88%), and 3 of floats, a line at a time, at 88-100%. Where it needs help (Emerald Rapids), 4
// streams and a line at a time.
template <class Tile>
inline void streams(const tb_product* p, int64_t m, int64_t begin, int64_t end) {
    constexpr bool kFloats = sizeof(typename Tile::Weight) == 4;
    if (wants_prefetch(p->tile)) {
        walk_streams<Tile, 4, 1, kAhead>(p, m, begin, end);
    } else {
        walk_streams<Tile, kFloats ? 3 : 6, kFloats ? 1 : 4, 0>(p, m, begin, end);
    }
}

template <class Tile>
void product_streams(const tb_product* p) {
    streams<Tile>(p, 0, p->n_begin, p->n_end);
}

constexpr int64_t kPanelBytes = 512 * 1024;  // weights that stay in L2 while all tokens pass by

// The rows [begin, end) against T tokens, R rows at a time and the rest singly.
template <class Tile, int R, int T>
inline void rows_of_tokens(const tb_product* p, int64_t m, int64_t begin, int64_t end,
                           Later later) {
    int64_t n = begin;
    for (; n + R <= end; n += R) {
        tile_and_store<Tile, R, T>(p, m, n, later);
        later.at += later.step * (p->shape.k / 16);
    }
    for (; n < end; ++n) {
        for (int t = 0; t < T; ++t) single_row<Tile>(p, m + t, n);
    }
}

// Panel by panel of rows: three tokens at a time against the panel, then the two or the one left
// over. Meanwhile the next panel is fetched: a batch of 32 would spend a tenth of its time waiting
// for it.
template <class Tile, int R>
void product_rows(const tb_product* p) {
    const int64_t k = p->shape.k;
    const int64_t row_bytes = k * static_cast<int64_t>(sizeof(typename Tile::Weight));
    const int64_t fitting = kPanelBytes / row_bytes / R * R;
    const int64_t panel = fitting > R ? fitting : R;
    const int64_t threes = p->m / 3 > 0 ? p->m / 3 : 1;
    const auto weights_a_step = static_cast<int64_t>(R * 16 * sizeof(typename Tile::Weight));
    for (int64_t begin = p->n_begin; begin < p->n_end; begin += panel) {
        const int64_t end = p->n_end - begin < panel ? p->n_end : begin + panel;
        Later later{reinterpret_cast<const char*>(row_of<Tile>(p, end)),
                    weights_a_step / threes + 1};
        int64_t m = 0;
        for (; m + 3 <= p->m; m += 3) {
            rows_of_tokens<Tile, R, 3>(p, m, begin, end, later);
            later.at += later.step * (k / 16) * ((end - begin) / R);
        }
        if (m + 2 == p->m) rows_of_tokens<Tile, R, 2>(p, m, begin, end, later);
        if (m + 1 == p->m) rows_of_tokens<Tile, R, 1>(p, m, begin, end, later);
    }
}

}  // namespace

#endif
