/* Panels in plain C++: decode a step, multiply it with every token. What every machine can run, and
 * the model for the others. Static: see dot/epilogue.h. */
#ifndef TRITBENCH_KERNELS_LANES_SCALAR_H
#define TRITBENCH_KERNELS_LANES_SCALAR_H

#include "kernels/lanes/panels.h"

namespace {

template <class Format>
void multiply_scalar(const tb_product* p, int32_t* acc) {
    using P = Panels<Format>;
    const tb_int8_batch x = tb_int8_open(&p->shape, p->prepared, p->m);
    const float scale = P::scale(p->shape, p->packed);
    const Sink out{p->y, acc, p->ldy};
    for (int64_t n = p->n_begin / P::kRows * P::kRows; n < p->n_end; n += P::kRows) {
        const auto* panel =
            static_cast<const uint8_t*>(p->packed) + n / P::kRows * P::bytes(p->shape);
        for (int64_t m = 0; m < p->m; ++m) {
            int32_t sums[P::kRows] = {0};
            for (int64_t step = 0; step < P::steps(p->shape); ++step) {
                uint8_t codes[P::kCodes];
                Format::decode(panel + step * Format::kStepBytes, codes);
                const int8_t* q = x.q + m * x.kp + step * Format::kColumns;
                for (int64_t c = 0; c < Format::kColumns; ++c) {
                    for (int64_t r = 0; r < P::kRows; ++r) sums[r] += codes[P::at(r, c)] * q[c];
                }
            }
            put_rows(out, m, n, P::kRows, sums, token_of(x, m, scale), p->n_begin, p->n_end);
        }
    }
}

inline size_t no_scratch(const tb_shape*, const tb_tile*, int64_t) {
    return 0;
}

}  // namespace

#endif
