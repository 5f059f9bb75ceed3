// f32 with AVX-512: the floats of layout.h as they lie.
//
// Per 32 weights: 2 vfmadd that load their weights. Cold GEMV is bound by memory, 4 bytes a weight:
// 3 streams of rows side by side, 4 where they are prefetched (float/rows.h). GEMM is an 8 x 3 tile
// (24 accumulators, 3 activations and a weight at a time: 24 vfmadd for 11 loads), bound by the FMA
// ports where L2 gives 30 bytes a cycle. Nothing can overflow that the float product would not.
#include "kernels/float/avx512.h"
#include "kernels/f32/layout.h"

namespace {

struct Load {
    using Weight = float;
    static __m512 row(const float* w) { return _mm512_loadu_ps(w); }
    static __m512 row(const float* w, __mmask16 mask) { return _mm512_maskz_loadu_ps(mask, w); }
};

void gemv(const tb_product* p) {
    product_streams<Avx512Tile<Load>>(p);
}
void gemm(const tb_product* p) {
    if (p->m == 1) return gemv(p);
    product_rows<Avx512Tile<Load>, 8>(p);
}

constexpr tb_kernel kKernel = prefetching(float_descriptor<F32>(
    "f32_avx512", "avx512", TB_ISA_AVX512, "single precision, vfmadd", 8, gemv, gemm));
constexpr const tb_kernel* kKernels[] = {&kKernel};

}  // namespace

extern "C" const tb_kernel_table tb_table_f32_avx512;
const tb_kernel_table tb_table_f32_avx512 = {TB_ABI_VERSION, sizeof(tb_kernel), 1, kKernels};
