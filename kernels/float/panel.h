/* GEMM of `f32`, `f16` and `bf16`: a panel of 8 rows is widened to floats once for a block of
 * tokens, so that the inner loop is loads of floats and multiply-adds whatever the format is.
 *
 *   panel   float [8 / kRows][steps][kRows][16]   kRows rows of the tile side by side, a step is 16
 *                                                 columns; the last step padded with zeros
 *   lanes   float [tokens][8][16]                 the sums of a token and a row, between one piece
 *                                                 of K and the next
 *
 * K is taken in pieces of 512 columns: 16 KB of panel stay in L1 while the tokens pass by. The
 * block of tokens stays in L2, and the rows are taken in groups whose packed bytes stay in L3 until
 * all blocks of tokens have passed. While a panel is multiplied the next one is prefetched to L2,
 * because a batch of 32 would spend a tenth of its time waiting for it.
 *
 *   Tile: static constexpr int kRows;
 *         k weights as floats, 16 to every `apart` floats, zeros behind the last:
 *         static void widen(const Weight* w, int64_t k, float* to, int64_t apart);
 *         lanes += a piece of the panel times T tokens:
 *         template <int T>
 *         static void multiply(const float* panel, int64_t steps, const float* x, int64_t ldx,
 *                              float* lanes, int64_t ldl, bool first, Later later);
 *         static float fold(const float* lanes);        the tree
 * Static: see dot/epilogue.h. */
#ifndef TRITBENCH_KERNELS_FLOAT_PANEL_H
#define TRITBENCH_KERNELS_FLOAT_PANEL_H

#include "kernels/float/rows.h"

