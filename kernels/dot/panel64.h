/* GEMM with AVX-512 VNNI for layouts that store rows one after the other: 64 rows at a time are
 * rearranged in scratch so that a 32-bit lane is a row,
 *
 *   codes [K/4][4][64]     16 rows x 4 columns a register, four registers beside each other
 *
 * and four activations enter as one broadcast dword that serves all four. A tile of 6 tokens holds
 * 24 sums and does 24 vpdpbusd for 4 loads and 6 broadcasts; there is no horizontal sum anywhere,
 * so that rows may be cut into blocks of columns at will: what is unpacked fits L2 beside the
 * tokens. The rearrangement is a 16 x 16 transpose of dwords, shared by all tokens.
 *
 * Unpack: static void rows(const tb_shape&, const uint8_t* packed, int64_t n, int64_t last,
 *                          int64_t k, int64_t columns, uint8_t* to);
 * writes the codes (trit + 1) of rows min(n + i, last), i = 0..15, and columns k .. k + columns - 1
 * into every fourth register from `to` on. k is a multiple of 256, and so is columns unless the row
 * ends there; what it writes for columns past K is multiplied by zeros (or not at all).
 *
 * Codes are at most 2: an int32 lane is safe for K < 2^23. Static: see epilogue.h. Include only
 * from AVX-512 VNNI files. */
#ifndef TRITBENCH_KERNELS_DOT_PANEL64_H
#define TRITBENCH_KERNELS_DOT_PANEL64_H

#include "kernels/dot/avx512vnni.h"
#include "kernels/dot/epilogue.h"

// As TB_UNROLL, for the sixteen registers of a transpose.
#define TB_UNROLL_16 _Pragma("GCC unroll 16")

