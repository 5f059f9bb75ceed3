/* TQ1_0 and TQ2_0 with AVX2: what their two files share, that is everything but the arithmetic of
 * one block, for the exact products and for the published ones (q8k.h).
 *
 * A Blocks is
 *   Format, kSafeBlocks           what may be added in int16
 *   template <int R> struct Sums  int16 sums of R rows, zero at first
 *   template <int R, bool Prefetch, bool First = false>
 *   static void add(Sums<R>&, const uint8_t* block, int64_t ldg, const int8_t* x)
 *        code * q over 256 columns of R rows that are ldg bytes apart; First: the sums are zero
 *   template <int R> static void widen(const Sums<R>&, __m256i (&sum)[R])
 *        adds them to int32 sums in any lanes
 * Static: see dot/epilogue.h. Include only from AVX2 files. */
#ifndef TRITBENCH_KERNELS_TRIT_BLOCKS_TQ_AVX2_H
#define TRITBENCH_KERNELS_TRIT_BLOCKS_TQ_AVX2_H

#include "kernels/dot/avx2.h"
#include "kernels/trit_blocks/gemm_codes.h"
#include "kernels/trit_blocks/q8k.h"

namespace {

template <class Blocks>
struct TqCore {
    using Format = typename Blocks::Format;
    static constexpr int kStreams = 4;

