/* GEMM over rows of unsigned byte codes {0,1,2} (trit + 1), one byte a weight: the loop that the
 * one-byte layout runs on its packed rows and the 2-bit layouts run on unpacked panels.
 *
 * A Tile supplies the arithmetic of one ISA:
 *   template <int R, int T> static void run(const uint8_t* codes, int64_t ldc, const int8_t* x,
 *                                           int64_t ldx, int64_t k, int32_t out[R][T]);
 * out[r][t] = sum over k columns of codes[r][.] * x[t][.]. Static: see epilogue.h. */
#ifndef TRITBENCH_KERNELS_DOT_CODES_H
#define TRITBENCH_KERNELS_DOT_CODES_H

#include "kernels/dot/epilogue.h"

namespace {

template <class Tile, int R, int T>
inline void tile_and_put(const uint8_t* codes, int64_t ldc, const tb_int8_batch& x, int64_t m,
                         int64_t n, int64_t k, const Token* tokens, const Sink& out) {
    int32_t sums[R][T];
    Tile::template run<R, T>(codes, ldc, x.q + m * x.kp, x.kp, k, sums);
    for (int t = 0; t < T; ++t) {
        for (int r = 0; r < R; ++r) put(out, m + t, n + r, sums[r][t], tokens[t]);
    }
}

// Rows n .. n + rows - 1 (codes points at row n) against all tokens. Four tokens stay in L1 while
// the rows pass by; k is the number of columns that Tile may read in both operands.
template <class Tile>
void multiply_codes(const uint8_t* codes, int64_t ldc, int64_t n, int64_t rows, int64_t k,
                    const tb_int8_batch& x, float weight_scale, const Sink& out) {
    for (int64_t m = 0; m < x.m; m += 4) {
        const int64_t count = x.m - m < 4 ? x.m - m : 4;
        Token tokens[4];
        for (int64_t t = 0; t < count; ++t) tokens[t] = token_of(x, m + t, weight_scale);
        int64_t r = 0;
        for (; r + 4 <= rows; r += 4) {
            const uint8_t* c = codes + r * ldc;
            if (count == 4) {
                tile_and_put<Tile, 4, 4>(c, ldc, x, m, n + r, k, tokens, out);
            } else {
                for (int64_t t = 0; t < count; ++t) {
                    tile_and_put<Tile, 4, 1>(c, ldc, x, m + t, n + r, k, tokens + t, out);
                }
            }
        }
        for (; r < rows; ++r) {
            const uint8_t* c = codes + r * ldc;
            for (int64_t t = 0; t < count; ++t) {
                tile_and_put<Tile, 1, 1>(c, ldc, x, m + t, n + r, k, tokens + t, out);
            }
        }
    }
}

}  // namespace

#endif
