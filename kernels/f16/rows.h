/* The loops of `f16` around a register tile. Every output is 16 lanes (lane = k % 16) of fused
 * multiply-adds in order of k, then the tree 16 -> 8 -> 4 -> 2 -> 1, whatever tile computes it: the
 * bits do not depend on ISA, batch or split.
 *
 *   Tile: template <int R, int T> static void run(const uint16_t* w, int64_t ldw, const float* x,
 *                                                 int64_t ldx, int64_t k, float out[R][T]);
 * Static: see dot/epilogue.h. */
#ifndef TRITBENCH_KERNELS_F16_ROWS_H
#define TRITBENCH_KERNELS_F16_ROWS_H

#include "kernels/f16/layout.h"

namespace {

// R rows of W, `apart` rows from one to the next, against T tokens.
template <class Tile, int R, int T>
inline void tile_and_store(const tb_product* p, int64_t m, int64_t n, int64_t apart = 1) {
    const int64_t k = p->shape.k, ldx = tb_float_stride(k);
    float sums[R][T];
    Tile::template run<R, T>(static_cast<const uint16_t*>(p->packed) + n * k, apart * k,
                             static_cast<const float*>(p->prepared) + m * ldx, ldx, k, sums);
    for (int t = 0; t < T; ++t) {
        for (int r = 0; r < R; ++r) p->y[(m + t) * p->ldy + n + r * apart] = sums[r][t];
    }
}

// One token: the rows are cut in R equal parts that are walked side by side, so that memory sees R
// long streams, each prefetched into its own next row: adjacent rows leave a tenth of the
// bandwidth.
template <class Tile, int R>
void product_streams(const tb_product* p) {
    const int64_t apart = (p->n_end - p->n_begin) / R;
    for (int64_t n = p->n_begin; n < p->n_begin + apart; ++n) {
        tile_and_store<Tile, R, 1>(p, 0, n, apart);
    }
    for (int64_t n = p->n_begin + R * apart; n < p->n_end; ++n) tile_and_store<Tile, 1, 1>(p, 0, n);
}

constexpr int64_t kPanelBytes = 512 * 1024;  // weights that stay in L2 while all tokens pass by

// The rows [begin, end) against T tokens, R rows at a time and the rest singly.
template <class Tile, int R, int T>
inline void rows_of_tokens(const tb_product* p, int64_t m, int64_t begin, int64_t end) {
    int64_t n = begin;
    for (; n + R <= end; n += R) tile_and_store<Tile, R, T>(p, m, n);
    for (; n < end; ++n) tile_and_store<Tile, 1, T>(p, m, n);
}

// Panel by panel of rows: T tokens, then those left over, against the panel.
template <class Tile, int R, int T>
void product_rows(const tb_product* p) {
    const int64_t fitting = kPanelBytes / (p->shape.k * 2) / R * R;
    const int64_t panel = fitting > R ? fitting : R;
    for (int64_t begin = p->n_begin; begin < p->n_end; begin += panel) {
        const int64_t end = p->n_end - begin < panel ? p->n_end : begin + panel;
        int64_t m = 0;
        for (; m + T <= p->m; m += T) rows_of_tokens<Tile, R, T>(p, m, begin, end);
        for (; m < p->m; ++m) rows_of_tokens<Tile, R, 1>(p, m, begin, end);
    }
}

}  // namespace

#endif
