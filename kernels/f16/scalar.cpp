// f16, portable C++: a weight is widened in integer arithmetic (api/half.h), then one call of
// fma(), which bounds it. The layout is in layout.h.
#include "kernels/float/scalar.h"
#include "kernels/f16/layout.h"

namespace {

constexpr tb_kernel kKernel =
    float_descriptor<F16>("f16_scalar", "scalar", TB_ISA_SCALAR, "half precision, plain loop", 1,
                          product_plain<F16>, product_plain<F16>);
constexpr const tb_kernel* kKernels[] = {&kKernel};

}  // namespace

extern "C" const tb_kernel_table tb_table_f16_scalar;
const tb_kernel_table tb_table_f16_scalar = {TB_ABI_VERSION, sizeof(tb_kernel), 1, kKernels};
