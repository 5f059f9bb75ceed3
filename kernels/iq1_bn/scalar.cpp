// iq1_bn in plain C++: layout.h read by the loop of trit_blocks/scalar.h.
#include "kernels/trit_blocks/scalar.h"
#include "kernels/iq1_bn/layout.h"

namespace {

void product(const tb_product* p) {
    multiply_scalar<Iq1Bn>(p, nullptr);
}
void accumulate(const tb_product* p) {
    multiply_scalar<Iq1Bn>(p, p->acc);
}

constexpr tb_kernel kKernel =
    trit_blocks_descriptor<Iq1Bn>("iq1_bn_scalar", "scalar", TB_ISA_SCALAR,
                                  "ik_llama.cpp's five trits a byte, one block at a time", 1,
                                  no_scratch, product, product, accumulate);
constexpr const tb_kernel* kKernels[] = {&kKernel};

}  // namespace

extern "C" const tb_kernel_table tb_table_iq1_bn_scalar;
const tb_kernel_table tb_table_iq1_bn_scalar = {TB_ABI_VERSION, sizeof(tb_kernel), 1, kKernels};