    template <int R, bool Prefetch>
    __attribute__((always_inline)) static void run(const uint8_t* row, int64_t ldg, int64_t k,
                                                   const int8_t* x, int32_t (&out)[R][1]) {
        __m256i sum[R];
        TB_UNROLL
        for (int r = 0; r < R; ++r) sum[r] = _mm256_setzero_si256();
        for (int64_t blocks = k / kTqColumns; blocks > 0; blocks -= Blocks::kSafeBlocks) {
            const int64_t count = blocks < Blocks::kSafeBlocks ? blocks : Blocks::kSafeBlocks;
            typename Blocks::template Sums<R> sums;
            for (const uint8_t* end = row + count * Format::kBlockBytes; row != end;
                 row += Format::kBlockBytes, x += kTqColumns) {
                Blocks::template add<R, Prefetch>(sums, row, ldg, x);
            }
            Blocks::template widen<R>(sums, sum);
        }
        sum_each<R>(sum, out[0]);
    }
};

struct CodesLoad {
    static __m256i codes(const uint8_t* p) { return load32(p); }
    static __m256i tail(const uint8_t* p, int64_t) { return load32(p); }
};

template <class Blocks>
void tq_product(const tb_product* p) {
    multiply_groups_or_codes<TqCore<Blocks>, Avx2Tile<CodesLoad>>(p, nullptr);
}

template <class Blocks>
void tq_accumulate(const tb_product* p) {
    multiply_groups_or_codes<TqCore<Blocks>, Avx2Tile<CodesLoad>>(p, p->acc);
}

// ---- as published ------------------------------------------------------------------------------

// The scales of blocks of R rows, in the low lanes.
template <int R>
inline __m128 tq_scales(const uint8_t* scale, int64_t ldg) {
    uint64_t halves = 0;
    for (int r = R - 1; r >= 0; --r) {
        uint16_t h;
        memcpy(&h, scale + r * ldg, sizeof h);
        halves = halves << 16 | h;
    }
    return _mm_cvtph_ps(_mm_cvtsi64_si128(static_cast<int64_t>(halves)));
}

// y of R <= 4 rows for one token.
template <class Blocks, int R, bool Prefetch>
__attribute__((always_inline)) inline __m128 q8k_dot(const uint8_t* row, int64_t ldg,
                                                     int64_t blocks, const int8_t* q,
                                                     const float* scale, const int32_t* sums) {
    using Format = typename Blocks::Format;
    __m128 y = _mm_setzero_ps();
    for (int64_t b = 0; b < blocks; ++b, row += Format::kBlockBytes, q += kTqColumns) {
        typename Blocks::template Sums<R> narrow;
        Blocks::template add<R, Prefetch, true>(narrow, row, ldg, q);
        __m256i wide[R];
        TB_UNROLL
        for (int r = 0; r < R; ++r) wide[r] = _mm256_setzero_si256();
        Blocks::template widen<R>(narrow, wide);
        alignas(16) int32_t codes[4] = {0};
        sum_each<R>(wide, codes);
        const __m128i trits = _mm_sub_epi32(_mm_load_si128(reinterpret_cast<__m128i*>(codes)),
                                            _mm_set1_epi32(sums[b]));
        const __m128 d = tq_scales<R>(row + Format::kBlockBytes - 2, ldg);
        y = _mm_fmadd_ps(_mm_mul_ps(d, _mm_set1_ps(scale[b])), _mm_cvtepi32_ps(trits), y);
    }
    return y;
}

// `count` times R rows `apart` rows from each other, from row n on, with every token.
template <class Blocks, int R, bool Prefetch>
void q8k_rows(const tb_product* p, const tb_q8k_batch& x, int64_t n, int64_t count, int64_t apart) {
    const int64_t bytes = Blocks::Format::group_bytes(x.k);
    for (const int64_t end = n + count; n < end; ++n) {
        const uint8_t* row = static_cast<const uint8_t*>(p->packed) + n * bytes;
        for (int64_t m = 0; m < x.m; ++m) {
            const int64_t at = m * x.blocks;
            float y[4];
            _mm_storeu_ps(y,
                          q8k_dot<Blocks, R, Prefetch>(row, apart * bytes, x.blocks, x.q + m * x.kp,
                                                       x.scale + at, x.sums + at));
            for (int r = 0; r < R; ++r) p->y[m * p->ldy + n + r * apart] = y[r];
        }
    }
}

template <class Blocks, bool Prefetch>
void q8k_streams(const tb_product* p) {
    const tb_q8k_batch x = tb_q8k_open(&p->shape, p->prepared, p->m);
    const int64_t rows = p->n_end - p->n_begin;
    const int64_t apart = rows_apart(rows, 4, Blocks::Format::group_bytes(x.k));
    q8k_rows<Blocks, 4, Prefetch>(p, x, p->n_begin, apart, apart);
    const int64_t next = p->n_begin + 4 * apart, few = (p->n_end - next) / 4;
    q8k_rows<Blocks, 4, Prefetch>(p, x, next, few, few);
    q8k_rows<Blocks, 1, Prefetch>(p, x, next + 4 * few, p->n_end - next - 4 * few, 0);
}

template <class Blocks>
void q8k_gemv(const tb_product* p) {
    if (p->m == 1 && wants_prefetch(p->tile)) return q8k_streams<Blocks, true>(p);
    q8k_streams<Blocks, false>(p);
}

constexpr int64_t kQ8kRows = 4;  // unpacked at a time: codes, and scales of blocks

inline size_t q8k_scratch(const tb_shape* s, const tb_tile*, int64_t m) {
    if (m <= kFewTokens) return 0;
    return static_cast<size_t>(kQ8kRows * (s->k + s->k / kTqColumns * int64_t{sizeof(float)}));
}

// R rows of codes and T tokens: block after block.
template <int R, int T>
void q8k_tile(const tb_product* p, const tb_q8k_batch& x, const uint8_t* codes, const float* d,
              int64_t n, int64_t m) {
    float y[R][T] = {};
    for (int64_t b = 0; b < x.blocks; ++b) {
        int32_t sums[R][T];
        const int64_t at = b * kTqColumns;
        Avx2Tile<CodesLoad>::run<R, T>(codes + at, x.k, x.q + m * x.kp + at, x.kp, kTqColumns,
                                       sums);
        TB_UNROLL
        for (int r = 0; r < R; ++r) {
            TB_UNROLL
            for (int t = 0; t < T; ++t) {
                const int64_t token = (m + t) * x.blocks + b;
                const auto sum = static_cast<float>(sums[r][t] - x.sums[token]);
                y[r][t] = __builtin_fmaf(d[r * x.blocks + b] * x.scale[token], sum, y[r][t]);
            }
        }
    }
    for (int r = 0; r < R; ++r) {
        for (int t = 0; t < T; ++t) p->y[(m + t) * p->ldy + n + r] = y[r][t];
    }
}

template <int R>
void q8k_tokens(const tb_product* p, const tb_q8k_batch& x, const uint8_t* codes, const float* d,
                int64_t n) {
    int64_t m = 0;
    for (; m + 2 <= x.m; m += 2) q8k_tile<R, 2>(p, x, codes, d, n, m);
    if (m < x.m) q8k_tile<R, 1>(p, x, codes, d, n, m);
}

// Rows are unpacked four at a time and stay in L1 while the tokens pass by in pairs.
template <class Blocks>
void q8k_gemm(const tb_product* p) {
    using Format = typename Blocks::Format;
    if (p->m <= kFewTokens) return q8k_gemv<Blocks>(p);
    const tb_q8k_batch x = tb_q8k_open(&p->shape, p->prepared, p->m);
    auto* codes = static_cast<uint8_t*>(p->scratch);
    auto* d = reinterpret_cast<float*>(codes + kQ8kRows * x.k);
    for (int64_t n = p->n_begin; n < p->n_end; n += kQ8kRows) {
        const int64_t rows = p->n_end - n < kQ8kRows ? p->n_end - n : kQ8kRows;
        for (int64_t r = 0; r < rows; ++r) {
            const uint8_t* row = group_of<Format>(p->shape, p->packed, n + r);
            Format::codes(row, 0, 0, x.k, codes + r * x.k);
            for (int64_t b = 0; b < x.blocks; ++b) {
                d[r * x.blocks + b] = Format::block_scale(row + b * Format::kBlockBytes);
            }
        }
        if (rows == kQ8kRows) {
            q8k_tokens<kQ8kRows>(p, x, codes, d, n);
            continue;
        }
        for (int64_t r = 0; r < rows; ++r) {
            q8k_tokens<1>(p, x, codes + r * x.k, d + r * x.blocks, n + r);
        }
    }
}

}  // namespace

#endif
