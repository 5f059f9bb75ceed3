/* GEMM of the published forms (phase.h) with AVX2: panels of byte codes as in gemm_codes.h, in the
 * order of the columns, and the arithmetic of dot/avx2.h. What differs is which sums belong
 * together. Phases of 4 columns: dword i of each half of a register is phase i. Phases of 16: a
 * half of a register is a phase, of which there are two, so that even and odd registers of codes
 * are walked one after the other.
 *
 * Overflow: as in dot/avx2.h. Static: see dot/epilogue.h. Include only from AVX2 files. */
#ifndef TRITBENCH_KERNELS_TRIT_BLOCKS_PHASE_CODES_H
#define TRITBENCH_KERNELS_TRIT_BLOCKS_PHASE_CODES_H

#include "kernels/dot/avx2.h"
#include "kernels/trit_blocks/gemm_codes.h"
#include "kernels/trit_blocks/phase_rows.h"

namespace {

// The two halves of a register: the sums of phases of 4 columns.
inline __m128i add_halves(__m256i v) {
    return _mm_add_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
}

// The sum of each half of a, then b: of phases of 16 columns.
inline __m128i sum_halves(__m256i a, __m256i b) {
    const __m256i pairs = _mm256_hadd_epi32(a, b);
    const __m256i sums = _mm256_hadd_epi32(pairs, pairs);
    return _mm_unpacklo_epi32(_mm256_castsi256_si128(sums), _mm256_extracti128_si256(sums, 1));
}

template <int kWidth>
struct PhaseTile {
    static constexpr int kPasses = kWidth == 4 ? 1 : 2;
    static constexpr int64_t kSafeSteps = 63;

    // sums = those of 32 columns of each `32 * kPasses`, `steps` times.
    template <int R, int T>
    static void pass(const uint8_t* c, int64_t ldc, const int8_t* x, int64_t ldx, int64_t steps,
                     __m256i (&sums)[R][T]) {
        const __m256i ones = _mm256_set1_epi16(1);
        TB_UNROLL
        for (int r = 0; r < R; ++r) {
            TB_UNROLL
            for (int t = 0; t < T; ++t) sums[r][t] = _mm256_setzero_si256();
        }
        for (; steps > 0; steps -= kSafeSteps) {
            __m256i narrow[R][T];
            TB_UNROLL
            for (int r = 0; r < R; ++r) {
                TB_UNROLL
                for (int t = 0; t < T; ++t) narrow[r][t] = _mm256_setzero_si256();
            }
            const int64_t count = steps < kSafeSteps ? steps : kSafeSteps;
            for (const uint8_t* end = c + 32 * kPasses * count; c != end;
                 c += 32 * kPasses, x += 32 * kPasses) {
                __m256i xs[T];
                TB_UNROLL
                for (int t = 0; t < T; ++t) xs[t] = load32(x + t * ldx);
                TB_UNROLL
                for (int r = 0; r < R; ++r) {
                    const __m256i codes = load32(c + r * ldc);
                    TB_UNROLL
                    for (int t = 0; t < T; ++t) multiply_add(narrow[r][t], codes, xs[t]);
                }
            }
            TB_UNROLL
            for (int r = 0; r < R; ++r) {
                TB_UNROLL
                for (int t = 0; t < T; ++t) {
                    sums[r][t] =
                        _mm256_add_epi32(sums[r][t], _mm256_madd_epi16(narrow[r][t], ones));
                }
            }
        }
    }

