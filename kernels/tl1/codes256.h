/* GEMM of tl1 for more tokens than tables pay for: 32 rows at a time are unpacked to byte codes in
 * scratch, shared by all tokens; see dot/codes.h. Static: see dot/epilogue.h. AVX2 files only. */
#ifndef TRITBENCH_KERNELS_TL1_CODES256_H
#define TRITBENCH_KERNELS_TL1_CODES256_H

#include "kernels/dot/avx2.h"
#include "kernels/dot/codes.h"
#include "kernels/tl1/layout.h"

namespace {

inline __m256i code_table(const char* codes) {
    return _mm256_broadcastsi128_si256(_mm_loadu_si128(reinterpret_cast<const __m128i*>(codes)));
}

// A group of 16 rows x 4 columns in each lane, as dwords of one row: out[i] is rows 4i..4i+3.
inline void codes_of(__m256i bytes, __m256i (&out)[4]) {
    const __m256i nibble = _mm256_set1_epi8(15);
    // Nibbles above 8 are of columns that nobody packed: zero times zero.
    const __m256i first = code_table("\0\0\0\1\1\1\2\2\2\0\0\0\0\0\0");
    const __m256i second = code_table("\0\1\2\0\1\2\0\1\2\0\0\0\0\0\0");
    const __m256i high = _mm256_and_si256(_mm256_srli_epi16(bytes, 4), nibble);
    const __m256i low = _mm256_and_si256(bytes, nibble);
    const __m256i c0 = _mm256_shuffle_epi8(first, high), c1 = _mm256_shuffle_epi8(second, high);
    const __m256i c2 = _mm256_shuffle_epi8(first, low), c3 = _mm256_shuffle_epi8(second, low);
    const __m256i a0 = _mm256_unpacklo_epi8(c0, c1), a1 = _mm256_unpackhi_epi8(c0, c1);
    const __m256i b0 = _mm256_unpacklo_epi8(c2, c3), b1 = _mm256_unpackhi_epi8(c2, c3);
    out[0] = _mm256_unpacklo_epi16(a0, b0);
    out[1] = _mm256_unpackhi_epi16(a0, b0);
    out[2] = _mm256_unpacklo_epi16(a1, b1);
    out[3] = _mm256_unpackhi_epi16(a1, b1);
}

// The 16 bytes of four columns from k on of the 16 rows with row n; zeros behind the padding.
inline __m128i group_at(const Places& at, const uint8_t* bytes, int64_t n, int64_t k) {
    if (k >= at.columns) return _mm_setzero_si128();
    const int64_t left = k / at.tile.columns * at.tile.columns;
    const int64_t r = n % at.tile.rows % at.tile.bm;
    return _mm_loadu_si128(
        reinterpret_cast<const __m128i*>(bytes + at.block(n, left) + at.group(r, k - left)));
}

// The codes of 16 rows x 32 columns, 32 bytes a row, from groups of columns 4i..4i+3 and, in the
// other lane, 16 + 4i...
inline void store_codes(const __m256i (&groups)[4], uint8_t* codes, int64_t ldc) {
    __m256i rows[4][4];
    TB_UNROLL
    for (int i = 0; i < 4; ++i) codes_of(groups[i], rows[i]);
    TB_UNROLL
    for (int j = 0; j < 4; ++j) {
        const __m256i a0 = _mm256_unpacklo_epi32(rows[0][j], rows[1][j]);
        const __m256i a1 = _mm256_unpackhi_epi32(rows[0][j], rows[1][j]);
        const __m256i b0 = _mm256_unpacklo_epi32(rows[2][j], rows[3][j]);
        const __m256i b1 = _mm256_unpackhi_epi32(rows[2][j], rows[3][j]);
        auto* to = codes + 4 * j * ldc;
        const __m256i whole[4] = {_mm256_unpacklo_epi64(a0, b0), _mm256_unpackhi_epi64(a0, b0),
                                  _mm256_unpacklo_epi64(a1, b1), _mm256_unpackhi_epi64(a1, b1)};
        TB_UNROLL
        for (int i = 0; i < 4; ++i) {
            _mm256_storeu_si256(reinterpret_cast<__m256i*>(to + i * ldc), whole[i]);
        }
    }
}

// 16 rows from n on (n % 16 == 0), columns to kp, a multiple of 32.
inline void unpack_rows(const Places& at, const uint8_t* bytes, int64_t n, int64_t kp,
                        uint8_t* codes, int64_t ldc) {
    const int64_t r = n % at.tile.rows % at.tile.bm;
    int64_t left = 0, right = 0;  // of the tile that begins at `tile`
    const uint8_t* tile = nullptr;
    for (int64_t k = 0; k < kp; k += 32) {
        if (k >= right && k < at.columns) {
            left = k / at.tile.columns * at.tile.columns;
            right = left + at.width(left);
            tile = bytes + at.block(n, left);
        }
        __m256i groups[4];
        if (k + 32 <= right) {
            TB_UNROLL
            for (int i = 0; i < 4; ++i) {
                const auto* low = tile + at.group(r, k - left + 4 * i);
                const auto* high = tile + at.group(r, k - left + 16 + 4 * i);
                groups[i] = _mm256_loadu2_m128i(reinterpret_cast<const __m128i*>(high),
                                                reinterpret_cast<const __m128i*>(low));
            }
        } else {
            for (int i = 0; i < 4; ++i) {
                groups[i] = _mm256_set_m128i(group_at(at, bytes, n, k + 16 + 4 * i),
                                             group_at(at, bytes, n, k + 4 * i));
            }
        }
        store_codes(groups, codes + k, ldc);
    }
}

struct CodeLoad {
    static __m256i codes(const uint8_t* p) { return load32(p); }
    static __m256i tail(const uint8_t* p, int64_t) { return load32(p); }
};

void multiply_unpacked(const tb_product* p, int32_t* acc) {
    const Places at(p->shape, p->tile);
    const tb_int8_batch x = tb_int8_open(&p->shape, p->prepared, p->m);
    const auto* bytes = static_cast<const uint8_t*>(p->packed);
    auto* codes = static_cast<uint8_t*>(p->scratch);
    float scales[kCodeRows];
    TensorScale{tensor_scale(p->shape, p->tile, p->packed)}(0, kCodeRows, scales);
    const Sink out{p->y, acc, p->ldy};
    for (int64_t n = p->n_begin; n < p->n_end;) {
        const int64_t top = n / kCodeRows * kCodeRows;
        const int64_t end = top + kCodeRows < p->n_end ? top + kCodeRows : p->n_end;
        for (int64_t r = 0; r < kCodeRows; r += kGroup) {
            unpack_rows(at, bytes, top + r, x.kp, codes + r * x.kp, x.kp);
        }
        multiply_codes<Avx2Tile<CodeLoad>>(codes + (n - top) * x.kp, x.kp, n, end - n, x.kp, x,
                                           scales, out);
        n = end;
    }
}

inline size_t codes_scratch(const tb_shape& s) {
    return static_cast<size_t>(kCodeRows * tb_round_up(s.k, 64));
}

}  // namespace

#endif
