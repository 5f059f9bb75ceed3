// The oracle: what every kernel is proved against. Plain C++, one loop each, no shared code with
// any kernel, no tricks.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/api/kernel.h"

namespace tritbench::reference {

// sum_k trits[k] * q[k]; fits for K < 2^24 with |q| <= 128.
int32_t dot(const int8_t* trits, const int8_t* q, int64_t k);

// The float result of an exact kernel: (float)acc * (dx * sw), each step rounded to float32.
float exact_output(int32_t acc, float dx, float sw);

// The half-precision value nearest to x, ties to even, as a float; for |x| < 65504.
float nearest_half(float x);

// Per-token int8 quantisation of b1.58: a = max(max|x|, 1e-5), s = 127 / a, q = x * s rounded half
// to even and clamped to [-128, 127], dx = a / 127.
void quantise_row(const float* x, int64_t k, int8_t* q, float* dx);

// A float dot product in the order that the contract fixes: 16 lanes of fused multiply-adds, then
// the tree 16 -> 8 -> 4 -> 2 -> 1.
float dot_16_lanes(const float* w, const float* x, int64_t k);

// The same in double, and the sum of |w||x| that error bounds refer to.
struct DoubleDot {
    double value;
    double magnitude;
};
DoubleDot dot_double(const float* w, const float* x, int64_t k);

// ---- block formats with int8 activations per 32 columns (TB_ACT_INT8_BLOCK) --------------------

// A row of blocks as stored: w[k] = v[k] * d[k / 32].
struct BlockRow {
    std::vector<int32_t> v;  // [K], within +-4096
    std::vector<float> d;    // [K / 32]
    // [K / 32]: how far a stored weight may be from the one it was made of, in units of w: what
    // rounding to codes of the block may cost, and to its scales.
    std::vector<float> step;

    float weight(int64_t k) const;  // the one float32 nearest to v * d
};

// Reads K weights of a row in ggml's q8_0, q4_0 or q6_k; K is a multiple of its block. Nothing for
// another layout.
std::optional<BlockRow> read_blocks(std::string_view layout, const uint8_t* row, int64_t k);

// Int8 per 32 columns: a = max|x| of the block, q = x * (127 / a) rounded half to even, dx = a /
// 127; all zero where a < 1e-30. q [K], dx [ceil(K / 32)].
void quantise_blocks(const float* x, int64_t k, int8_t* q, float* dx);

// The product in the order that the contract fixes: block b of 32 columns adds
// fma(d[b] * dx[b], sum of v q over the block, .) to lane b % 8; then the tree 8 -> 4 -> 2 -> 1.
float dot_blocks(const BlockRow& w, const int8_t* q, const float* dx, int64_t k);

// ---- rows of int8 with one scale (quantised weights of the exact class) ------------------------

struct CodeRow {
    std::vector<int8_t> q;  // [K], within +-127
    float scale;
};

// Row n of `rows` packed rows of K weights in q8_row. Nothing for another layout.
std::optional<CodeRow> read_code_row(std::string_view layout, const uint8_t* packed, int64_t rows,
                                     int64_t k, int64_t n);

// What such a row must be: a = max|w|, q = w * (127 / a) rounded half to even, scale = a / 127 with
// 17 significant bits, half to even; all zero where a < 1e-30.
CodeRow quantise_weights(const float* w, int64_t k);

// ---- ternary rows with int8 activations of several scales --------------------------------------

// llama.cpp's Q8_K: of every 256 columns (the last may be fewer), the value of largest magnitude,
// the first of them, becomes -127: inverse = -127 / it, q = x * inverse rounded half to even and at
// most 127, dx = 1 / inverse; all zero where it is within 1e-30. q [K], dx [ceil(K / 256)].
void quantise_q8k(const float* x, int64_t k, int8_t* q, float* dx);

// ik_llama.cpp's Q8_K64 (width 4) and Q8_K16 (width 16): over the columns with k / width % 4 == i
// of the whole row, a = max|x|, dx[i] = a / 127, q = x * (1 / dx[i]) rounded half to even; all zero
// where a < 1e-30. q [K], dx [4].
void quantise_phases(const float* x, int64_t k, int64_t width, int8_t* q, float* dx);

// Blocks of 256: y = fma(d[b] * dx[b], sum of trit q over block b, y), b ascending from y = 0.
float dot_q8k(const int8_t* trits, const float* d, const int8_t* q, const float* dx, int64_t k);

// S_i the sum of trit q over phase i: sw * fma(dx3, S3, fma(dx2, S2, fma(dx1, S1, dx0 * S0))).
float dot_phases(const int8_t* trits, float sw, const int8_t* q, const float* dx, int64_t width,
                 int64_t k);

}  // namespace tritbench::reference