    // out[r][at + t] += the sums of the phases over k columns, a multiple of 64.
    template <int R, int T>
    static void run(const uint8_t* c, int64_t ldc, const int8_t* x, int64_t ldx, int64_t k,
                    __m128i (*out)[4], int64_t at) {
        __m256i sums[kPasses][R][T];
        TB_UNROLL
        for (int i = 0; i < kPasses; ++i) {
            pass<R, T>(c + 32 * i, ldc, x + 32 * i, ldx, k / (32 * kPasses), sums[i]);
        }
        TB_UNROLL
        for (int r = 0; r < R; ++r) {
            TB_UNROLL
            for (int t = 0; t < T; ++t) {
                const __m256i first = sums[0][r][t];
                const __m128i of_phases =
                    kWidth == 4 ? add_halves(first) : sum_halves(first, sums[kPasses - 1][r][t]);
                out[r][at + t] = _mm_add_epi32(out[r][at + t], of_phases);
            }
        }
    }
};

// Of up to kCodeRows rows and four tokens, what CodeSums is: a register has the four phases.
struct PhaseSums {
    __m128i at[kCodeRows][4];
};

// R rows from row r on, `tokens` <= 4, in pairs.
template <int kWidth, int R>
inline void phase_tile(const uint8_t* codes, const int8_t* x, int64_t kp, int64_t columns,
                       int64_t tokens, int64_t r, PhaseSums& sums) {
    int64_t t = 0;
    for (; t + 2 <= tokens; t += 2) {
        PhaseTile<kWidth>::template run<R, 2>(codes + r * kp, kp, x + t * kp, kp, columns,
                                              sums.at + r, t);
    }
    if (t < tokens) {
        PhaseTile<kWidth>::template run<R, 1>(codes + r * kp, kp, x + t * kp, kp, columns,
                                              sums.at + r, t);
    }
}

// The results of `rows` rows from n on for token m, which is number t of these.
inline void phase_put(const tb_product* p, const tb_phase_batch& x, int64_t m, int64_t t, int64_t n,
                      int64_t rows, const PhaseSums& sums, const float* scales) {
    for (int64_t r = 0; r < rows; r += 4) {
        __m128i codes[4];  // of what is past the last row, anything
        TB_UNROLL
        for (int i = 0; i < 4; ++i) codes[i] = sums.at[r + i][t];
        transpose4(codes);
        float y[4];
        _mm_storeu_ps(y, phase_y(x, m, codes, _mm_loadu_ps(scales + r)));
        const int64_t count = rows - r < 4 ? rows - r : 4;
        memcpy(p->y + m * p->ldy + n + r, y, static_cast<size_t>(count) * sizeof(float));
    }
}

// Four tokens, a part of their columns, stay in L1 while the rows pass by.
template <class Format, int kWidth, class Unpack>
void phase_unpacked(const tb_product* p) {
    const tb_phase_batch x = tb_phase_open(&p->shape, p->prepared, p->m);
    const auto multiply = [&](int64_t n, int64_t rows, const uint8_t* codes, const float* scales) {
        for (int64_t m = 0; m < x.m; m += 4) {
            const int64_t tokens = x.m - m < 4 ? x.m - m : 4;
            const int8_t* q = x.q + m * x.kp;
            PhaseSums sums;
            memset(&sums, 0, sizeof sums);
            for (int64_t k = 0; k < x.kp; k += kCodeColumns) {
                const int64_t columns = x.kp - k < kCodeColumns ? x.kp - k : kCodeColumns;
                int64_t r = 0;
                for (; r + 4 <= rows; r += 4) {
                    phase_tile<kWidth, 4>(codes + k, q + k, x.kp, columns, tokens, r, sums);
                }
                for (; r < rows; ++r) {
                    phase_tile<kWidth, 1>(codes + k, q + k, x.kp, columns, tokens, r, sums);
                }
            }
            for (int64_t t = 0; t < tokens; ++t) {
                phase_put(p, x, m + t, t, n, rows, sums, scales);
            }
        }
    };
    for_unpacked_rows<Format, Unpack>(p, x.kp, multiply);
}

// Any number of tokens, Core as in phase_rows.h; scratch: arranged_or_codes_scratch<Core>.
template <class Core, int kWidth, class Unpack = UnpackRows<typename Core::Format>>
void phase_directly_or_codes(const tb_product* p) {
    if (p->m <= direct_tokens<Core>()) return phase_directly<Core>(p);
    phase_unpacked<typename Core::Format, kWidth, Unpack>(p);
}

}  // namespace

#endif
