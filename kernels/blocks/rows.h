/* The loops of the block formats around a register tile. An output is 8 lanes and their tree
 * (prepared_block.h), whatever tile computes it: the bits do not depend on ISA, batch or split.
 *
 *   Tile: using Format;
 *         R rows, `ldw` bytes from one to the next, against T tokens of `chunks` chunks each; the
 *         tensor ends at `end`:
 *         template <int R, int T, bool Prefetch>
 *         static void run(const uint8_t* w, int64_t ldw, const uint8_t* end,
 *                         const tb_block32_chunk* x, int64_t chunks, int64_t k,
 *                         float (&out)[R][T]);
 * Static: see dot/epilogue.h. */
#ifndef TRITBENCH_KERNELS_BLOCKS_ROWS_H
#define TRITBENCH_KERNELS_BLOCKS_ROWS_H

#include "kernels/blocks/layout.h"
#include "kernels/dot/prefetch.h"
#include "kernels/dot/streams.h"

namespace {

// R rows of W, `apart` rows from one to the next, against T tokens.
template <class Tile, int R, int T, bool Prefetch = false>
inline void tile_and_store(const tb_product* p, int64_t m, int64_t n, int64_t apart = 1) {
    const int64_t bytes = row_bytes<typename Tile::Format>(&p->shape);
    const auto* packed = static_cast<const uint8_t*>(p->packed);
    float sums[R][T];
    Tile::template run<R, T, Prefetch>(packed + n * bytes, apart * bytes,
                                       packed + p->shape.n * bytes,
                                       tb_block32_token(&p->shape, p->prepared, m),
                                       tb_block32_chunks(p->shape.k), p->shape.k, sums);
    for (int t = 0; t < T; ++t) {
        for (int r = 0; r < R; ++r) p->y[(m + t) * p->ldy + n + r * apart] = sums[r][t];
    }
}

// One token: the rows are cut in R equal parts that are walked side by side, so that memory sees R
// long streams and not R rows that begin again and again.
template <class Tile, int R, bool Prefetch>
inline void walk_streams(const tb_product* p) {
    const int64_t bytes = row_bytes<typename Tile::Format>(&p->shape);
    const int64_t apart = rows_apart(p->n_end - p->n_begin, R, bytes);
    for (int64_t n = p->n_begin; n < p->n_begin + apart; ++n) {
        tile_and_store<Tile, R, 1, Prefetch>(p, 0, n, apart);
    }
    // What is left is as many streams again, and then single rows.
    const int64_t next = p->n_begin + R * apart, few = (p->n_end - next) / R;
    for (int64_t n = next; n < next + few; ++n) tile_and_store<Tile, R, 1, Prefetch>(p, 0, n, few);
    for (int64_t n = next + R * few; n < p->n_end; ++n) tile_and_store<Tile, 1, 1>(p, 0, n);
}

// The one token of a wide matrix does not stay in L1 (1.25 bytes a column, beside R rows that pass
// through it), and its lines from L2 cost more than they weigh. Where the hardware prefetches, 6
// streams share them better than 4, as long as they do not: on Zen 4 q4_0 of K = 14336 goes from
// 65% to 80% of the read bandwidth, of K = 6912 from 95% to 86%. More than 6 are beyond its
// prefetchers.
constexpr int64_t kWideK = 8192;

template <class Tile>
void product_streams(const tb_product* p) {
    if (wants_prefetch(p->tile)) {
        walk_streams<Tile, 4, true>(p);
    } else if (p->shape.k <= kWideK) {
        walk_streams<Tile, 4, false>(p);
    } else {
        walk_streams<Tile, 6, false>(p);
    }
}

constexpr int64_t kPanelBytes = 256 * 1024;  // weights that stay in L2 while all tokens pass by

template <class Tile, int T>
inline void rows_of_tokens(const tb_product* p, int64_t m, int64_t begin, int64_t end) {
    for (int64_t n = begin; n < end; ++n) tile_and_store<Tile, 1, T>(p, m, n);
}

// Panel by panel of rows: T tokens at a time, then half as many, then those left over, against the
// panel. A row at a time, so that its codes stay in registers for all tokens of the tile.
template <class Tile, int T>
void product_rows(const tb_product* p) {
    const int64_t fitting = kPanelBytes / row_bytes<typename Tile::Format>(&p->shape);
    const int64_t panel = fitting > 1 ? fitting : 1;
    for (int64_t begin = p->n_begin; begin < p->n_end; begin += panel) {
        const int64_t end = p->n_end - begin < panel ? p->n_end : begin + panel;
        int64_t m = 0;
        for (; m + T <= p->m; m += T) rows_of_tokens<Tile, T>(p, m, begin, end);
        if constexpr (T > 2) {
            for (; m + T / 2 <= p->m; m += T / 2) rows_of_tokens<Tile, T / 2>(p, m, begin, end);
        }
        for (; m < p->m; ++m) rows_of_tokens<Tile, 1>(p, m, begin, end);
    }
}

}  // namespace

#endif
