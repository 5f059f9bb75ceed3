// f16 with AVX2, FMA and F16C: the halves of layout.h.
//
// Per 32 weights: 4 vcvtph2ps from memory and 4 vfmadd. Cold GEMV is bound by memory, 2 bytes a
// weight: 6 streams of rows side by side, 4 where they are prefetched (float/rows.h). GEMM converts
// a panel once for all tokens, and is bound by the two FMA ports with the loads close behind: 12
// vfmadd for 10 loads (float/panel.h, float/avx2.h). Nothing can overflow that the float product
// would not.
#include "kernels/float/avx2.h"
#include "kernels/f16/layout.h"

namespace {

struct Load {
    using Weight = uint16_t;
    static __m256 half(const uint16_t* w) {
        return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(w)));
    }
};

void gemv(const tb_product* p) {
    product_streams<Avx2Tile<Load>>(p);
}
void gemm(const tb_product* p) {
    if (p->m == 1) return gemv(p);
    product_panels<Avx2Tile<Load>>(p);
}

constexpr tb_kernel kKernel = with_panels(prefetching(float_descriptor<F16>(
    "f16_avx2", "avx2", TB_ISA_AVX2, "half precision, vcvtph2ps + vfmadd", 8, gemv, gemm)));
constexpr const tb_kernel* kKernels[] = {&kKernel};

}  // namespace

extern "C" const tb_kernel_table tb_table_f16_avx2;
const tb_kernel_table tb_table_f16_avx2 = {TB_ABI_VERSION, sizeof(tb_kernel), 1, kKernels};
