/* The register tile of `f32`, `f16` and `bf16` with AVX-512: one register is the 16 lanes of a sum.
 *
 *   Load: using Weight;
 *         static __m512 row(const Weight* w)                 16 weights as floats
 *         static __m512 row(const Weight* w, __mmask16 mask) the first few, zeros behind them;
 *                                                            nothing behind them is read
 * Static: see dot/epilogue.h. Include only from AVX-512 files. */
#ifndef TRITBENCH_KERNELS_FLOAT_AVX512_H
#define TRITBENCH_KERNELS_FLOAT_AVX512_H

#include <immintrin.h>

#include "kernels/dot/unroll.h"
#include "kernels/float/rows.h"

namespace {

// Lane i + 8 to lane i, then 4, 2, 1.
inline float tree(__m512 v) {
    const __m256 v8 = _mm256_add_ps(_mm512_castps512_ps256(v), _mm512_extractf32x8_ps(v, 1));
    const __m128 v4 = _mm_add_ps(_mm256_castps256_ps128(v8), _mm256_extractf128_ps(v8, 1));
    const __m128 v2 = _mm_add_ps(v4, _mm_movehl_ps(v4, v4));
    return _mm_cvtss_f32(_mm_add_ss(v2, _mm_movehdup_ps(v2)));
}

template <class Load>
struct Avx512Tile {
    using Weight = typename Load::Weight;
    static constexpr int64_t kLine = 64 / sizeof(Weight);  // weights of a cache line

    template <int R, int T>
    static inline void step(const Weight* w, int64_t ldw, const float* x, int64_t ldx,
                            __m512 acc[R][T]) {
        __m512 xs[T];
        TB_UNROLL
        for (int t = 0; t < T; ++t) xs[t] = _mm512_loadu_ps(x + t * ldx);
        TB_UNROLL
        for (int r = 0; r < R; ++r) {
            __m512 wr = Load::row(w + r * ldw);
            asm("" : "+v"(wr));  // one load for T uses: else GCC makes it T operands in memory
            TB_UNROLL
            for (int t = 0; t < T; ++t) acc[r][t] = _mm512_fmadd_ps(wr, xs[t], acc[r][t]);
        }
    }

    // The columns from i to k, 16 at a time and the last under a mask.
    template <int R, int T>
    static inline void rest(const Weight* w, int64_t ldw, const float* x, int64_t ldx, int64_t i,
                            int64_t k, __m512 acc[R][T]) {
        for (; i + 16 <= k; i += 16) step<R, T>(w + i, ldw, x + i, ldx, acc);
        if (i == k) return;
        const auto mask = static_cast<__mmask16>((1U << (k - i)) - 1);
        TB_UNROLL
        for (int r = 0; r < R; ++r) {
            const __m512 wr = Load::row(w + r * ldw + i, mask);
            TB_UNROLL
            for (int t = 0; t < T; ++t) {
                acc[r][t] = _mm512_fmadd_ps(wr, _mm512_loadu_ps(x + t * ldx + i), acc[r][t]);
            }
        }
    }

    template <int R, int T>
    static void run(const Weight* w, int64_t ldw, const float* x, int64_t ldx, int64_t k,
                    Later later, float out[R][T]) {
        __m512 acc[R][T];
        TB_UNROLL
        for (int r = 0; r < R; ++r) {
            TB_UNROLL
            for (int t = 0; t < T; ++t) acc[r][t] = _mm512_setzero_ps();
        }
        int64_t i = 0;
        if constexpr (R > 1) {
            for (; i + 16 <= k; i += 16) {
                _mm_prefetch(later.at, _MM_HINT_T1);
                later.at += later.step;
                step<R, T>(w + i, ldw, x + i, ldx, acc);
            }
        }
        rest<R, T>(w, ldw, x, ldx, i, k, acc);
        TB_UNROLL
        for (int r = 0; r < R; ++r) {
            TB_UNROLL
            for (int t = 0; t < T; ++t) out[r][t] = tree(acc[r][t]);
        }
    }

    template <int R, int Lines, int Ahead>
    static void walk(const Weight* w, int64_t ldw, const float* x, int64_t k, float out[R][1]) {
        constexpr int kSteps = Lines * kLine / 16;
        __m512 acc[R][1];
        TB_UNROLL
        for (int r = 0; r < R; ++r) acc[r][0] = _mm512_setzero_ps();
        int64_t i = 0;
        for (; i + kSteps * 16 <= k; i += kSteps * 16) {
            __m512 xs[kSteps];
            TB_UNROLL
            for (int s = 0; s < kSteps; ++s) xs[s] = _mm512_loadu_ps(x + i + 16 * s);
            TB_UNROLL
            for (int r = 0; r < R; ++r) {
                const Weight* row = w + r * ldw + i;
                TB_UNROLL
                for (int l = 0; l < (Ahead != 0 ? Lines : 0); ++l) {
                    _mm_prefetch(reinterpret_cast<const char*>(row) + Ahead + 64 * l, _MM_HINT_T0);
                }
                TB_UNROLL
                for (int s = 0; s < kSteps; ++s) {
                    acc[r][0] = _mm512_fmadd_ps(Load::row(row + 16 * s), xs[s], acc[r][0]);
                }
                // Row after row, as written: clang would rather take a step of every row in turn.
                if (Lines > 1) asm volatile("" : "+v"(acc[r][0]));
            }
        }
        rest<R, 1>(w, ldw, x, 0, i, k, acc);
        TB_UNROLL
        for (int r = 0; r < R; ++r) out[r][0] = tree(acc[r][0]);
    }
};

}  // namespace

#endif
