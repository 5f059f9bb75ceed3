// tq1_0 in plain C++: layout.h read by the loops of trit_blocks/scalar.h and trit_blocks/q8k.h.
#include "kernels/trit_blocks/scalar.h"

#include "kernels/tq1_0/layout.h"
#include "kernels/trit_blocks/q8k.h"

namespace {

void product(const tb_product* p) {
    multiply_scalar<Tq10>(p, nullptr);
}
void accumulate(const tb_product* p) {
    multiply_scalar<Tq10>(p, p->acc);
}

constexpr tb_kernel kKernel =
    trit_blocks_descriptor<Tq10>("tq1_0_scalar", "scalar", TB_ISA_SCALAR,
                                 "llama.cpp's five trits in a byte, one block at a time", 1,
                                 no_scratch, product, product, accumulate);
constexpr tb_kernel kPublished =
    q8k_descriptor<Tq10>("tq1_0_scalar_q8k", "scalar", TB_ISA_SCALAR,
                         "llama.cpp's five trits in a byte x its Q8_K, one block at a time", 1,
                         no_scratch, q8k_multiply_scalar<Tq10>, q8k_multiply_scalar<Tq10>);
// The exact one last: it is taken where none is named.
constexpr const tb_kernel* kKernels[] = {&kPublished, &kKernel};

}  // namespace

extern "C" const tb_kernel_table tb_table_tq1_0_scalar;
const tb_kernel_table tb_table_tq1_0_scalar = {TB_ABI_VERSION, sizeof(tb_kernel), 2, kKernels};
