// q4_0, portable C++: see blocks/scalar.h. |S| <= 32 * 8 * 128 a block.
#include "kernels/blocks/scalar.h"
#include "kernels/q4_0/layout.h"

namespace {

void product(const tb_product* p) {
    product_rows<ScalarTile<Q40>, 1>(p);
}

constexpr tb_kernel kKernel =
    block_descriptor<Q40>("q4_0_scalar", "scalar", TB_ISA_SCALAR,
                          "ggml's Q4_0 x int8 per 32 columns, plain loop", 1, product, product);
constexpr const tb_kernel* kKernels[] = {&kKernel};

}  // namespace

extern "C" const tb_kernel_table tb_table_q4_0_scalar;
const tb_kernel_table tb_table_q4_0_scalar = {TB_ABI_VERSION, sizeof(tb_kernel), 1, kKernels};
