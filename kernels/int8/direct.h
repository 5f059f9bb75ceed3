/* GEMV and GEMM for `int8`: the packed rows are the codes, no unpacking. Static: see
 * dot/epilogue.h. */
#ifndef TRITBENCH_KERNELS_INT8_DIRECT_H
#define TRITBENCH_KERNELS_INT8_DIRECT_H

#include "kernels/dot/codes.h"
#include "kernels/int8/layout.h"

namespace {

constexpr int64_t kRowsAtATime = 32;  // against which four tokens are held in L1

template <class Tile>
void product_direct(const tb_product* p, int32_t* acc) {
    const tb_int8_batch x = tb_int8_open(&p->shape, p->prepared, p->m);
    const auto* rows = static_cast<const uint8_t*>(p->packed);
    const float scale = tensor_scale(p->shape, p->packed);
    const Sink out{p->y, acc, p->ldy};
    for (int64_t n = p->n_begin; n < p->n_end; n += kRowsAtATime) {
        const int64_t count = p->n_end - n < kRowsAtATime ? p->n_end - n : kRowsAtATime;
        multiply_codes<Tile>(rows + n * p->shape.k, p->shape.k, n, count, p->shape.k, x, scale,
                             out);
    }
}

}  // namespace

#endif
