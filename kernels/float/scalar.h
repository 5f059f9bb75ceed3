/* The register tile of `f32`, `f16` and `bf16` in portable C++. fma() is exactly rounded by
 * definition, so the library's is the same as an instruction's; it is slow where the machine has
 * none. Static: see dot/epilogue.h. */
#ifndef TRITBENCH_KERNELS_FLOAT_SCALAR_H
#define TRITBENCH_KERNELS_FLOAT_SCALAR_H

#include <math.h>

#include "kernels/float/rows.h"

namespace {

template <class Format>
struct ScalarTile {
    using Weight = typename Format::Weight;

    template <int R, int T>
    static void run(const Weight* w, int64_t ldw, const float* x, int64_t ldx, int64_t k, Later,
                    float out[R][T]) {
        for (int r = 0; r < R; ++r) {
            for (int t = 0; t < T; ++t) out[r][t] = dot(w + r * ldw, x + t * ldx, k);
        }
    }

    static float dot(const Weight* w, const float* x, int64_t k) {
        float lanes[16] = {0};
        for (int64_t i = 0; i < k; ++i) {
            lanes[i % 16] = __builtin_fmaf(Format::decode(w[i]), x[i], lanes[i % 16]);
        }
        for (int width = 8; width >= 1; width /= 2) {
            for (int i = 0; i < width; ++i) lanes[i] += lanes[i + width];
        }
        return lanes[0];
    }
};

template <class Format>
void product_plain(const tb_product* p) {
    for (int64_t n = p->n_begin; n < p->n_end; ++n) {
        for (int64_t m = 0; m < p->m; ++m) single_row<ScalarTile<Format>>(p, m, n);
    }
}

}  // namespace

#endif
