// f16 with AVX-512.
//
// Per 16 weights: 1 vcvtph2ps from memory and 1 vfmadd; one register is the 16 lanes of a sum. GEMV
// walks four distant streams of rows side by side, whose four chains of FMAs cover their latency;
// GEMM an 8 x 3 tile: 24 accumulators, 3 activation registers and one weight at a time: 24 FMAs for
// 11 loads, bound by the FMA ports. Cold GEMV is bound by memory: each stream is prefetched 1 KB
// ahead, a cache line at a time.
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

constexpr int64_t kPrefetchBytes = 1024;

struct Tile {
    template <int R, int T>
    static inline void step(const uint16_t* w, int64_t ldw, const float* x, int64_t ldx,
                            __m512 acc[R][T]) {
        __m512 xs[T];
        TB_UNROLL
        for (int t = 0; t < T; ++t) xs[t] = _mm512_loadu_ps(x + t * ldx);
        TB_UNROLL
        for (int r = 0; r < R; ++r) {
            const __m512 wr =
                _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(w + r * ldw)));
            TB_UNROLL
            for (int t = 0; t < T; ++t) acc[r][t] = _mm512_fmadd_ps(wr, xs[t], acc[r][t]);
        }
    }

    // A cache line of every row, and the prefetch of the one that comes 1 KB later.
    template <int R>
    static inline void line(const uint16_t* w, int64_t ldw, const float* x, __m512 acc[R][1]) {
        const __m512 x0 = _mm512_loadu_ps(x);
        const __m512 x1 = _mm512_loadu_ps(x + 16);
        TB_UNROLL
        for (int r = 0; r < R; ++r) {
            const auto* row = reinterpret_cast<const __m256i*>(w + r * ldw);
            _mm_prefetch(reinterpret_cast<const char*>(row) + kPrefetchBytes, _MM_HINT_T0);
            acc[r][0] = _mm512_fmadd_ps(_mm512_cvtph_ps(_mm256_loadu_si256(row)), x0, acc[r][0]);
            acc[r][0] =
                _mm512_fmadd_ps(_mm512_cvtph_ps(_mm256_loadu_si256(row + 1)), x1, acc[r][0]);
        }
    }

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
        if constexpr (T == 1) {
            for (; i + 32 <= k; i += 32) line<R>(w + i, ldw, x + i, acc);
        }
        for (; i + 16 <= k; i += 16) step<R, T>(w + i, ldw, x + i, ldx, acc);
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
    product_streams<Tile, 4>(p);
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
