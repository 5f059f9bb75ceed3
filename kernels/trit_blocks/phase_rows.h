/* The published forms (phase.h) from AVX2 on: GEMV, and GEMM of few tokens, by the loops of gemv.h,
 * and the last step from sums of codes to results.
 *
 * A Core is that of gemv.h, but that its sums are kept apart by phase:
 *   run         int32_t (&out)[R][kPhases][Format::kGroup]        phase, then row of the group
 *   run_tokens  int32_t (&out)[T][R][kPhases][Format::kGroup]
 * so that it may derive from the exact one and have nothing but another last step: where the
 * activations stay in their order in parts of 16, dword i of every 128-bit lane is phase i of 4
 * columns.
 *
 * Instructions of the last step, for four rows: 4 to transpose (rows that are stored alone: 8), 4
 * subtractions, 4 conversions, 4 multiplications. Static: see dot/epilogue.h. Include only from
 * files of AVX2 (with FMA) and up. */
#ifndef TRITBENCH_KERNELS_TRIT_BLOCKS_PHASE_ROWS_H
#define TRITBENCH_KERNELS_TRIT_BLOCKS_PHASE_ROWS_H

#include <immintrin.h>

#include "kernels/dot/unroll.h"
#include "kernels/trit_blocks/gemv.h"
#include "kernels/trit_blocks/phase.h"

namespace {

// y of four rows for token m from the sums of their codes, phase by phase.
inline __m128 phase_y(const tb_phase_batch& x, int64_t m, const __m128i (&codes)[kPhases],
                      __m128 row_scales) {
    const float* dx = x.scale + kPhases * m;
    const int32_t* q = x.sums + kPhases * m;
    __m128 t = _mm_mul_ps(_mm_set1_ps(dx[0]),
                          _mm_cvtepi32_ps(_mm_sub_epi32(codes[0], _mm_set1_epi32(q[0]))));
    TB_UNROLL
    for (int i = 1; i < kPhases; ++i) {
        const __m128i sum = _mm_sub_epi32(codes[i], _mm_set1_epi32(q[i]));
        t = _mm_fmadd_ps(_mm_set1_ps(dx[i]), _mm_cvtepi32_ps(sum), t);
    }
    return _mm_mul_ps(row_scales, t);
}

// Sums of four rows, a row after the other, become sums of four phases.
inline void transpose4(__m128i (&v)[4]) {
    const __m128i a = _mm_unpacklo_epi32(v[0], v[1]), b = _mm_unpackhi_epi32(v[0], v[1]);
    const __m128i c = _mm_unpacklo_epi32(v[2], v[3]), d = _mm_unpackhi_epi32(v[2], v[3]);
    v[0] = _mm_unpacklo_epi64(a, c);
    v[1] = _mm_unpackhi_epi64(a, c);
    v[2] = _mm_unpacklo_epi64(b, d);
    v[3] = _mm_unpackhi_epi64(b, d);
}

inline __m128i load_sums(const int32_t* p) {
    return _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
}

// See ExactResults.
template <class Core>
struct PhaseResults {
    using Format = typename Core::Format;
    static constexpr int kGroup = Format::kGroup;
    static_assert(kGroup == 1 || kGroup == 4);
    using Sums = int32_t[kPhases][kGroup];

    const tb_product* p;
    const tb_phase_batch batch;
    const tb_int8_batch x;  // without scales and sums

    explicit PhaseResults(const tb_product* product)
        : p(product), batch(tb_phase_open(&p->shape, p->prepared, p->m)), x{batch.m,  batch.k,
                                                                            batch.kp, 0,
                                                                            batch.q,  nullptr,
                                                                            nullptr} {}

    template <int R>
    void put(const uint8_t* group, int64_t g, int64_t apart, int64_t m,
             const Sums (&sums)[R]) const {
        const int64_t bytes = apart * Format::group_bytes(x.k);
        if constexpr (kGroup == 4) {
            TB_UNROLL
            for (int r = 0; r < R; ++r) put_group(group + r * bytes, g + r * apart, m, sums[r]);
        } else {
            put_rows<R>(group, bytes, g, apart, m, &sums[0][0][0]);
        }
    }

    void put_group(const uint8_t* group, int64_t g, int64_t m, const Sums& sums) const {
        __m128i codes[kPhases];
        TB_UNROLL
        for (int i = 0; i < kPhases; ++i) codes[i] = load_sums(sums[i]);
        float scales[kGroup];
        for (int i = 0; i < kGroup; ++i) scales[i] = Format::scale(group, i, x.k);
        float y[4];
        _mm_storeu_ps(y, phase_y(batch, m, codes, _mm_loadu_ps(scales)));
        float* to = p->y + m * p->ldy + g * 4;
        if (g * 4 >= p->n_begin && g * 4 + 4 <= p->n_end) {
            memcpy(to, y, sizeof y);
            return;
        }
        for (int i = 0; i < 4; ++i) {
            if (g * 4 + i >= p->n_begin && g * 4 + i < p->n_end) to[i] = y[i];
        }
    }

    // Up to four rows that are stored alone.
    template <int R>
    void put_rows(const uint8_t* row, int64_t bytes, int64_t n, int64_t apart, int64_t m,
                  const int32_t* sums) const {
        static_assert(R <= 4);
        __m128i codes[4];
        float scales[4] = {0};
        TB_UNROLL
        for (int r = 0; r < 4; ++r) {
            codes[r] = r < R ? load_sums(sums + kPhases * r) : _mm_setzero_si128();
            if (r < R) scales[r] = Format::scale(row + r * bytes, 0, x.k);
        }
        transpose4(codes);
        float y[4];
        _mm_storeu_ps(y, phase_y(batch, m, codes, _mm_loadu_ps(scales)));
        TB_UNROLL
        for (int r = 0; r < R; ++r) p->y[m * p->ldy + n + r * apart] = y[r];
    }
};

// m <= direct_tokens<Core>.
template <class Core>
void phase_directly(const tb_product* p) {
    multiply_directly<Core>(p, PhaseResults<Core>(p));
}

}  // namespace

#endif
