// i2c in plain C++: the lines of the columns that count, added up row by row.
#include "kernels/i2c/active.h"

namespace {

// The list of one token.
size_t scratch_size(const tb_shape* s, const tb_tile*, int64_t) {
    return static_cast<size_t>(list_bytes(*s));
}

void multiply(const tb_product* p, int32_t* acc) {
    const tb_int8_batch x = tb_int8_open(&p->shape, p->prepared, p->m);
    const float scale = scale_of(p->shape, p->packed);
    const Sink out{p->y, acc, p->ldy};
    for (int64_t m = 0; m < p->m; ++m) {
        const Token token = token_of(x, m, scale);
        ListSpace space(p->shape, p->scratch);
        const ActiveColumns list = space.fill(x.q + m * x.kp, x.kp, fill_scalar);
        for (int64_t n = p->n_begin / kLineRows * kLineRows; n < p->n_end; n += kLineRows) {
            int32_t sums[kLineRows] = {0};
            const auto* lines = static_cast<const uint8_t*>(p->packed) + n / kLineRows * kLineBytes;
            for (int64_t i = 0; i < list.count; ++i) {
                const uint8_t* line = lines + list.index[i] * column_bytes(p->shape);
                for (int64_t r = 0; r < kLineRows; ++r) {
                    sums[r] += (line[byte_of(r)] >> shift_of(r) & 3) * list.q[i];
                }
            }
            put_rows(out, m, n, kLineRows, sums, token, p->n_begin, p->n_end);
        }
    }
}

void product(const tb_product* p) {
    multiply(p, nullptr);
}
void accumulate(const tb_product* p) {
    multiply(p, p->acc);
}

constexpr tb_kernel kKernel =
    i2c_descriptor("i2c_scalar", "scalar", TB_ISA_SCALAR, "the definition of the layout",
                   scratch_size, product, product, accumulate);
constexpr const tb_kernel* kKernels[] = {&kKernel};

}  // namespace

extern "C" const tb_kernel_table tb_table_i2c_scalar;
const tb_kernel_table tb_table_i2c_scalar = {TB_ABI_VERSION, sizeof(tb_kernel), 1, kKernels};
