// f16 with AVX2, FMA and F16C.
//
// Per 8 weights: 1 vcvtph2ps from memory and 1 vfmadd; two registers are the 16 lanes of a sum.
// GEMV takes four rows at a time (8 accumulators share 2 activation registers), GEMM a 2 x 3 tile
// (12 accumulators, 4 + 2 operands: all 16 registers). Cold GEMV is bound by memory: each row's
// stream is prefetched 1 KB ahead.
#include <immintrin.h>

#include "kernels/dot/unroll.h"
#include "kernels/f16/rows.h"

namespace {

inline __m256 half8(const uint16_t* p) {
    return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
}

// Lane i + 8 to lane i, then 4, 2, 1.
inline float tree(__m256 low, __m256 high) {
    const __m256 v8 = _mm256_add_ps(low, high);
    const __m128 v4 = _mm_add_ps(_mm256_castps256_ps128(v8), _mm256_extractf128_ps(v8, 1));
    const __m128 v2 = _mm_add_ps(v4, _mm_movehl_ps(v4, v4));
    return _mm_cvtss_f32(_mm_add_ss(v2, _mm_movehdup_ps(v2)));
}

struct Tile {
    template <int R, int T>
    static inline void step(const uint16_t* const w[R], const float* x, int64_t ldx,
                            __m256 low[R][T], __m256 high[R][T]) {
        TB_UNROLL
        for (int t = 0; t < T; ++t) {
            const __m256 x0 = _mm256_loadu_ps(x + t * ldx);
            const __m256 x1 = _mm256_loadu_ps(x + t * ldx + 8);
            TB_UNROLL
            for (int r = 0; r < R; ++r) {
                low[r][t] = _mm256_fmadd_ps(half8(w[r]), x0, low[r][t]);
                high[r][t] = _mm256_fmadd_ps(half8(w[r] + 8), x1, high[r][t]);
            }
        }
    }

    template <int R, int T>
    static void run(const uint16_t* w, int64_t ldw, const float* x, int64_t ldx, int64_t k,
                    float out[R][T]) {
        __m256 low[R][T], high[R][T];
        TB_UNROLL
        for (int r = 0; r < R; ++r) {
            TB_UNROLL
            for (int t = 0; t < T; ++t) low[r][t] = high[r][t] = _mm256_setzero_ps();
        }
        const uint16_t* rows[R];
        int64_t i = 0;
        for (; i + 16 <= k; i += 16) {
            TB_UNROLL
            for (int r = 0; r < R; ++r) {
                rows[r] = w + r * ldw + i;
                if (T == 1) _mm_prefetch(reinterpret_cast<const char*>(rows[r] + 512), _MM_HINT_T0);
            }
            step<R, T>(rows, x + i, ldx, low, high);
        }
        if (i < k) {  // the last columns, from a copy padded with zeros
            uint16_t tails[R][16] = {};
            TB_UNROLL
            for (int r = 0; r < R; ++r) {
                memcpy(tails[r], w + r * ldw + i, static_cast<size_t>(k - i) * 2);
                rows[r] = tails[r];
            }
            step<R, T>(rows, x + i, ldx, low, high);
        }
        TB_UNROLL
        for (int r = 0; r < R; ++r) {
            TB_UNROLL
            for (int t = 0; t < T; ++t) out[r][t] = tree(low[r][t], high[r][t]);
        }
    }
};

void gemv(const tb_product* p) {
    product_streams<Tile, 4>(p);
}
void gemm(const tb_product* p) {
    if (p->m == 1) return gemv(p);
    product_rows<Tile, 2, 3>(p);
}

constexpr tb_kernel kKernel = f16_descriptor("f16_avx2", "avx2", TB_ISA_AVX2,
                                             "half precision, vcvtph2ps + vfmadd", 4, gemv, gemm);
constexpr const tb_kernel* kKernels[] = {&kKernel};

}  // namespace

extern "C" const tb_kernel_table tb_table_f16_avx2;
const tb_kernel_table tb_table_f16_avx2 = {TB_ABI_VERSION, sizeof(tb_kernel), 1, kKernels};
