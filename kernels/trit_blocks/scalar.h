/* The ternary block formats in plain C++: the codes of a block, one block at a time, with every
 * token. What every machine can run, and the model for the others. Bound by the decoding of codes.
 *
 * Overflow: |code * q| <= 2 * 128, so the int32 sum is safe for K < 2^23.
 * Static: see dot/epilogue.h. */
#ifndef TRITBENCH_KERNELS_TRIT_BLOCKS_SCALAR_H
#define TRITBENCH_KERNELS_TRIT_BLOCKS_SCALAR_H

#include "kernels/dot/epilogue.h"
#include "kernels/trit_blocks/layout.h"

namespace {

template <class Format>
void multiply_scalar(const tb_product* p, int32_t* acc) {
    const tb_int8_batch x = tb_int8_open(&p->shape, p->prepared, p->m);
    const Sink out{p->y, acc, p->ldy};
    for (int64_t n = p->n_begin; n < p->n_end; ++n) {
        const uint8_t* group = group_of<Format>(p->shape, p->packed, n);
        const int r = static_cast<int>(n % Format::kGroup);
        const float scale = Format::scale(group, r, x.k);
        for (int64_t m = 0; m < p->m; ++m) {
            const int8_t* q = x.q + m * x.kp;
            int32_t sum = 0;
            for (int64_t k = 0; k < x.k; k += Format::kColumns) {
                uint8_t codes[Format::kColumns];
                Format::codes(group, r, k, Format::kColumns, codes);
                for (int64_t i = 0; i < Format::kColumns; ++i) sum += codes[i] * q[k + i];
            }
            put(out, m, n, sum, token_of(x, m, scale));
        }
    }
}

inline size_t no_scratch(const tb_shape*, const tb_tile*, int64_t) {
    return 0;
}

}  // namespace

#endif
