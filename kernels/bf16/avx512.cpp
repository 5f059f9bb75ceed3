// bf16 with AVX-512: the upper halves of floats, layout.h.
//
// Per 32 weights: 2 vpmovzxwd from memory, 2 vpslld and 2 vfmadd. Cold GEMV is bound by memory, 2
// bytes a weight: 6 streams of rows side by side, 4 where they are prefetched (float/rows.h). GEMM
// is an 8 x 3 tile (24 accumulators, 3 activations and a weight at a time: 24 vfmadd for 11 loads),
// bound by the FMA ports; where conversions share those (Intel: vpmovzxwd on port 5, vpslld on port
// 0), by 24 of 40 operations. Nothing can overflow that the float product would not.
//
// Not vdpbf16ps: it rounds activations to bfloat16 and treats subnormals as zero.
#include "kernels/float/avx512.h"
#include "kernels/bf16/layout.h"

namespace {

struct Load {
    using Weight = uint16_t;
    static __m512 widened(__m256i words) {
        return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(words), 16));
    }
    static __m512 row(const uint16_t* w) {
        return widened(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(w)));
    }
    static __m512 row(const uint16_t* w, __mmask16 mask) {
        return widened(_mm256_maskz_loadu_epi16(mask, w));
    }
};

void gemv(const tb_product* p) {
    product_streams<Avx512Tile<Load>>(p);
}
void gemm(const tb_product* p) {
    if (p->m == 1) return gemv(p);
    product_rows<Avx512Tile<Load>, 8>(p);
}

constexpr tb_kernel kKernel =
    prefetching(float_descriptor<Bf16>("bf16_avx512", "avx512", TB_ISA_AVX512,
                                       "bfloat16, vpmovzxwd + vpslld + vfmadd", 8, gemv, gemm));
constexpr const tb_kernel* kKernels[] = {&kKernel};

}  // namespace

extern "C" const tb_kernel_table tb_table_bf16_avx512;
const tb_kernel_table tb_table_bf16_avx512 = {TB_ABI_VERSION, sizeof(tb_kernel), 1, kKernels};
