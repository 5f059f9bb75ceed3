/* The layout `iq1_bn`: five trits in a byte, exactly as ik_llama.cpp stores GGUF type IQ1_BN (id
 * 134).
 *
 *   row:     scale float16 | block 0 | block 1 | ...          no padding, rows back to back
 *   block:   64 columns, 13 bytes
 *
 *   byte 3i + k   columns 16i + 5k .. 16i + 5k + 4       i = 0..3, k = 0..2
 *   byte 12       columns 15, 31, 47, 63
 *
 * A byte holds idx = sum over j of (trit_j + 1) * 3^j, its first column least significant (tq1_0
 * has it most significant), as the fraction idx / 243 in 256ths, rounded up: ceil(256 idx / 243).
 * Multiplying by 3 moves a trit past the point: with v = byte * 3^(4-j) mod 256, trit_j + 1 =
 * floor(3 v / 256). 13 of the 256 values are nobody's, nor is a byte 12 with idx >= 81.
 * 1.625 bits per weight + 2 bytes per row.
 *
 * Source: ikawrakow/ik_llama.cpp, ggml-common.h (block_iq1_bn), iqk_quantize.cpp
 * (quantize_one_row_1bn: the scale is max|w| of the row; of a row whose weights are all zero it
 * makes scale 0 and trits +1, where pack stores the zeros and the scale that it is given). */
#ifndef TRITBENCH_KERNELS_IQ1_BN_LAYOUT_H
#define TRITBENCH_KERNELS_IQ1_BN_LAYOUT_H

#include "kernels/api/half.h"
#include "kernels/trit_blocks/layout.h"

namespace {

// Where column c of a block is: the byte, and which digit of it, 0 the least significant.
constexpr int iq1_bn_byte(int c) {
    return c % 16 < 15 ? 3 * (c / 16) + c % 16 / 5 : 12;
}
constexpr int iq1_bn_digit(int c) {
    return c % 16 < 15 ? c % 16 % 5 : c / 16;
}
// 3^(4 - digit), which brings a trit to the point.
constexpr uint16_t iq1_bn_power(int c) {
    uint16_t power = 1;
    for (int j = iq1_bn_digit(c); j < 4; ++j) power = static_cast<uint16_t>(power * 3);
    return power;
}

// For each byte its five codes in bytes 0..4, first column first, and in byte 7 whether it is one
// that a packer writes (1), also as byte 12 of a block (3).
struct Iq1BnCodes {
    uint64_t of[256];

    constexpr Iq1BnCodes() : of() {
        for (uint32_t byte = 0; byte < 256; ++byte) {
            uint32_t v = byte, index = 0;
            uint64_t codes = 0;
            for (int j = 4; j >= 0; --j) {
                const uint32_t code = v * 3 >> 8;
                index = index * 3 + code;
                codes |= uint64_t{code} << (8 * j);
                v = v * 3 & 0xff;
            }
            const uint64_t known = (256 * index + 242) / 243 == byte ? 1 : 0;
            of[byte] = codes | (known | (index < 81 ? known << 1 : 0)) << 56;
        }
    }
};

constexpr Iq1BnCodes kIq1BnCodes;

struct Iq1Bn {
    static constexpr const char* kLayout = "iq1_bn";
    static constexpr const char* kSource = "ikawrakow/ik_llama.cpp (IQ1_BN)";
    static constexpr int64_t kColumns = 64;
    static constexpr int64_t kBlockBytes = 13;
    static constexpr int kGroup = 1;
    static constexpr int32_t kBitsNum = 13, kBitsDen = 8;
    static constexpr int64_t kRowOverhead = 2;
    static constexpr tb_scale_granularity kGranularity = TB_SCALE_ROW;
    static constexpr int32_t kScaleBlock = 0;
    static constexpr tb_scale_type kScaleType = TB_SCALE_F16;

    static int64_t group_bytes(int64_t k) { return kRowOverhead + k / kColumns * kBlockBytes; }

    // The number of five codes: factors 1, 3, 9, 27, 81.
    static uint8_t number(const uint8_t* codes) {
        return static_cast<uint8_t>(eight_codes(codes) * 0x0103091b51U >> 32);
    }

    static void block_numbers(const uint8_t* codes, uint8_t* numbers) {
        for (int i = 0; i < 4; ++i) {
            for (int j = 0; j < 3; ++j) numbers[3 * i + j] = number(codes + 16 * i + 5 * j);
        }
        numbers[12] =
            static_cast<uint8_t>(codes[15] + 3 * codes[31] + 9 * codes[47] + 27 * codes[63]);
    }

    static void pack_row(const int8_t* t, float scale, int64_t k, int, uint8_t* row) {
        const uint16_t half = tb_float_to_half(scale);
        memcpy(row, &half, sizeof half);
        uint8_t* to = row + kRowOverhead;
        // Several blocks at a time: codes are no longer on their way to the cache when they are
        // read in other pieces than they were written in.
        constexpr int64_t blocks = 8;
        uint8_t codes[blocks * kColumns + 8] = {0}, numbers[blocks * kBlockBytes];
        for (; k > 0; k -= blocks * kColumns, t += blocks * kColumns) {
            const int64_t count = k / kColumns < blocks ? k / kColumns : blocks;
            codes_of_trits(t, count * kColumns, codes);
            for (int64_t b = 0; b < count; ++b) {
                block_numbers(codes + b * kColumns, numbers + b * kBlockBytes);
            }
            fractions_of_numbers(numbers, count * kBlockBytes, to);
            to += count * kBlockBytes;
        }
    }

    static float scale(const uint8_t* row, int, int64_t) {
        uint16_t half;
        memcpy(&half, row, sizeof half);
        return tb_half_to_float(half);
    }
    static bool scales_agree(const uint8_t*, int, int64_t) { return true; }

    static bool codes(const uint8_t* row, int, int64_t begin, int64_t count, uint8_t* to) {
        const uint8_t* block = row + kRowOverhead + begin / kColumns * kBlockBytes;
        uint64_t known = 1;
        for (; count > 0; count -= kColumns, block += kBlockBytes, to += kColumns) {
            // Eight bytes for five: the next byte's codes, in the end byte 12's, come over the
            // rest.
            uint8_t codes[72];
            uint64_t bits = ~uint64_t{0};
            for (int i = 0; i < 12; ++i) {
                const uint64_t of = kIq1BnCodes.of[block[i]];
                memcpy(codes + 16 * (i / 3) + 5 * (i % 3), &of, sizeof of);
                bits &= of;
            }
            const uint64_t last = kIq1BnCodes.of[block[12]];
            for (int i = 0; i < 4; ++i) codes[16 * i + 15] = last >> (8 * i) & 0xff;
            memcpy(to, codes, kColumns);
            known &= bits >> 56 & last >> 57;
        }
        return known != 0;
    }
};

}  // namespace

#endif
