// iq2_bn_r4 in plain C++: layout.h read by the loop of trit_blocks/scalar.h.
#include "kernels/trit_blocks/scalar.h"
#include "kernels/iq2_bn_r4/layout.h"

namespace {

void product(const tb_product* p) {
    multiply_scalar<Iq2BnR4>(p, nullptr);
}
void accumulate(const tb_product* p) {
    multiply_scalar<Iq2BnR4>(p, p->acc);
}

constexpr tb_kernel kKernel =
    trit_blocks_descriptor<Iq2BnR4>("iq2_bn_r4_scalar", "scalar", TB_ISA_SCALAR,
                                    "ik_llama.cpp's 2-bit codes of four rows, one block at a time",
                                    1, no_scratch, product, product, accumulate);
constexpr const tb_kernel* kKernels[] = {&kKernel};

}  // namespace

extern "C" const tb_kernel_table tb_table_iq2_bn_r4_scalar;
const tb_kernel_table tb_table_iq2_bn_r4_scalar = {TB_ABI_VERSION, sizeof(tb_kernel), 1, kKernels};
