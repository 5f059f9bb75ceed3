#include "dummy_models/weights.h"

#include <fmt/format.h>

#include <array>
#include <bit>
#include <cmath>
#include <cstring>

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

// 16 random bits to an I2_S code: 1 (zero) below the threshold, else 0 (-1) or 2 (+1) by the low
// bit. The threshold is even, so both are equally likely.
constexpr uint16_t code_of(uint16_t bits, uint16_t threshold) {
    return bits < threshold ? uint16_t{1} : static_cast<uint16_t>((bits & 1U) << 1U);
}

// 128 weights, 32 bytes: byte j holds elements j, 32+j, 64+j, 96+j from its high bits down.
void pack_block(uint64_t key, uint64_t block, uint16_t threshold, std::byte* out) {
    std::array<uint64_t, 32> words;
    for (uint64_t i = 0; i < 32; ++i) words[i] = word(key, block * 32 + i);
    std::array<uint16_t, 128> codes;
    std::memcpy(codes.data(), words.data(), sizeof(codes));
    for (uint16_t& code : codes) code = code_of(code, threshold);
    for (size_t j = 0; j < 32; ++j) {
        out[j] = static_cast<std::byte>(codes[j] << 6 | codes[32 + j] << 4 | codes[64 + j] << 2 |
                                        codes[96 + j]);
    }
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

}  // namespace

uint32_t zero_threshold(double zeros) {
    if (!(zeros >= 0 && zeros <= kDummyMostZeros)) {
        throw Error(
            fmt::format("zeros is {}, expected a share of 0 to {}", zeros, kDummyMostZeros));
    }
    return static_cast<uint32_t>(std::floor(zeros * 32768 + 0.5)) * 2;
}

void dummy_trits(uint64_t seed, uint64_t tensor_index, tb_shape shape, int64_t row_begin,
                 int64_t row_end, double zeros, int8_t* out) {
    const uint64_t key = tensor_key(seed, tensor_index);
    const auto threshold = static_cast<uint16_t>(zero_threshold(zeros));
    const auto end = static_cast<uint64_t>(row_end) * static_cast<uint64_t>(shape.k);
    for (auto e = static_cast<uint64_t>(row_begin) * static_cast<uint64_t>(shape.k); e < end; ++e) {
        const auto bits = static_cast<uint16_t>(word(key, e / 4) >> (16 * (e % 4)));
        *out++ = static_cast<int8_t>(code_of(bits, threshold) - 1);
    }
}

float dummy_scale(uint64_t seed, uint64_t tensor_index, int64_t k, double zeros) {
    const double nonzero = 1.0 - zero_threshold(zeros) / 65536.0;  // exact
    const double ideal = 1.0 / std::sqrt(static_cast<double>(k) * nonzero);
    int exponent = 0;
    const double fraction = std::frexp(ideal, &exponent);  // 0.5 to 1
    const double rounded = std::floor(fraction * 256 + 0.5);
    const uint64_t factor =
        56 + (tensor_word(tensor_key(seed, tensor_index)) >> 32) * 17 / (uint64_t{1} << 32);
    return static_cast<float>(std::ldexp(rounded * static_cast<double>(factor), exponent - 8 - 6));
}

void dummy_i2s(uint64_t seed, uint64_t tensor_index, double zeros, uint64_t byte_begin,
               std::span<std::byte> out) {
    const uint64_t key = tensor_key(seed, tensor_index);
    const auto threshold = static_cast<uint16_t>(zero_threshold(zeros));
    for (size_t at = 0; at + 32 <= out.size(); at += 32) {
        pack_block(key, (byte_begin + at) / 32, threshold, &out[at]);
    }
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
    constexpr uint64_t bytes = 0x00FF00FF00FF00FF;
    for (size_t at = 0; at < out.size(); at += 2) {
        const uint64_t w = word(key, (begin + at) / 2);
        const uint64_t pairs = (w & bytes) + ((w >> 8) & bytes);  // four sums of two bytes
        const uint64_t sums = pairs + (pairs >> 16);              // of four: in lanes 0 and 2
        out[at] = kF16[sums & 0xFFFF];
        if (at + 1 < out.size()) out[at + 1] = kF16[(sums >> 32) & 0xFFFF];
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
