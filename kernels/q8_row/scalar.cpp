// q8_row, portable C++: a plain loop. Overflow: layout.h.
#include "kernels/dot/epilogue.h"
#include "kernels/q8_row/layout.h"

namespace {

void product(const tb_product* p, int32_t* acc) {
    const tb_int8_batch x = tb_int8_open(&p->shape, p->prepared, p->m);
    const auto* rows = static_cast<const int8_t*>(p->packed);
    const Sink out{p->y, acc, p->ldy};
    for (int64_t n = p->n_begin; n < p->n_end; ++n) {
        const int8_t* row = rows + n * p->shape.k;
        const float scale = row_scale(p->shape, p->packed, n);
        for (int64_t m = 0; m < p->m; ++m) {
            const int8_t* q = x.q + m * x.kp;
            int32_t sum = 0;
            for (int64_t k = 0; k < p->shape.k; ++k) sum += row[k] * q[k];
            put(out, m, n, sum, token_of(x, m, scale, 0));
        }
    }
}

void gemm(const tb_product* p) {
    product(p, nullptr);
}
void accumulate(const tb_product* p) {
    product(p, p->acc);
}

constexpr tb_kernel kKernel =
    q8_row_descriptor("q8_row_scalar", "scalar", TB_ISA_SCALAR,
                      "int8 with one scale per row, plain loop", 1, gemm, accumulate);
constexpr const tb_kernel* kKernels[] = {&kKernel};

}  // namespace

extern "C" const tb_kernel_table tb_table_q8_row_scalar;
const tb_kernel_table tb_table_q8_row_scalar = {TB_ABI_VERSION, sizeof(tb_kernel), 1, kKernels};
