// i2s, portable C++: the plain reading of layout.h, one weight at a time.
//
// Overflow: |code * q| <= 2 * 128, so the int32 sum is safe for K < 2^23.
#include "kernels/dot/epilogue.h"
#include "kernels/i2s/layout.h"

namespace {

int32_t row_sum(const tb_shape& s, const uint8_t* bytes, int64_t row, const int8_t* q) {
    int32_t sum = 0;
    for (int64_t k = 0; k < s.k; ++k) {
        const int64_t e = row * s.k + k;
        const int64_t j = e % kBlock;
        const uint8_t byte = bytes[e / kBlock * kBlockBytes + j % 32];
        const int code = byte >> (6 - 2 * (j / 32)) & 3;
        sum += code * q[k];
    }
    return sum;
}

void product(const tb_product* p, int32_t* acc) {
    const tb_int8_batch x = tb_int8_open(&p->shape, p->prepared, p->m);
    const auto* bytes = static_cast<const uint8_t*>(p->packed);
    const float scale = tensor_scale(p->shape, p->packed);
    const Sink out{p->y, acc, p->ldy};
    for (int64_t m = 0; m < p->m; ++m) {
        const Token token = token_of(x, m, scale);
        for (int64_t n = p->n_begin; n < p->n_end; ++n) {
            put(out, m, n, row_sum(p->shape, bytes, n, x.q + m * x.kp), token);
        }
    }
}

void gemm(const tb_product* p) {
    product(p, nullptr);
}
void accumulate(const tb_product* p) {
    product(p, p->acc);
}
size_t no_scratch(const tb_shape*, const tb_tile*, int64_t) {
    return 0;
}

constexpr tb_kernel kKernel =
    i2s_descriptor("i2s_scalar", "scalar", TB_ISA_SCALAR, "bitnet.cpp's 2-bit codes, one at a time",
                   1, no_scratch, gemm, gemm, accumulate);
constexpr const tb_kernel* kKernels[] = {&kKernel};

}  // namespace

extern "C" const tb_kernel_table tb_table_i2s_scalar;
const tb_kernel_table tb_table_i2s_scalar = {TB_ABI_VERSION, sizeof(tb_kernel), 1, kKernels};
