// bf16 with AVX2 and FMA: the upper halves of floats, layout.h.
//
// Per 32 weights: 4 vpmovzxwd from memory, 4 vpslld and 4 vfmadd. Cold GEMV is bound by memory, 2
// bytes a weight: 6 streams of rows side by side, 4 where they are prefetched (float/rows.h). GEMM
// converts a panel once for all tokens, and is bound by the two FMA ports with the loads close
// behind: 12 vfmadd for 10 loads (float/panel.h, float/avx2.h). Nothing can overflow that the float
// product would not.
#include "kernels/float/avx2.h"
#include "kernels/bf16/layout.h"

namespace {

struct Load {
    using Weight = uint16_t;
    static __m256 half(const uint16_t* w) {
        const __m128i words = _mm_loadu_si128(reinterpret_cast<const __m128i*>(w));
        return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(words), 16));
    }
};

void gemv(const tb_product* p) {
    product_streams<Avx2Tile<Load>>(p);
}
void gemm(const tb_product* p) {
    if (p->m == 1) return gemv(p);
    product_panels<Avx2Tile<Load>>(p);
}

constexpr tb_kernel kKernel = with_panels(prefetching(float_descriptor<Bf16>(
    "bf16_avx2", "avx2", TB_ISA_AVX2, "bfloat16, vpmovzxwd + vpslld + vfmadd", 8, gemv, gemm)));
constexpr const tb_kernel* kKernels[] = {&kKernel};

}  // namespace

extern "C" const tb_kernel_table tb_table_bf16_avx2;
const tb_kernel_table tb_table_bf16_avx2 = {TB_ABI_VERSION, sizeof(tb_kernel), 1, kKernels};
