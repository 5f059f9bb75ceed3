// f32 with AVX2 and FMA: the floats of layout.h as they lie.
//
// Per 32 weights: 4 vfmadd that load their weights. Cold GEMV is bound by memory, 4 bytes a weight:
// 3 streams of rows side by side, 4 where they are prefetched (float/rows.h). GEMM is bound by the
// two FMA ports with the loads close behind: 12 vfmadd for 10 loads from a panel in L1
// (float/panel.h, float/avx2.h). Nothing can overflow that the float product would not.
#include "kernels/float/avx2.h"
#include "kernels/f32/layout.h"

namespace {

struct Load {
    using Weight = float;
    static __m256 half(const float* w) { return _mm256_loadu_ps(w); }
};

void gemv(const tb_product* p) {
    product_streams<Avx2Tile<Load>>(p);
}
void gemm(const tb_product* p) {
    if (p->m == 1) return gemv(p);
    product_panels<Avx2Tile<Load>>(p);
}

constexpr tb_kernel kKernel = with_panels(prefetching(float_descriptor<F32>(
    "f32_avx2", "avx2", TB_ISA_AVX2, "single precision, vfmadd", 8, gemv, gemm)));
constexpr const tb_kernel* kKernels[] = {&kKernel};

}  // namespace

extern "C" const tb_kernel_table tb_table_f32_avx2;
const tb_kernel_table tb_table_f32_avx2 = {TB_ABI_VERSION, sizeof(tb_kernel), 1, kKernels};
