/* The register tile of `f32`, `f16` and `bf16` with AVX2: two registers are the 16 lanes of a sum.
 *
 *   Load: using Weight;
 *         static __m256 half(const Weight* w)    8 weights as floats
 * Static: see dot/epilogue.h. Include only from AVX2 files. */
#ifndef TRITBENCH_KERNELS_FLOAT_AVX2_H
#define TRITBENCH_KERNELS_FLOAT_AVX2_H

#include <immintrin.h>

#include "kernels/dot/unroll.h"
#include "kernels/float/panel.h"

namespace {

// Lane i + 8 to lane i, then 4, 2, 1.
inline float tree(__m256 low, __m256 high) {
    const __m256 v8 = _mm256_add_ps(low, high);
    const __m128 v4 = _mm_add_ps(_mm256_castps256_ps128(v8), _mm256_extractf128_ps(v8, 1));
    const __m128 v2 = _mm_add_ps(v4, _mm_movehl_ps(v4, v4));
    return _mm_cvtss_f32(_mm_add_ss(v2, _mm_movehdup_ps(v2)));
}

template <class Load>
struct Avx2Tile {
    using Weight = typename Load::Weight;
    static constexpr int kRows = 4;
    static constexpr int64_t kLine = 64 / sizeof(Weight);  // weights of a cache line

    // The last columns, padded with zeros: nothing past the packed bytes is read.
    struct Tail {
        Weight weights[16] = {};
        Tail(const Weight* w, int64_t left) {
            memcpy(weights, w, static_cast<size_t>(left) * sizeof(Weight));
        }
    };

    // 16 columns of a row and a token.
    static inline void step(const Weight* w, const float* x, __m256 acc[2]) {
        TB_UNROLL
        for (int h = 0; h < 2; ++h) {
            acc[h] = _mm256_fmadd_ps(Load::half(w + 8 * h), _mm256_loadu_ps(x + 8 * h), acc[h]);
        }
    }

    // The columns from i to k.
    template <int R>
    static inline void rest(const Weight* w, int64_t ldw, const float* x, int64_t i, int64_t k,
                            __m256 acc[R][2]) {
        for (; i + 16 <= k; i += 16) {
            TB_UNROLL
            for (int r = 0; r < R; ++r) step(w + r * ldw + i, x + i, acc[r]);
        }
        if (i == k) return;
        TB_UNROLL
        for (int r = 0; r < R; ++r) step(Tail(w + r * ldw + i, k - i).weights, x + i, acc[r]);
    }

    template <int R, int T>
    static void run(const Weight* w, int64_t ldw, const float* x, int64_t ldx, int64_t k, Later,
                    float out[R][T]) {
        for (int t = 0; t < T; ++t) {
            __m256 acc[R][2];
            TB_UNROLL
            for (int r = 0; r < R; ++r) acc[r][0] = acc[r][1] = _mm256_setzero_ps();
            rest<R>(w, ldw, x + t * ldx, 0, k, acc);
            TB_UNROLL
            for (int r = 0; r < R; ++r) out[r][t] = tree(acc[r][0], acc[r][1]);
        }
    }

    template <int R, int Lines, int Ahead>
    static void walk(const Weight* w, int64_t ldw, const float* x, int64_t k, float out[R][1]) {
        constexpr int kSteps = Lines * kLine / 16;
        __m256 acc[R][2];
        TB_UNROLL
        for (int r = 0; r < R; ++r) acc[r][0] = acc[r][1] = _mm256_setzero_ps();
        int64_t i = 0;
        for (; i + kSteps * 16 <= k; i += kSteps * 16) {
            TB_UNROLL
            for (int r = 0; r < R; ++r) {
                const Weight* row = w + r * ldw + i;
                TB_UNROLL
                for (int l = 0; l < (Ahead != 0 ? Lines : 0); ++l) {
                    _mm_prefetch(reinterpret_cast<const char*>(row) + Ahead + 64 * l, _MM_HINT_T0);
                }
                TB_UNROLL
                for (int s = 0; s < kSteps; ++s) step(row + 16 * s, x + i + 16 * s, acc[r]);
                // Weights that are converted take registers of their own, and compilers that also
                // keep the activations for the next row run out of them: have it load them again.
                if (sizeof(Weight) < 4) asm volatile("" ::: "memory");
            }
        }
        rest<R>(w, ldw, x, i, k, acc);
        TB_UNROLL
        for (int r = 0; r < R; ++r) out[r][0] = tree(acc[r][0], acc[r][1]);
    }

    // ---- the panel, see panel.h ----------------------------------------------------------------

    static void widen_step(const Weight* w, float* to) {
        _mm256_store_ps(to, Load::half(w));
        _mm256_store_ps(to + 8, Load::half(w + 8));
    }

    static void widen(const Weight* w, int64_t k, float* to, int64_t apart) {
        int64_t i = 0;
        for (; i + 16 <= k; i += 16, to += apart) widen_step(w + i, to);
        if (i < k) widen_step(Tail(w + i, k - i).weights, to);
    }

    // One half of the lanes and then the other: 4 x 3 accumulators, 3 activations and a weight are
    // what 16 registers hold, and do 12 FMAs for 7 loads. (Both halves at once leave room for 2 x 3
    // and need 10.)
    template <int T>
    static void multiply(const float* panel, int64_t steps, const float* x, int64_t ldx,
                         float* lanes, int64_t ldl, bool first, Later later) {
        for (int h = 0; h < 16; h += 8) {
            __m256 acc[kRows][T];
            TB_UNROLL
            for (int t = 0; t < T; ++t) {
                TB_UNROLL
                for (int r = 0; r < kRows; ++r) {
                    acc[r][t] =
                        first ? _mm256_setzero_ps() : _mm256_load_ps(lanes + t * ldl + r * 16 + h);
                }
            }
            for (int64_t s = 0; s < steps; ++s) {
                _mm_prefetch(later.at, _MM_HINT_T1);
                later.at += later.step;
                __m256 xs[T];
                TB_UNROLL
                for (int t = 0; t < T; ++t) xs[t] = _mm256_loadu_ps(x + t * ldx + s * 16 + h);
                TB_UNROLL
                for (int r = 0; r < kRows; ++r) {
                    __m256 wr = _mm256_load_ps(panel + (s * kRows + r) * 16 + h);
                    asm("" : "+x"(wr));  // one load for T uses, not T operands in memory
                    TB_UNROLL
                    for (int t = 0; t < T; ++t) acc[r][t] = _mm256_fmadd_ps(wr, xs[t], acc[r][t]);
                }
            }
            TB_UNROLL
            for (int t = 0; t < T; ++t) {
                TB_UNROLL
                for (int r = 0; r < kRows; ++r) {
                    _mm256_store_ps(lanes + t * ldl + r * 16 + h, acc[r][t]);
                }
            }
        }
    }

    static float fold(const float* lanes) {
        return tree(_mm256_load_ps(lanes), _mm256_load_ps(lanes + 8));
    }
};

}  // namespace

#endif
