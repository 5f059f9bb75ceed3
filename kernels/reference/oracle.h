// The oracle: what every kernel is proved against. Plain C++, one loop each, no shared code with
// any kernel, no tricks.
#pragma once

#include <cstdint>
#include <string>
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

}  // namespace tritbench::reference
