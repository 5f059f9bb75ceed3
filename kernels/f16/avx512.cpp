// f16 with AVX-512.
//
// Per 16 weights: 1 vcvtph2ps from memory and 1 vfmadd; one register is the 16 lanes of a sum. GEMV
// takes four rows at a time, whose four chains of FMAs cover the latency that memory leaves; GEMM
// an 8 x 3 tile: 24 accumulators, 3 activation registers and one weight at a time: 24 FMAs for 11
// loads, bound by the FMA ports. Cold GEMV is bound by memory: each row's stream is prefetched 2 KB
// ahead.
#include <immintrin.h>

#include "kernels/dot/unroll.h"
#include "kernels/f16/rows.h"

namespace {

// Lane i + 8 to lane i, then 4, 2, 1.
inline float tree(__m512 v) {
    const __m256 v8 = _mm256_add_ps(_mm512_castps512_ps256(v), _mm512_extractf32x8_ps(v, 1));
    const __m128 v4 = _mm_add_ps(_mm256_castps256_ps128(v8), _mm256_extractf128_ps(v8, 1));
    const __m128 v2 = _mm_add_ps(v4, _mm_movehl_ps(v4, v4));
    return _mm_cvtss_f32(_mm_add_ss(v2, _mm_movehdup_ps(v2)));
}

struct Tile {
    template <int R, int T>
    static void run(const uint16_t* w, int64_t ldw, const float* x, int64_t ldx, int64_t k,
                    float out[R][T]) {
        __m512 acc[R][T];
        TB_UNROLL
        for (int r = 0; r < R; ++r) {
            TB_UNROLL
            for (int t = 0; t < T; ++t) acc[r][t] = _mm512_setzero_ps();
        }
        int64_t i = 0;
        for (; i + 16 <= k; i += 16) {
            __m512 xs[T];
            TB_UNROLL
            for (int t = 0; t < T; ++t) xs[t] = _mm512_loadu_ps(x + t * ldx + i);
            TB_UNROLL
            for (int r = 0; r < R; ++r) {
                const uint16_t* row = w + r * ldw + i;
                if (T == 1) _mm_prefetch(reinterpret_cast<const char*>(row + 1024), _MM_HINT_T0);
                const __m512 wr =
                    _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(row)));
                TB_UNROLL
                for (int t = 0; t < T; ++t) acc[r][t] = _mm512_fmadd_ps(wr, xs[t], acc[r][t]);
            }
        }
        if (i < k) {  // the last columns, under a mask: nothing past the packed bytes is read
            const auto mask = static_cast<__mmask16>((1U << (k - i)) - 1);
            TB_UNROLL
            for (int r = 0; r < R; ++r) {
                const __m512 wr = _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(mask, w + r * ldw + i));
                TB_UNROLL
                for (int t = 0; t < T; ++t) {
                    acc[r][t] = _mm512_fmadd_ps(wr, _mm512_loadu_ps(x + t * ldx + i), acc[r][t]);
                }
            }
        }
        TB_UNROLL
        for (int r = 0; r < R; ++r) {
            TB_UNROLL
            for (int t = 0; t < T; ++t) out[r][t] = tree(acc[r][t]);
        }
    }
};

void gemv(const tb_product* p) {
    product_rows<Tile, 4, 1>(p);
}
void gemm(const tb_product* p) {
    if (p->m == 1) return gemv(p);
    product_rows<Tile, 8, 3>(p);
}

constexpr tb_kernel kKernel = f16_descriptor("f16_avx512", "avx512", TB_ISA_AVX512,
                                             "half precision, vcvtph2ps + vfmadd", 4, gemv, gemm);
constexpr const tb_kernel* kKernels[] = {&kKernel};

}  // namespace

extern "C" const tb_kernel_table tb_table_f16_avx512;
const tb_kernel_table tb_table_f16_avx512 = {TB_ABI_VERSION, sizeof(tb_kernel), 1, kKernels};
