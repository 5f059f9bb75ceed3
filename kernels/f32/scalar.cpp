// f32, portable C++: one call of fma() a weight, which bounds it. The layout is in layout.h.
#include "kernels/float/scalar.h"
#include "kernels/f32/layout.h"

namespace {

constexpr tb_kernel kKernel =
    float_descriptor<F32>("f32_scalar", "scalar", TB_ISA_SCALAR, "single precision, plain loop", 1,
                          product_plain<F32>, product_plain<F32>);
constexpr const tb_kernel* kKernels[] = {&kKernel};

}  // namespace

extern "C" const tb_kernel_table tb_table_f32_scalar;
const tb_kernel_table tb_table_f32_scalar = {TB_ABI_VERSION, sizeof(tb_kernel), 1, kKernels};
