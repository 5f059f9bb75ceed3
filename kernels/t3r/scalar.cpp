// t3r in plain C++: the decoder of layout.h and the loop of lanes/scalar.h.
#include "kernels/lanes/scalar.h"
#include "kernels/t3r/layout.h"

namespace {

void product(const tb_product* p) {
    multiply_scalar<Format>(p, nullptr);
}
void accumulate(const tb_product* p) {
    multiply_scalar<Format>(p, p->acc);
}

constexpr tb_kernel kKernel =
    lanes_descriptor<Format>("t3r_scalar", "scalar", TB_ISA_SCALAR, "the definition of the layout",
                             no_scratch, product, product, accumulate);
constexpr const tb_kernel* kKernels[] = {&kKernel};

}  // namespace

extern "C" const tb_kernel_table tb_table_t3r_scalar;
const tb_kernel_table tb_table_t3r_scalar = {TB_ABI_VERSION, sizeof(tb_kernel), 1, kKernels};
