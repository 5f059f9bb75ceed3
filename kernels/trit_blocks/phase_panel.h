/* GEMM of the published forms (phase.h) with AVX-512 VNNI: the panels of dot/panel64.h, walked
 * phase by phase. Four columns of a panel are one register, so that the registers of a phase are
 * every fourth one (phases of 4 columns) or four of sixteen (phases of 16): a pass over them makes
 * the sums of that phase, and four passes cost what one does but for 24 stores each.
 *
 * Codes are at most 2: an int32 lane is safe for K < 2^23. Static: see dot/epilogue.h. Include only
 * from AVX-512 VNNI files. */
#ifndef TRITBENCH_KERNELS_TRIT_BLOCKS_PHASE_PANEL_H
#define TRITBENCH_KERNELS_TRIT_BLOCKS_PHASE_PANEL_H

#include "kernels/trit_blocks/gemm_panel.h"
#include "kernels/trit_blocks/phase_rows.h"

namespace {

constexpr int64_t kPhaseSums = 4 * kPhases;  // registers of a token: [phase][16 rows]

// The codes of a block, and where rows have several, the sums of all tokens between two.
inline size_t phase_panel_scratch(const tb_shape& s, int64_t m) {
    const int64_t columns = panel64_columns(s.k);
    const int64_t carried = columns < s.k ? m * kPhaseSums * 64 : 0;
    return static_cast<size_t>(columns * kPanel64Rows + carried);
}

// sums [T][kPhases][4] become, or if `add` are increased by, those of T tokens and one phase over
// `columns`, a multiple of 64; codes, x and sums point at the phase.
template <int kWidth, int T>
void phase_panel_pass(const uint8_t* codes, const int8_t* x, int64_t ldx, int64_t columns, bool add,
                      __m512i* sums) {
    __m512i acc[T][4];
    TB_UNROLL
    for (int t = 0; t < T; ++t) {
        TB_UNROLL
        for (int g = 0; g < 4; ++g) {
            acc[t][g] = add ? sums[kPhaseSums * t + g] : _mm512_setzero_si512();
        }
    }
    for (; columns > 0; columns -= kPhases * kWidth) {
        for (int i = 0; i < kWidth; i += 4, codes += 256, x += 4) {
            __m512i c[4];
            TB_UNROLL
            for (int g = 0; g < 4; ++g) c[g] = _mm512_load_si512(codes + 64 * g);
            TB_UNROLL
            for (int t = 0; t < T; ++t) {
                int32_t four;
                memcpy(&four, x + t * ldx, sizeof four);
                const __m512i xs = _mm512_set1_epi32(four);
                TB_UNROLL
                for (int g = 0; g < 4; ++g) dot4(acc[t][g], c[g], xs);
            }
        }
        codes += (kPhases - 1) * kWidth * 64;
        x += (kPhases - 1) * kWidth;
    }
    TB_UNROLL
    for (int t = 0; t < T; ++t) {
        TB_UNROLL
        for (int g = 0; g < 4; ++g) sums[kPhaseSums * t + g] = acc[t][g];
    }
}

// All phases of 1 <= tokens <= Most.
template <int kWidth, int Most>
inline void phase_panel_tokens(int64_t tokens, const uint8_t* codes, const int8_t* x, int64_t ldx,
                               int64_t columns, bool add, __m512i* sums) {
    if constexpr (Most > 1) {
        if (tokens < Most) {
            return phase_panel_tokens<kWidth, Most - 1>(tokens, codes, x, ldx, columns, add, sums);
        }
    }
    for (int i = 0; i < kPhases; ++i) {
        phase_panel_pass<kWidth, Most>(codes + i * kWidth * 64, x + i * kWidth, ldx, columns, add,
                                       sums + 4 * i);
    }
}

// The results of one token for `rows` <= 64 rows from n on.
inline void phase_panel_put(const tb_product* p, const tb_phase_batch& x, int64_t m, int64_t n,
                            int64_t rows, const __m512i* sums, const float* row_scales) {
    const float* dx = x.scale + kPhases * m;
    const int32_t* q = x.sums + kPhases * m;
    for (int64_t r = 0; r < rows; r += 16, ++sums) {
        __m512 t =
            _mm512_mul_ps(_mm512_set1_ps(dx[0]),
                          _mm512_cvtepi32_ps(_mm512_sub_epi32(sums[0], _mm512_set1_epi32(q[0]))));
        TB_UNROLL
        for (int i = 1; i < kPhases; ++i) {
            const __m512i sum = _mm512_sub_epi32(sums[4 * i], _mm512_set1_epi32(q[i]));
            t = _mm512_fmadd_ps(_mm512_set1_ps(dx[i]), _mm512_cvtepi32_ps(sum), t);
        }
        const auto mask = static_cast<__mmask16>(rows - r < 16 ? (1 << (rows - r)) - 1 : 0xffff);
        const __m512 y = _mm512_mul_ps(_mm512_load_ps(row_scales + r), t);
        _mm512_mask_storeu_ps(p->y + m * p->ldy + n + r, mask, y);
    }
}

template <class Format, class Unpack, int kWidth>
void phase_panels(const tb_product* p) {
    const tb_phase_batch x = tb_phase_open(&p->shape, p->prepared, p->m);
    const auto* packed = static_cast<const uint8_t*>(p->packed);
    const int64_t k = p->shape.k, columns = panel64_columns(k);
    auto* codes = static_cast<uint8_t*>(p->scratch);
    auto* carried = columns < k ? reinterpret_cast<__m512i*>(codes + columns * kPanel64Rows)
                                : static_cast<__m512i*>(nullptr);
    const int64_t tiles = (p->m + kPanel64Tokens - 1) / kPanel64Tokens;
    for (int64_t n = p->n_begin; n < p->n_end; n += kPanel64Rows) {
        const int64_t rows = p->n_end - n < kPanel64Rows ? p->n_end - n : kPanel64Rows;
        alignas(64) float row_scales[kPanel64Rows] = {0};
        GroupScales<Format>{p}(n, rows, row_scales);
        for (int64_t begin = 0; begin < k; begin += columns) {
            const int64_t count = k - begin < columns ? k - begin : columns;
            for (int64_t g = 0; g < 4; ++g) {
                Unpack::rows(p->shape, packed, n + 16 * g, p->n_end - 1, begin, count,
                             codes + 64 * g);
            }
            for (int64_t i = 0, m = 0; i < tiles; ++i) {
                const int64_t tokens = p->m / tiles + (i < p->m % tiles);
                __m512i local[kPhaseSums * kPanel64Tokens];
                __m512i* sums = carried != nullptr ? carried + kPhaseSums * m : local;
                phase_panel_tokens<kWidth, kPanel64Tokens>(tokens, codes, x.q + m * x.kp + begin,
                                                           x.kp, count, begin != 0, sums);
                const int64_t end = m + tokens;
                for (; m < end; ++m, sums += kPhaseSums) {
                    if (begin + count == k) phase_panel_put(p, x, m, n, rows, sums, row_scales);
                }
            }
        }
    }
}

// Any number of tokens, Core as in phase_rows.h.
template <class Core, class Unpack, int kWidth>
void phase_directly_or_panels(const tb_product* p) {
    if (p->m <= direct_tokens<Core>()) return phase_directly<Core>(p);
    phase_panels<typename Core::Format, Unpack, kWidth>(p);
}

template <class Core>
size_t phase_or_panel_scratch(const tb_shape* s, const tb_tile*, int64_t m) {
    return m <= direct_tokens<Core>() ? arranged_scratch<Core>(*s, m) : phase_panel_scratch(*s, m);
}

}  // namespace

#endif
