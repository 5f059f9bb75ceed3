// The canonical weights of dummy models: any weight of any tensor, directly from its position.
//
// Random bits come from a counter: word i of tensor t is splitmix64's finaliser applied to
// key(seed, t) + (i + 1) * golden ratio. Only integers, exactly representable numbers and IEEE
// square root and division are used, so every compiler, ISA and number of threads gives the same
// bytes. Changing a value that these functions return means raising kDummyVersion.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "kernels/api/kernel.h"

namespace tritbench {

constexpr uint32_t kDummyVersion = 1;
constexpr double kDummyMostZeros = 0.99;
constexpr double kDummyPositive = 0.5;
constexpr double kDummyScaleSpread = 0.125;
constexpr double kDummyMostScaleSpread = 0.9;

// The share of zeros is a multiple of 2/65536, so that +1 and -1 stay exactly as likely as each
// other. Returns it in units of 1/65536. Throws Error unless 0 <= zeros <= kDummyMostZeros.
uint32_t zero_threshold(double zeros);

// What becomes of the 16 random bits of a weight: 0 below `zero`, else +1 or -1 by the lowest bit,
// or where that is not to be even, by whether they reach `plus`.
struct TritShares {
    uint32_t zero = 0;
    uint32_t plus = 0;  // 0: the lowest bit

    // Of the weights that are not 0, as it comes out of whole 65536ths.
    double positive() const;
};

// The share of zeros, and of +1 among the others. Throws Error unless zero_threshold takes the
// first and 0.01 <= positive <= 0.99.
TritShares trit_shares(double zeros, double positive = kDummyPositive);

// Elements [begin, begin + out.size()) of a ternary tensor, row after row: -1, 0, +1.
void dummy_trit_stream(uint64_t seed, uint64_t tensor_index, TritShares shares, uint64_t begin,
                       std::span<int8_t> out);

// Rows [row_begin, row_end) of the ternary tensor N x K = shape: -1, 0, +1, [rows][K] without gaps.
void dummy_trits(uint64_t seed, uint64_t tensor_index, tb_shape shape, int64_t row_begin,
                 int64_t row_end, double zeros, int8_t* out);

// The scale of a ternary tensor: 1/sqrt(K * (1 - zeros)), so that features keep their size, rounded
// to 8 bits, times a factor of the tensor's own, 1 - spread to 1 + spread in 17 steps, so that
// mixed-up scales show. `spread` counts in 1024ths; 0 makes all scales of a K alike, and at most
// 0.9 keeps the largest within 19 times the smallest. Throws Error on others.
float dummy_scale(uint64_t seed, uint64_t tensor_index, int64_t k, double zeros,
                  double spread = kDummyScaleSpread);
// The spread in 1024ths. Throws Error unless 0 <= spread <= 0.9.
uint32_t scale_spread_steps(double spread);

// The same weights, with signs as likely as each other, as I2_S codes in the 128/32 layout: bytes
// [byte_begin, byte_begin + out.size()) of the packed tensor, without its scale. Both must be
// multiples of 32.
void dummy_i2s(uint64_t seed, uint64_t tensor_index, double zeros, uint64_t byte_begin,
               std::span<std::byte> out);

// Squared ReLU makes zeros of about two thirds of the input of ffn_down of a random model: of half
// because the gate is below zero, of more because int8 rounds them to zero beside the largest. This
// is that share for `ffn` features (fitted to products of normal numbers, within 0.01 for 32 to
// 65536 features).
double natural_ffn_zeros(int64_t ffn);

// More zeros come from features whose gate is zero whatever the token: rows of zeros in ffn_gate.
// The share of such features that makes `zeros` of all; 0.99 at most. Throws Error where it is less
// than a random model has.
double silent_share(double zeros, int64_t ffn);

// Is row `row` of a ffn_gate tensor silent? By chance, of the seed, the tensor and the row.
bool dummy_silent(uint64_t seed, uint64_t tensor_index, uint64_t row, double share);

// Elements [begin, begin + out.size()) of a float16 matrix, as bits; begin even. Irwin-Hall: the
// sum of four random bytes, centred, / 8192: nearly normal with standard deviation 0.018, every
// value exact in float16.
void dummy_f16(uint64_t seed, uint64_t tensor_index, uint64_t begin, std::span<uint16_t> out);

// The same numbers as float32; `begin` may be odd.
void dummy_embedding(uint64_t seed, uint64_t tensor_index, uint64_t begin, std::span<float> out);

// Elements [begin, begin + out.size()) of a norm: 48/64 to 80/64 in steps of 1/64. Not constant 1,
// so that a norm that is left out or mixed up shows.
void dummy_norm(uint64_t seed, uint64_t tensor_index, uint64_t begin, std::span<float> out);

}  // namespace tritbench
