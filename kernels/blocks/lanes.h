/* The register tile of the block formats with 256-bit vectors: 8 lanes are the 8 blocks of a chunk
 * of 256 columns (prepared_block.h), so that integers add up to sums of blocks without a horizontal
 * step, and a chunk costs one conversion and one fused multiply-add for each row and token.
 *
 *   Core: using Format;
 *         static constexpr int kGroup                    rows unpacked together
 *         struct Codes;                                  a chunk of a row, unpacked
 *         static Codes codes(const uint8_t* chunk);
 *         static __m256 scales(const uint8_t* chunk);    d of the 8 blocks
 *         template <int G>                               the sums S of the 8 blocks of each of G
 * rows static void sums(const Codes (&c)[G], const tb_block32_chunk& x, __m256i (&out)[G]);
 *
 * Static: see dot/epilogue.h. Include only from files for AVX2 and above. */
#ifndef TRITBENCH_KERNELS_BLOCKS_LANES_H
#define TRITBENCH_KERNELS_BLOCKS_LANES_H

#include <immintrin.h>

#include "kernels/blocks/rows.h"
#include "kernels/dot/unroll.h"

namespace {

inline __m128i load16(const void* p) {
    return _mm_loadu_si128(static_cast<const __m128i*>(p));
}

inline __m256i load32(const void* p) {
    return _mm256_loadu_si256(static_cast<const __m256i*>(p));
}

// 16 bytes at either place.
inline __m256i load_two(const uint8_t* low, const uint8_t* high) {
    return _mm256_inserti128_si256(_mm256_castsi128_si256(load16(low)), load16(high), 1);
}

// Dword j of the 8 blocks, j = 0..3, from 16 bytes of each: rows of four by four dwords become
// columns, in either half of the registers.
template <int64_t kStride>
inline void transpose(const uint8_t* p, __m256i out[4]) {
    const __m256i a = load_two(p, p + 4 * kStride);
    const __m256i b = load_two(p + kStride, p + 5 * kStride);
    const __m256i c = load_two(p + 2 * kStride, p + 6 * kStride);
    const __m256i d = load_two(p + 3 * kStride, p + 7 * kStride);
    const __m256i ab = _mm256_unpacklo_epi32(a, b), cd = _mm256_unpacklo_epi32(c, d);
    const __m256i ab2 = _mm256_unpackhi_epi32(a, b), cd2 = _mm256_unpackhi_epi32(c, d);
    out[0] = _mm256_unpacklo_epi64(ab, cd);
    out[1] = _mm256_unpackhi_epi64(ab, cd);
    out[2] = _mm256_unpacklo_epi64(ab2, cd2);
    out[3] = _mm256_unpackhi_epi64(ab2, cd2);
}

// The 8 half-precision scales at p, p + kStride, ... one at a time.
template <int64_t kStride>
inline __m256 scales_one_by_one(const uint8_t* p) {
    const auto half = [p](int64_t i) {
        int16_t h;
        memcpy(&h, p + i * kStride, sizeof h);
        return h;
    };
    __m128i v = _mm_cvtsi32_si128(half(0));
    v = _mm_insert_epi16(v, half(1), 1);
    v = _mm_insert_epi16(v, half(2), 2);
    v = _mm_insert_epi16(v, half(3), 3);
    v = _mm_insert_epi16(v, half(4), 4);
    v = _mm_insert_epi16(v, half(5), 5);
    v = _mm_insert_epi16(v, half(6), 6);
    v = _mm_insert_epi16(v, half(7), 7);
    return _mm256_cvtph_ps(v);
}

// Sums of the activations of the 8 blocks, for formats that store codes with an offset.
inline __m256i block_sums(const tb_block32_chunk& x) {
    const __m256i h = load32(x.sums);
    return _mm256_cvtepi16_epi32(
        _mm_add_epi16(_mm256_castsi256_si128(h), _mm256_extracti128_si256(h, 1)));
}

// Lane i + 4 to lane i, then 2, 1.
inline float tree(__m256 v) {
    const __m128 v4 = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    const __m128 v2 = _mm_add_ps(v4, _mm_movehl_ps(v4, v4));
    return _mm_cvtss_f32(_mm_add_ss(v2, _mm_movehdup_ps(v2)));
}

template <class Core>
struct LaneTile {
    using Format = typename Core::Format;

