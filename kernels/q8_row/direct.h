/* GEMV and GEMM for `q8_row`: the packed rows are what is multiplied, no unpacking. Zero is the
 * byte that a Tile takes for the weight 0: 128 where it reads weights as unsigned, 0 where signed.
 * Static: see dot/epilogue.h. */
#ifndef TRITBENCH_KERNELS_Q8_ROW_DIRECT_H
#define TRITBENCH_KERNELS_Q8_ROW_DIRECT_H

#include "kernels/dot/codes.h"
#include "kernels/dot/prefetch.h"
#include "kernels/dot/streams.h"
#include "kernels/q8_row/layout.h"

namespace {

// The scales of some rows.
struct RowScales {
    const tb_shape& shape;
    const void* packed;

    void operator()(int64_t n, int64_t rows, float* to) const {
        memcpy(to, static_cast<const uint8_t*>(packed) + scales_offset(shape) + 4 * n,
               static_cast<size_t>(4 * rows));
    }
};

// R rows, `apart` from one to the next, against one token.
template <class Tile, int R, bool Prefetch>
inline void row_products(const tb_product* p, const tb_int8_batch& x, int64_t n, int64_t apart,
                         const Sink& out, const Token& token) {
    const int64_t k = p->shape.k;
    int32_t sums[R][1];
    Tile::template run<R, 1, Prefetch>(static_cast<const uint8_t*>(p->packed) + n * k, apart * k,
                                       x.q, x.kp, k, sums);
    for (int r = 0; r < R; ++r) {
        const int64_t row = n + r * apart;
        put(out, 0, row, sums[r][0],
            {token.sum, token.scale * row_scale(p->shape, p->packed, row)});
    }
}

// One token: the rows are cut in four parts that are walked side by side, so that memory sees four
// long streams.
template <class Tile, int32_t Zero, bool Prefetch>
void gemv_streams(const tb_product* p, int32_t* acc) {
    const tb_int8_batch x = tb_int8_open(&p->shape, p->prepared, p->m);
    const Token token = token_of(x, 0, 1.0F, Zero);
    const Sink out{p->y, acc, p->ldy};
    const int64_t apart = rows_apart(p->n_end - p->n_begin, 4, p->shape.k);
    for (int64_t n = p->n_begin; n < p->n_begin + apart; ++n) {
        row_products<Tile, 4, Prefetch>(p, x, n, apart, out, token);
    }
    // What is left is four streams again, and then single rows.
    const int64_t next = p->n_begin + 4 * apart, few = (p->n_end - next) / 4;
    for (int64_t n = next; n < next + few; ++n) {
        row_products<Tile, 4, Prefetch>(p, x, n, few, out, token);
    }
    for (int64_t n = next + 4 * few; n < p->n_end; ++n) {
        row_products<Tile, 1, Prefetch>(p, x, n, 0, out, token);
    }
}

template <class Tile, int32_t Zero>
void product_direct(const tb_product* p, int32_t* acc) {
    if (p->m == 1 && wants_prefetch(p->tile)) return gemv_streams<Tile, Zero, true>(p, acc);
    if (p->m == 1) return gemv_streams<Tile, Zero, false>(p, acc);
    const tb_int8_batch x = tb_int8_open(&p->shape, p->prepared, p->m);
    const auto* rows = static_cast<const uint8_t*>(p->packed);
    const RowScales scales_of{p->shape, p->packed};
    const Sink out{p->y, acc, p->ldy};
    const int64_t k = p->shape.k;
    for (int64_t n = p->n_begin; n < p->n_end; n += kCodeRows) {
        const int64_t count = p->n_end - n < kCodeRows ? p->n_end - n : kCodeRows;
        float scales[kCodeRows];
        scales_of(n, count, scales);
        multiply_codes<Tile, Zero>(rows + n * k, k, n, count, k, x, scales, out);
    }
}

}  // namespace

#endif
