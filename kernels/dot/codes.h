/* GEMM over rows of unsigned byte codes {0,1,2} (trit + 1), one byte a weight: the loop that the
 * one-byte layout runs on its packed rows and the 2-bit layouts run on unpacked panels.
 *
 * A Tile supplies the arithmetic of one ISA:
 *   template <int R, int T, bool Prefetch = false>
 *   static void run(const uint8_t* codes, int64_t ldc, const int8_t* x, int64_t ldx, int64_t k,
 *                   int32_t (&out)[R][T]);
 * out[r][t] = sum over k columns of codes[r][.] * x[t][.]. Static: see epilogue.h. */
#ifndef TRITBENCH_KERNELS_DOT_CODES_H
#define TRITBENCH_KERNELS_DOT_CODES_H

#include "kernels/dot/epilogue.h"

namespace {

constexpr int64_t kCodeRows = 32;  // at most, of one multiply_codes
// Columns done at a time: four tokens and four rows of these stay in 32 KB of L1.
constexpr int64_t kCodeColumns = 3072;

// The sums of up to kCodeRows rows and four tokens.
struct CodeSums {
    int32_t at[kCodeRows][4];
};

template <class Tile, int R, int T>
inline void add_tile(const uint8_t* codes, int64_t ldc, const int8_t* x, int64_t ldx, int64_t k,
                     int32_t (*sums)[4]) {
    int32_t part[R][T];
    Tile::template run<R, T>(codes, ldc, x, ldx, k, part);
    for (int r = 0; r < R; ++r) {
        for (int t = 0; t < T; ++t) sums[r][t] += part[r][t];
    }
}

// T tokens, all rows, all columns.
template <class Tile, int T>
void multiply_tokens(const uint8_t* codes, int64_t ldc, int64_t rows, int64_t k, const int8_t* x,
                     int64_t ldx, CodeSums& sums) {
    memset(&sums, 0, sizeof sums);
    const int64_t parts = (k + kCodeColumns - 1) / kCodeColumns;
    const int64_t step = tb_round_up((k + parts - 1) / parts, 64);
    for (int64_t begin = 0; begin < k; begin += step) {
        const int64_t count = k - begin < step ? k - begin : step;
        const uint8_t* c = codes + begin;
        int64_t r = 0;
        for (; r + 4 <= rows; r += 4) {
            add_tile<Tile, 4, T>(c + r * ldc, ldc, x + begin, ldx, count, sums.at + r);
        }
        for (; r < rows; ++r) {
            add_tile<Tile, 1, T>(c + r * ldc, ldc, x + begin, ldx, count, sums.at + r);
        }
    }
}

// Rows n .. n + rows - 1 (codes points at row n; at most kCodeRows) against all tokens. Four tokens
// stay in L1 while the rows pass by; k is the number of columns that Tile may read in both
// operands; row_scales[r] is the scale of row n + r; Zero is the code of the weight 0.
template <class Tile, int32_t Zero = 1>
void multiply_codes(const uint8_t* codes, int64_t ldc, int64_t n, int64_t rows, int64_t k,
                    const tb_int8_batch& x, const float* row_scales, const Sink& out) {
    CodeSums sums;
    for (int64_t m = 0; m < x.m; m += 4) {
        const int8_t* q = x.q + m * x.kp;
        const int64_t count = x.m - m < 4 ? x.m - m : 4;
        switch (count) {
            case 1:
                multiply_tokens<Tile, 1>(codes, ldc, rows, k, q, x.kp, sums);
                break;
            case 2:
                multiply_tokens<Tile, 2>(codes, ldc, rows, k, q, x.kp, sums);
                break;
            case 3:
                multiply_tokens<Tile, 3>(codes, ldc, rows, k, q, x.kp, sums);
                break;
            default:
                multiply_tokens<Tile, 4>(codes, ldc, rows, k, q, x.kp, sums);
        }
        for (int64_t t = 0; t < count; ++t) {
            const Token token = token_of(x, m + t, 1.0F, Zero);
            for (int64_t r = 0; r < rows; ++r) {
                put(out, m + t, n + r, sums.at[r][t], {token.sum, token.scale * row_scales[r]});
            }
        }
    }
}

}  // namespace

#endif
