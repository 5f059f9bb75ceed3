// f16 with AVX-512: the halves of layout.h.
//
// Per 32 weights: 2 vcvtph2ps from memory and 2 vfmadd. Cold GEMV is bound by memory, 2 bytes a
// weight: 6 streams of rows side by side, 4 where they are prefetched (float/rows.h). GEMM is an
// 8 x 3 tile (24 accumulators, 3 activations and a weight at a time: 24 vfmadd for 11 loads), bound
// by the FMA ports; where conversions share those (Intel: vcvtph2ps is an operation on either and
// one more on port 5), by 24 of 40 operations. Nothing can overflow that the float product would
// not.
#include "kernels/float/avx512.h"
#include "kernels/f16/layout.h"

namespace {

struct Load {
    using Weight = uint16_t;
    static __m512 row(const uint16_t* w) {
        return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(w)));
    }
    static __m512 row(const uint16_t* w, __mmask16 mask) {
        return _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(mask, w));
    }
};

void gemv(const tb_product* p) {
    product_streams<Avx512Tile<Load>>(p);
}
void gemm(const tb_product* p) {
    if (p->m == 1) return gemv(p);
    product_rows<Avx512Tile<Load>, 8>(p);
}

constexpr tb_kernel kKernel = prefetching(float_descriptor<F16>(
    "f16_avx512", "avx512", TB_ISA_AVX512, "half precision, vcvtph2ps + vfmadd", 8, gemv, gemm));
constexpr const tb_kernel* kKernels[] = {&kKernel};

}  // namespace

extern "C" const tb_kernel_table tb_table_f16_avx512;
const tb_kernel_table tb_table_f16_avx512 = {TB_ABI_VERSION, sizeof(tb_kernel), 1, kKernels};
