// iq1_bn in plain C++: layout.h read by the loops of trit_blocks/scalar.h and trit_blocks/phase.h.
#include "kernels/trit_blocks/scalar.h"

#include "kernels/iq1_bn/layout.h"
#include "kernels/trit_blocks/phase.h"

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
constexpr tb_kernel kPublished = phase_descriptor<Iq1Bn, 4>(
    "iq1_bn_scalar_q8k64", "scalar", TB_ISA_SCALAR,
    "ik_llama.cpp's five trits a byte x its Q8_K64, one block at a time", 1, no_scratch,
    phase_multiply_scalar<Iq1Bn, 4>, phase_multiply_scalar<Iq1Bn, 4>);
// The exact one last: it is taken where none is named.
constexpr const tb_kernel* kKernels[] = {&kPublished, &kKernel};

}  // namespace

extern "C" const tb_kernel_table tb_table_iq1_bn_scalar;
const tb_kernel_table tb_table_iq1_bn_scalar = {TB_ABI_VERSION, sizeof(tb_kernel), 2, kKernels};