    // A chunk of R rows against that of T tokens, kGroup rows at a time. Tail: scales outside the
    // lanes of `keep` are none of these rows'.
    template <int R, int T, bool Prefetch, bool Tail>
    static inline void chunk(const uint8_t* w, int64_t ldw, const tb_block32_chunk* x,
                             int64_t chunks, __m256 keep, __m256 (&acc)[R][T]) {
        constexpr int G = Core::kGroup < R ? Core::kGroup : R;
        TB_UNROLL
        for (int g = 0; g < R; g += G) {
            __m256i sums[T][G];
            TB_UNROLL
            for (int part = 0; part < Core::kParts; ++part) {
                typename Core::Codes codes[G];
                TB_UNROLL
                for (int r = 0; r < G; ++r) codes[r] = Core::codes(w + (g + r) * ldw, part);
                TB_UNROLL
                for (int t = 0; t < T; ++t) {
                    __m256i more[G];
                    Core::template sums<G>(codes, x[t * chunks], part, more);
                    TB_UNROLL
                    for (int r = 0; r < G; ++r) {
                        sums[t][r] = part == 0 ? more[r] : _mm256_add_epi32(sums[t][r], more[r]);
                    }
                }
            }
            TB_UNROLL
            for (int r = 0; r < G; ++r) {
                const uint8_t* row = w + (g + r) * ldw;
                if (Prefetch) {
                    TB_UNROLL
                    for (int64_t i = 0; i < kChunkBytes<Format>; i += 64) fetch_ahead(row + i);
                }
                __m256 d = Core::scales(row);
                if (Tail) d = _mm256_and_ps(d, keep);
                TB_UNROLL
                for (int t = 0; t < T; ++t) {
                    const __m256 scale = _mm256_mul_ps(d, _mm256_loadu_ps(x[t * chunks].scale));
                    acc[g + r][t] =
                        _mm256_fmadd_ps(scale, _mm256_cvtepi32_ps(sums[t][r]), acc[g + r][t]);
                }
            }
        }
    }

    // The blocks of a row that do not fill a chunk, with those behind them, which are of the next
    // row or, at the end of the tensor, zeros: their activations are zero and their scales dropped.
    template <int R, int T>
    static inline void tail(const uint8_t* w, int64_t ldw, const uint8_t* end,
                            const tb_block32_chunk* x, int64_t chunks, int64_t blocks,
                            __m256 (&acc)[R][T]) {
        constexpr int64_t kBytes = kChunkBytes<Format>;
        const __m256 keep =
            _mm256_castsi256_ps(_mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int>(blocks)),
                                                   _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7)));
        if (end - w >= (R - 1) * ldw + kBytes) {
            return chunk<R, T, false, true>(w, ldw, x, chunks, keep, acc);
        }
        uint8_t copy[R * kBytes] = {0};
        for (int r = 0; r < R; ++r) {
            memcpy(copy + r * kBytes, w + r * ldw, static_cast<size_t>(blocks * Format::kBytes));
        }
        chunk<R, T, false, true>(copy, kBytes, x, chunks, keep, acc);
    }

    template <int R, int T, bool Prefetch>
    static void run(const uint8_t* w, int64_t ldw, const uint8_t* end, const tb_block32_chunk* x,
                    int64_t chunks, int64_t k, float (&out)[R][T]) {
        __m256 acc[R][T];
        TB_UNROLL
        for (int r = 0; r < R; ++r) {
            TB_UNROLL
            for (int t = 0; t < T; ++t) acc[r][t] = _mm256_setzero_ps();
        }
        int64_t i = 0;
        for (; i < k / TB_BLOCK32_CHUNK; ++i) {
            chunk<R, T, Prefetch, false>(w + i * kChunkBytes<Format>, ldw, x + i, chunks,
                                         _mm256_setzero_ps(), acc);
        }
        if constexpr (Format::kColumns < TB_BLOCK32_CHUNK) {
            if (i < chunks) {
                tail(w + i * kChunkBytes<Format>, ldw, end, x + i, chunks,
                     k % TB_BLOCK32_CHUNK / TB_BLOCK32_COLUMNS, acc);
            }
        }
        TB_UNROLL
        for (int r = 0; r < R; ++r) {
            TB_UNROLL
            for (int t = 0; t < T; ++t) out[r][t] = tree(acc[r][t]);
        }
    }
};

}  // namespace

#endif
