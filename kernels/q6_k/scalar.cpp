// q6_k, portable C++: see blocks/scalar.h. |S| <= 32 * (32 * 128) * 128 = 2^24 a block.
#include "kernels/blocks/scalar.h"
#include "kernels/q6_k/layout.h"

namespace {

void product(const tb_product* p) {
    product_rows<ScalarTile<Q6K>, 1>(p);
}

constexpr tb_kernel kKernel =
    block_descriptor<Q6K>("q6_k_scalar", "scalar", TB_ISA_SCALAR,
                          "ggml's Q6_K x int8 per 32 columns, plain loop", 1, product, product);
constexpr const tb_kernel* kKernels[] = {&kKernel};

}  // namespace

extern "C" const tb_kernel_table tb_table_q6_k_scalar;
const tb_kernel_table tb_table_q6_k_scalar = {TB_ABI_VERSION, sizeof(tb_kernel), 1, kKernels};
