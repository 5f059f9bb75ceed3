#include "dummy_models/weights.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstring>

#include "dummy_models/draw_tables.h"
#include "kernels/api/error.h"
#include "model/random.h"

namespace tritbench {
namespace {

static_assert(std::endian::native == std::endian::little, "lanes of a word are taken by memcpy");

constexpr uint64_t kGolden = 0x9E3779B97F4A7C15;  // what splitmix64 steps its state by

constexpr uint64_t tensor_key(uint64_t seed, uint64_t tensor) {
    return mix64(mix64(seed) + tensor * kGolden);
}

constexpr uint64_t word(uint64_t key, uint64_t index) {
    return mix64(key + index * kGolden);
}

// A word apart from those of the elements, for numbers that belong to the tensor as a whole.
constexpr uint64_t tensor_word(uint64_t key) {
    return mix64(~key - kGolden);
}

// float16 bits of (sum - 510) / 8192 for the sum of four bytes.
constexpr uint16_t f16_of_sum(int sum) {
    const int value = sum - 510;
    if (value == 0) return 0;
    const auto magnitude = static_cast<unsigned>(value < 0 ? -value : value);
    const int exponent = std::bit_width(magnitude) - 1;  // 0 to 8, of the value * 8192
    const unsigned biased = static_cast<unsigned>(exponent - 13 + 15);
    const unsigned fraction = (magnitude << (10 - exponent)) & 0x3FFU;
    return static_cast<uint16_t>((value < 0 ? 0x8000U : 0U) | biased << 10U | fraction);
}

constexpr std::array<uint16_t, 1021> f16_table() {
    std::array<uint16_t, 1021> table{};
    for (int sum = 0; sum < 1021; ++sum) table[static_cast<size_t>(sum)] = f16_of_sum(sum);
    return table;
}

constexpr std::array<uint16_t, 1021> kF16 = f16_table();

// Sums of the four lower and of the four upper bytes of a word, in lanes 0 and 2 of 16 bits.
constexpr uint64_t byte_sums(uint64_t word) {
    constexpr uint64_t bytes = 0x00FF00FF00FF00FF;
    const uint64_t pairs = (word & bytes) + ((word >> 8) & bytes);
    return pairs + (pairs >> 16);
}

}  // namespace

uint32_t zero_threshold(double zeros) {
    if (!(zeros >= 0 && zeros <= kDummyMostZeros)) {
        throw Error(
            fmt::format("zeros is {}, expected a share of 0 to {}", zeros, kDummyMostZeros));
    }
    return static_cast<uint32_t>(std::floor(zeros * 32768 + 0.5)) * 2;
}

TritShares trit_shares(double zeros, double positive) {
    TritShares shares{zero_threshold(zeros), 0};
    if (!(positive >= 0.01 && positive <= 0.99)) {
        throw Error(
            fmt::format("positive is {}, expected a share of 0.01 to 0.99 of the weights that are "
                        "not zero",
                        positive));
    }
    if (positive == kDummyPositive) return shares;
    const double nonzero = 65536.0 - shares.zero;
    shares.plus = shares.zero + static_cast<uint32_t>(std::floor(nonzero * (1 - positive) + 0.5));
    return shares;
}

double TritShares::positive() const {
    return plus == 0 ? kDummyPositive : (65536.0 - plus) / (65536.0 - zero);
}

void dummy_trit_stream(uint64_t seed, uint64_t tensor_index, TritShares shares, uint64_t begin,
                       std::span<int8_t> out) {
    static const tb_draw& draw = best_draw();
    draw.trits(tensor_key(seed, tensor_index), begin, out.size(),
               static_cast<uint16_t>(shares.zero), static_cast<uint16_t>(shares.plus), out.data());
}

void dummy_trits(uint64_t seed, uint64_t tensor_index, tb_shape shape, int64_t row_begin,
                 int64_t row_end, double zeros, int8_t* out) {
    dummy_trit_stream(seed, tensor_index, trit_shares(zeros),
                      static_cast<uint64_t>(row_begin) * static_cast<uint64_t>(shape.k),
                      {out, static_cast<size_t>((row_end - row_begin) * shape.k)});
}

uint32_t scale_spread_steps(double spread) {
    if (!(spread >= 0 && spread <= kDummyMostScaleSpread)) {
        throw Error(
            fmt::format("scale spread is {}, expected 0 to {}", spread, kDummyMostScaleSpread));
    }
    return static_cast<uint32_t>(std::floor(spread * 1024 + 0.5));
}

float dummy_scale(uint64_t seed, uint64_t tensor_index, int64_t k, double zeros, double spread) {
    const double nonzero = 1.0 - zero_threshold(zeros) / 65536.0;  // exact
    const double ideal = 1.0 / std::sqrt(static_cast<double>(k) * nonzero);
    int exponent = 0;
    const double fraction = std::frexp(ideal, &exponent);  // 0.5 to 1
    const double rounded = std::floor(fraction * 256 + 0.5);
    const auto step = static_cast<double>((tensor_word(tensor_key(seed, tensor_index)) >> 32) * 17 /
                                          (uint64_t{1} << 32));
    // Of 8192, 14 bits: with the 9 of `rounded` they fit a float.
    const double factor = 8192 + scale_spread_steps(spread) * (step - 8);
    return static_cast<float>(std::ldexp(rounded * factor, exponent - 8 - 13));
}

void dummy_i2s(uint64_t seed, uint64_t tensor_index, double zeros, uint64_t byte_begin,
               std::span<std::byte> out) {
    static const tb_draw& draw = best_draw();
    draw.i2s(tensor_key(seed, tensor_index), byte_begin, out.size(),
             static_cast<uint16_t>(zero_threshold(zeros)), reinterpret_cast<uint8_t*>(out.data()));
}

double natural_ffn_zeros(int64_t ffn) {
    // Not std::log2, whose last bit is the library's own: 1 + ffn / 2^k - 1 is near enough.
    const int octave = std::bit_width(static_cast<uint64_t>(ffn)) - 1;
    const double octaves = octave + std::ldexp(static_cast<double>(ffn), -octave) - 1;
    return 0.527 + 0.0112 * octaves;
}

double silent_share(double zeros, int64_t ffn) {
    const double least = natural_ffn_zeros(ffn);
    if (!(zeros >= least && zeros <= kDummyMostZeros)) {
        throw Error(fmt::format(
            "ffn zeros is {}, expected a share of {:.3f}, which random weights have, to {}", zeros,
            least, kDummyMostZeros));
    }
    // The features left are fewer, and so are those that round to zero.
    double share = 0;
    for (int i = 0; i < 20; ++i) {
        const auto left = static_cast<int64_t>((1 - share) * static_cast<double>(ffn));
        const double natural = natural_ffn_zeros(left > 1 ? left : 1);
        share = (zeros - natural) / (1 - natural);
    }
    return share;
}

bool dummy_silent(uint64_t seed, uint64_t tensor_index, uint64_t row, double share) {
    const uint64_t key = mix64(tensor_key(seed, tensor_index) ^ kGolden);
    return static_cast<double>(word(key, row) >> 32) < share * 4294967296.0;
}

void dummy_f16(uint64_t seed, uint64_t tensor_index, uint64_t begin, std::span<uint16_t> out) {
    const uint64_t key = tensor_key(seed, tensor_index);
    for (size_t at = 0; at < out.size(); at += 2) {
        const uint64_t sums = byte_sums(word(key, (begin + at) / 2));
        out[at] = kF16[sums & 0xFFFF];
        if (at + 1 < out.size()) out[at + 1] = kF16[(sums >> 32) & 0xFFFF];
    }
}

void dummy_embedding(uint64_t seed, uint64_t tensor_index, uint64_t begin, std::span<float> out) {
    const uint64_t key = tensor_key(seed, tensor_index);
    const auto value = [](uint64_t sum) {
        return static_cast<float>(static_cast<int32_t>(sum & 0xFFFF) - 510) / 8192.0F;
    };
    size_t at = 0;
    if (begin % 2 != 0 && !out.empty()) {
        out[at++] = value(byte_sums(word(key, begin / 2)) >> 32);
    }
    for (; at < out.size(); at += 2) {
        const uint64_t sums = byte_sums(word(key, (begin + at) / 2));
        out[at] = value(sums);
        if (at + 1 < out.size()) out[at + 1] = value(sums >> 32);
    }
}

void dummy_norm(uint64_t seed, uint64_t tensor_index, uint64_t begin, std::span<float> out) {
    const uint64_t key = tensor_key(seed, tensor_index);
    for (size_t i = 0; i < out.size(); ++i) {
        const uint64_t step = (word(key, begin + i) >> 32) * 33 >> 32;  // 0 to 32
        out[i] = static_cast<float>(48 + step) / 64.0F;
    }
}

}  // namespace tritbench
