// bf16, portable C++: a weight is shifted into place, then one call of fma(), which bounds it. The
// layout is in layout.h.
#include "kernels/float/scalar.h"
#include "kernels/bf16/layout.h"

namespace {

constexpr tb_kernel kKernel =
    float_descriptor<Bf16>("bf16_scalar", "scalar", TB_ISA_SCALAR, "bfloat16, plain loop", 1,
                           product_plain<Bf16>, product_plain<Bf16>);
constexpr const tb_kernel* kKernels[] = {&kKernel};

}  // namespace

extern "C" const tb_kernel_table tb_table_bf16_scalar;
const tb_kernel_table tb_table_bf16_scalar = {TB_ABI_VERSION, sizeof(tb_kernel), 1, kKernels};
