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

}  // namespace tritbench::reference
