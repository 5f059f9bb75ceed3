// int8, portable C++: the loop that everybody writes first.
//
// Overflow: |trit * q| <= 128, so the int32 sum is safe for K < 2^24.
#include "kernels/dot/epilogue.h"
#include "kernels/int8/layout.h"

namespace {

void product(const tb_product* p, int32_t* acc) {
    const tb_int8_batch x = tb_int8_open(&p->shape, p->prepared, p->m);
    const auto* rows = static_cast<const int8_t*>(p->packed);
    const float scale = tensor_scale(p->shape, p->packed);
    const Sink out{p->y, acc, p->ldy};
    for (int64_t n = p->n_begin; n < p->n_end; ++n) {
        const int8_t* row = rows + n * p->shape.k;
        for (int64_t m = 0; m < p->m; ++m) {
            const int8_t* q = x.q + m * x.kp;
            int32_t sum = 0;
            for (int64_t k = 0; k < p->shape.k; ++k) sum += row[k] * q[k];
            // put() expects the sum of codes, trit + 1.
            const Token token = token_of(x, m, scale);
            put(out, m, n, sum + token.sum, token);
        }
    }
}

void gemm(const tb_product* p) {
    product(p, nullptr);
}
void accumulate(const tb_product* p) {
    product(p, p->acc);
}

constexpr tb_kernel kKernel = int8_descriptor("int8_scalar", "scalar", TB_ISA_SCALAR,
                                              "one byte a weight, plain loop", 1, gemm, accumulate);
constexpr const tb_kernel* kKernels[] = {&kKernel};

}  // namespace

extern "C" const tb_kernel_table tb_table_int8_scalar;
const tb_kernel_table tb_table_int8_scalar = {TB_ABI_VERSION, sizeof(tb_kernel), 1, kKernels};