namespace {

constexpr int64_t kPanelRows = 8;
constexpr int64_t kStreamedTokens = 3;       // a batch up to this is not worth the panel
constexpr int64_t kPieceSteps = 32;          // 512 columns
constexpr int64_t kTokenBytes = 512 * 1024;  // of a block of tokens, but 24 to 96 tokens
constexpr int64_t kGroupBytes = 2 * 1024 * 1024;

inline int64_t most_tokens(int64_t k) {
    const int64_t fitting = kTokenBytes / (k * 4);
    return fitting < 24 ? 24 : fitting > 96 ? 96 : fitting;
}

// Tokens to a block, a multiple of 3: equal blocks, the number of them rounded, so that one may
// hold half as many again as most_tokens.
inline int64_t token_block(int64_t k, int64_t m) {
    const int64_t most = most_tokens(k);
    const int64_t blocks = m > most ? (m + most / 2) / most : 1;
    return ((m + blocks - 1) / blocks + 2) / 3 * 3;
}

// Never less for more tokens: what is reserved for the largest batch does for the others.
size_t panel_scratch(const tb_shape* s, const tb_tile*, int64_t m) {
    if (m <= kStreamedTokens) return 0;
    const int64_t largest = most_tokens(s->k) * 3 / 2 + 3;
    const int64_t tokens = m < largest ? m : largest;
    return static_cast<size_t>(tb_float_stride(s->k) + tokens * 16) *
           static_cast<size_t>(kPanelRows) * sizeof(float);
}

struct TokenBlock {
    int64_t m, count;
};

// The panel in scratch times a block of tokens.
template <class Tile>
inline void multiply_panel(const tb_product* p, const TokenBlock& block, const float* panel,
                           float* lanes, const void* next) {
    constexpr int kRows = Tile::kRows;
    const int64_t kp = tb_float_stride(p->shape.k), steps = kp / 16, ldl = kPanelRows * 16;
    const int64_t bytes =
        kPanelRows * p->shape.k * static_cast<int64_t>(sizeof(typename Tile::Weight));
    const int64_t calls = (block.count + 2) / 3 * (kPanelRows / kRows);
    Later later{static_cast<const char*>(next), bytes / (calls * steps) + 1};
    for (int64_t s = 0; s < steps; s += kPieceSteps) {
        const int64_t piece = steps - s < kPieceSteps ? steps - s : kPieceSteps;
        for (int64_t t = 0; t < block.count; t += 3) {
            const float* x = token_of(p, block.m + t) + s * 16;
            for (int64_t r = 0; r < kPanelRows; r += kRows) {
                const float* w = panel + r * kp + s * kRows * 16;
                float* sums = lanes + t * ldl + r * 16;
                switch (block.count - t) {
                    case 1:
                        Tile::template multiply<1>(w, piece, x, kp, sums, ldl, s == 0, later);
                        break;
                    case 2:
                        Tile::template multiply<2>(w, piece, x, kp, sums, ldl, s == 0, later);
                        break;
                    default:
                        Tile::template multiply<3>(w, piece, x, kp, sums, ldl, s == 0, later);
                }
                later.at += piece * later.step;
            }
        }
    }
}

// The rows [begin, end) against a block of tokens; `after` is read next.
template <class Tile>
inline void multiply_rows(const tb_product* p, const TokenBlock& block, int64_t begin, int64_t end,
                          int64_t after) {
    const int64_t k = p->shape.k, kp = tb_float_stride(k);
    float* panel = static_cast<float*>(p->scratch);
    float* lanes = panel + kPanelRows * kp;
    int64_t n = begin;
    for (; n + kPanelRows <= end; n += kPanelRows) {
        for (int64_t r = 0; r < kPanelRows; ++r) {
            const int64_t inside = r % Tile::kRows;
            Tile::widen(row_of<Tile>(p, n + r), k, panel + (r - inside) * kp + inside * 16,
                        Tile::kRows * 16);
        }
        const int64_t next = n + 2 * kPanelRows <= end ? n + kPanelRows : after;
        multiply_panel<Tile>(p, block, panel, lanes, row_of<Tile>(p, next));
        for (int64_t t = 0; t < block.count; ++t) {
            float* y = p->y + (block.m + t) * p->ldy + n;
            for (int64_t r = 0; r < kPanelRows; ++r) {
                y[r] = Tile::fold(lanes + (t * kPanelRows + r) * 16);
            }
        }
    }
    for (; n < end; ++n) {
        for (int64_t t = 0; t < block.count; ++t) single_row<Tile>(p, block.m + t, n);
    }
}

// A few tokens, one after the other over weights that stay in L2 meanwhile.
template <class Tile>
void product_few(const tb_product* p) {
    const int64_t row_bytes = p->shape.k * static_cast<int64_t>(sizeof(typename Tile::Weight));
    const int64_t rows = kPanelBytes / row_bytes > 1 ? kPanelBytes / row_bytes : 1;
    for (int64_t begin = p->n_begin; begin < p->n_end; begin += rows) {
        const int64_t end = p->n_end - begin < rows ? p->n_end : begin + rows;
        for (int64_t m = 0; m < p->m; ++m) streams<Tile>(p, m, begin, end);
    }
}

template <class Tile>
void product_panels(const tb_product* p) {
    if (p->m <= kStreamedTokens) return product_few<Tile>(p);
    const int64_t row_bytes = p->shape.k * static_cast<int64_t>(sizeof(typename Tile::Weight));
    const int64_t fitting = kGroupBytes / row_bytes / kPanelRows * kPanelRows;
    const int64_t group = fitting > kPanelRows ? fitting : kPanelRows;
    const int64_t most = token_block(p->shape.k, p->m);
    for (int64_t begin = p->n_begin; begin < p->n_end; begin += group) {
        const int64_t end = p->n_end - begin < group ? p->n_end : begin + group;
        for (int64_t m = 0; m < p->m; m += most) {
            const bool last = p->m - m <= most;
            const TokenBlock block{m, last ? p->m - m : most};
            multiply_rows<Tile>(p, block, begin, end, last ? end : begin);
        }
    }
}

constexpr tb_kernel with_panels(tb_kernel d) {
    d.scratch_size = panel_scratch;
    return d;
}

}  // namespace

#endif