namespace {

constexpr int64_t kPanel64Rows = 64;
constexpr int64_t kPanel64Columns = 4096;  // unpacked at a time: 256 KB
constexpr int kPanel64Tokens = 6;

// Row i of the result is column i of the argument, both 16 x 16 dwords.
inline void transpose16(__m512i (&v)[16]) {
    __m512i t[16];
    TB_UNROLL
    for (int i = 0; i < 16; i += 2) {
        t[i] = _mm512_unpacklo_epi32(v[i], v[i + 1]);
        t[i + 1] = _mm512_unpackhi_epi32(v[i], v[i + 1]);
    }
    TB_UNROLL
    for (int i = 0; i < 16; i += 4) {  // v[i + j]: dwords j, 4 + j, ... of rows i .. i + 3
        v[i] = _mm512_unpacklo_epi64(t[i], t[i + 2]);
        v[i + 1] = _mm512_unpackhi_epi64(t[i], t[i + 2]);
        v[i + 2] = _mm512_unpacklo_epi64(t[i + 1], t[i + 3]);
        v[i + 3] = _mm512_unpackhi_epi64(t[i + 1], t[i + 3]);
    }
    TB_UNROLL
    for (int j = 0; j < 4; ++j) {
        const __m512i a = _mm512_shuffle_i32x4(v[j], v[4 + j], 0x88);
        const __m512i b = _mm512_shuffle_i32x4(v[j], v[4 + j], 0xdd);
        const __m512i c = _mm512_shuffle_i32x4(v[8 + j], v[12 + j], 0x88);
        const __m512i d = _mm512_shuffle_i32x4(v[8 + j], v[12 + j], 0xdd);
        t[j] = _mm512_shuffle_i32x4(a, c, 0x88);
        t[4 + j] = _mm512_shuffle_i32x4(b, d, 0x88);
        t[8 + j] = _mm512_shuffle_i32x4(a, c, 0xdd);
        t[12 + j] = _mm512_shuffle_i32x4(b, d, 0xdd);
    }
    TB_UNROLL_16
    for (int i = 0; i < 16; ++i) v[i] = t[i];
}

// Columns of one block: equal blocks, each but the last a multiple of 256.
inline int64_t panel64_columns(int64_t k) {
    const int64_t blocks = (k + kPanel64Columns - 1) / kPanel64Columns;
    return tb_round_up((k + blocks - 1) / blocks, 256);
}

// The codes of a block, and where rows have several, the sums of all tokens between two.
inline size_t panel64_scratch(const tb_shape& s, int64_t m) {
    const int64_t columns = panel64_columns(s.k);
    const int64_t carried = columns < s.k ? m * kPanel64Rows * 4 : 0;
    return static_cast<size_t>(columns * kPanel64Rows + carried);
}

// sums [T][4] become, or if `add` are increased by, those of T tokens over 4 * quads columns.
template <int T>
void panel64_tile(const uint8_t* codes, const int8_t* x, int64_t ldx, int64_t quads, bool add,
                  __m512i* sums) {
    __m512i acc[T][4];
    TB_UNROLL
    for (int t = 0; t < T; ++t) {
        TB_UNROLL
        for (int g = 0; g < 4; ++g) acc[t][g] = add ? sums[4 * t + g] : _mm512_setzero_si512();
    }
    for (; quads != 0; --quads, codes += 256, x += 4) {
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
    TB_UNROLL
    for (int t = 0; t < T; ++t) {
        TB_UNROLL
        for (int g = 0; g < 4; ++g) sums[4 * t + g] = acc[t][g];
    }
}

// The same for 1 <= tokens <= Most.
template <int Most>
inline void panel64_tokens(int64_t tokens, const uint8_t* codes, const int8_t* x, int64_t ldx,
                           int64_t quads, bool add, __m512i* sums) {
    if constexpr (Most > 1) {
        if (tokens < Most) {
            return panel64_tokens<Most - 1>(tokens, codes, x, ldx, quads, add, sums);
        }
    }
    panel64_tile<Most>(codes, x, ldx, quads, add, sums);
}

// The results of one token for `rows` <= 64 rows from n on; token.scale is of the activations only.
inline void panel64_put(const Sink& out, int64_t m, int64_t n, int64_t rows, const __m512i* sums,
                        const Token& token, const float* row_scales) {
    const int64_t at = m * out.ld + n;
    for (int64_t r = 0; r < rows; r += 16) {
        const auto mask = static_cast<__mmask16>(rows - r < 16 ? (1 << (rows - r)) - 1 : 0xffff);
        const __m512i sum = _mm512_sub_epi32(sums[r / 16], _mm512_set1_epi32(token.sum));
        if (out.acc != nullptr) {
            _mm512_mask_storeu_epi32(out.acc + at + r, mask, sum);
        } else {
            const __m512 scale =
                _mm512_mul_ps(_mm512_set1_ps(token.scale), _mm512_load_ps(row_scales + r));
            const __m512 y = _mm512_mul_ps(_mm512_cvtepi32_ps(sum), scale);
            _mm512_mask_storeu_ps(out.y + at + r, mask, y);
        }
    }
}

// Scales: void scales(int64_t n, int64_t rows, float* to), the scales of rows n .. n + rows - 1.
// Zero: the code of the weight 0.
template <class Unpack, int32_t Zero = 1, class Scales>
void gemm_panel64(const tb_product* p, int32_t* acc, const Scales& scales) {
    const tb_int8_batch x = tb_int8_open(&p->shape, p->prepared, p->m);
    const auto* packed = static_cast<const uint8_t*>(p->packed);
    const Sink out{p->y, acc, p->ldy};
    const int64_t k = p->shape.k, columns = panel64_columns(k);
    auto* codes = static_cast<uint8_t*>(p->scratch);
    auto* carried = columns < k ? reinterpret_cast<__m512i*>(codes + columns * kPanel64Rows)
                                : static_cast<__m512i*>(nullptr);
    const int64_t tiles = (p->m + kPanel64Tokens - 1) / kPanel64Tokens;
    for (int64_t n = p->n_begin; n < p->n_end; n += kPanel64Rows) {
        const int64_t rows = p->n_end - n < kPanel64Rows ? p->n_end - n : kPanel64Rows;
        alignas(64) float row_scales[kPanel64Rows] = {0};
        scales(n, rows, row_scales);
        for (int64_t begin = 0; begin < k; begin += columns) {
            const int64_t count = k - begin < columns ? k - begin : columns;
            for (int64_t g = 0; g < 4; ++g) {
                Unpack::rows(p->shape, packed, n + 16 * g, p->n_end - 1, begin, count,
                             codes + 64 * g);
            }
            for (int64_t i = 0, m = 0; i < tiles; ++i) {
                const int64_t tokens = p->m / tiles + (i < p->m % tiles);
                __m512i local[4 * kPanel64Tokens];
                __m512i* sums = carried != nullptr ? carried + 4 * m : local;
                panel64_tokens<kPanel64Tokens>(tokens, codes, x.q + m * x.kp + begin, x.kp,
                                               (count + 3) / 4, begin != 0, sums);
                const int64_t end = m + tokens;
                for (; m < end; ++m, sums += 4) {
                    if (begin + count < k) continue;
                    panel64_put(out, m, n, rows, sums, token_of(x, m, 1.0F, Zero), row_scales);
                }
            }
        }
    }
}

}  // namespace

#endif
