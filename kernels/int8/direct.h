/* GEMV and GEMM for `int8`: the packed rows are the codes, no unpacking. Static: see
 * dot/epilogue.h. */
#ifndef TRITBENCH_KERNELS_INT8_DIRECT_H
#define TRITBENCH_KERNELS_INT8_DIRECT_H

#include "kernels/dot/codes.h"
#include "kernels/dot/prefetch.h"
#include "kernels/int8/layout.h"

namespace {

// One token: the rows are cut in four equal parts that are walked side by side, so that memory sees
// four long streams.
template <class Tile, bool Prefetch>
void gemv_streams(const tb_product* p, int32_t* acc) {
    const tb_int8_batch x = tb_int8_open(&p->shape, p->prepared, p->m);
    const auto* rows = static_cast<const uint8_t*>(p->packed);
    const int64_t k = p->shape.k;
    const Token token = token_of(x, 0, tensor_scale(p->shape, p->packed));
    const Sink out{p->y, acc, p->ldy};
    const int64_t apart = (p->n_end - p->n_begin) / 4;
    for (int64_t n = p->n_begin; n < p->n_begin + apart; ++n) {
        int32_t sums[4][1];
        Tile::template run<4, 1, Prefetch>(rows + n * k, apart * k, x.q, x.kp, k, sums);
        put_four(out, 0, n, apart, sums[0], token);
    }
    for (int64_t n = p->n_begin + 4 * apart; n < p->n_end; ++n) {
        int32_t sums[1][1];
        Tile::template run<1, 1, Prefetch>(rows + n * k, k, x.q, x.kp, k, sums);
        put(out, 0, n, sums[0][0], token);
    }
}

template <class Tile>
void product_direct(const tb_product* p, int32_t* acc) {
    if (p->m == 1 && wants_prefetch(p->tile)) return gemv_streams<Tile, true>(p, acc);
    if (p->m == 1) return gemv_streams<Tile, false>(p, acc);
    const tb_int8_batch x = tb_int8_open(&p->shape, p->prepared, p->m);
    const auto* rows = static_cast<const uint8_t*>(p->packed);
    float scales[kCodeRows];
    TensorScale{tensor_scale(p->shape, p->packed)}(0, kCodeRows, scales);
    const Sink out{p->y, acc, p->ldy};
    for (int64_t n = p->n_begin; n < p->n_end; n += kCodeRows) {
        const int64_t count = p->n_end - n < kCodeRows ? p->n_end - n : kCodeRows;
        multiply_codes<Tile>(rows + n * p->shape.k, p->shape.k, n, count, p->shape.k, x, scales,
                             out);
    }
}

}  // namespace

#endif
