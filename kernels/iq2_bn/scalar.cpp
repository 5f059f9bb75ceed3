// iq2_bn in plain C++: layout.h read by the loop of trit_blocks/scalar.h.
#include "kernels/trit_blocks/scalar.h"
#include "kernels/iq2_bn/layout.h"

namespace {

void product(const tb_product* p) {
    multiply_scalar<Iq2Bn>(p, nullptr);
}
void accumulate(const tb_product* p) {
    multiply_scalar<Iq2Bn>(p, p->acc);
}

constexpr tb_kernel kKernel = trit_blocks_descriptor<Iq2Bn>(
    "iq2_bn_scalar", "scalar", TB_ISA_SCALAR, "ik_llama.cpp's 2-bit codes, one block at a time", 1,
    no_scratch, product, product, accumulate);
constexpr const tb_kernel* kKernels[] = {&kKernel};

}  // namespace

extern "C" const tb_kernel_table tb_table_iq2_bn_scalar;
const tb_kernel_table tb_table_iq2_bn_scalar = {TB_ABI_VERSION, sizeof(tb_kernel), 1, kKernels};
