// llama.cpp's ternary types: the bytes of TQ1_0 and TQ2_0, what is refused, Q8_K, and the products
// of both forms. Axes: N rows of W, K columns, M tokens.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <set>
#include <string>
#include <vector>

#include "kernels/api/registry.h"
#include "kernels/reference/oracle.h"

namespace tritbench {
namespace {

using Bytes = std::vector<uint8_t>;
using Trits = std::vector<int8_t>;

const tb_kernel& scalar(const std::string& layout) {
    return *find_kernel(layout + "_scalar");
}

std::vector<const tb_kernel*> kernels() {
    std::vector<const tb_kernel*> found;
    for (const tb_kernel* k : match_kernels("tq1_0_*,tq2_0_*")) {
        if (runs_here(*k)) found.push_back(k);
    }
    return found;
}

// Trits of rows of K columns, all with one scale.
tb_status pack(const tb_kernel& k, const Trits& trits, int64_t columns, float scale, Bytes& bytes) {
    const tb_shape shape{static_cast<int64_t>(trits.size()) / columns, columns};
    bytes.assign(k.packed_size(&shape, nullptr), 0xee);
    const std::vector<float> scales(trits.size() / 256, scale);
    const tb_weights w{trits.data(), nullptr, columns, scales.data()};
    return k.pack(&shape, nullptr, &w, 0, shape.n, bytes.data());
}

Bytes packed(const std::string& layout, const Trits& trits, int64_t columns, float scale) {
    Bytes bytes;
    EXPECT_EQ(pack(scalar(layout), trits, columns, scale, bytes).code, TB_OK);
    return bytes;
}

// The code of unpack, and what it gave.
tb_code unpack(const std::string& layout, const Bytes& bytes, tb_shape shape, Trits& trits,
               std::vector<float>& scales) {
    trits.assign(static_cast<size_t>(shape.n * shape.k), 77);
    scales.assign(trits.size() / 256, -1.0F);
    const tb_weights_out w{trits.data(), nullptr, shape.k, scales.data()};
    return scalar(layout).unpack(&shape, nullptr, bytes.data(), 0, shape.n, &w).code;
}

// ---- golden bytes, by hand from quantize_row_tq1_0_ref and quantize_row_tq2_0_ref --------------

// Five trits + 1 are the digits of a number in base 3, the first the most significant, stored as
// ceil(number * 256 / 243). Zeros are 11111 = 121: ceil(30976 / 243 = 127.5) = 0x80. The last four
// bytes have four trits, a fifth digit 0: 11110 = 120, ceil(30720 / 243 = 126.4) = 0x7f.
TEST(TQ1_0, GoldenBlock) {
    Trits t(256, 0);
    Bytes expected(54, 0x80);
    t[0] = 1;            // 21111 = 202 in byte 0: ceil(212.8)
    expected[0] = 0xd5;  //
    t[32 + 1] = -1;      // column 33 is the second digit of byte 1: 10111 = 94, ceil(99.03)
    expected[1] = 0x64;
    t[64 + 2] = 1;  // 11211 = 130, ceil(136.95)
    expected[2] = 0x89;
    t[96 + 3] = -1;  // 11101 = 118, ceil(124.3)
    expected[3] = 0x7d;
    t[128 + 4] = 1;  // 11112 = 122, ceil(128.5)
    expected[4] = 0x81;
    for (size_t n = 0; n < 5; ++n) t[32 * n + 30] = -1, t[32 * n + 31] = 1;
    expected[30] = 0x00;  // 00000
    expected[31] = 0xff;  // 22222 = 242, ceil(254.9)
    t[160] = 1;           // sixteen bytes of five: the first digit of byte 32
    expected[32] = 0xd5;
    t[176 + 1] = -1;  // the second of byte 33
    expected[33] = 0x64;
    t[224 + 15] = 1;  // the fifth of byte 47
    expected[47] = 0x81;
    t[240] = 1;  // four bytes of four: 21110 = 201, ceil(211.8)
    expected[48] = 0xd4;
    t[244 + 1] = -1;  // 10110 = 93, ceil(97.98)
    expected[49] = 0x62;
    t[248 + 2] = 1;  // 11210 = 129, ceil(135.9)
    expected[50] = 0x88;
    t[252 + 3] = -1;  // 11100 = 117, ceil(123.3)
    expected[51] = 0x7c;
    expected[52] = 0x00;  // 0.5 is 0x3800
    expected[53] = 0x38;
    EXPECT_EQ(packed("tq1_0", t, 256, 0.5F), expected);
    Trits found;
    std::vector<float> scales;
    EXPECT_EQ(unpack("tq1_0", expected, {1, 256}, found, scales), TB_OK);
    EXPECT_EQ(found, t);
    EXPECT_EQ(scales, std::vector<float>{0.5F});
}

// Zeros have code 1: 01010101. Columns m, m + 32, m + 64, m + 96 are bits 1:0, 3:2, 5:4, 7:6 of
// byte m; the second 128 columns are bytes 32..63.
TEST(TQ2_0, GoldenBlock) {
    Trits t(256, 0);
    Bytes expected(66, 0x55);
    t[0] = 1;  // 01 01 01 10
    expected[0] = 0x56;
    t[32 + 1] = -1;  // 01 01 00 01
    expected[1] = 0x51;
    t[64 + 2] = 1;  // 01 10 01 01
    expected[2] = 0x65;
    t[96 + 3] = -1;  // 00 01 01 01
    expected[3] = 0x15;
    for (size_t n = 0; n < 4; ++n) t[32 * n + 30] = -1, t[32 * n + 31] = 1;
    expected[30] = 0x00;
    expected[31] = 0xaa;
    t[128] = -1;  // 01 01 01 00
    expected[32] = 0x54;
    t[255] = 1;  // 10 01 01 01
    expected[63] = 0x95;
    expected[64] = 0x00;  // 0.5 is 0x3800
    expected[65] = 0x38;
    EXPECT_EQ(packed("tq2_0", t, 256, 0.5F), expected);
    Trits found;
    std::vector<float> scales;
    EXPECT_EQ(unpack("tq2_0", expected, {1, 256}, found, scales), TB_OK);
    EXPECT_EQ(found, t);
    EXPECT_EQ(scales, std::vector<float>{0.5F});
}

// A scale is the nearest half, ties to even, and that is what unpack gives.
TEST(TQ, GoldenScales) {
    struct Case {
        float scale;
        uint16_t half;
    };
    for (const Case& c : {Case{1.0F, 0x3c00}, Case{0.1F, 0x2e66},  // 0.0999756
                          Case{1.00048828125F, 0x3c00},            // 1 + 2^-11, a tie
                          Case{1.00146484375F, 0x3c02},            // 1 + 3 * 2^-11, a tie
                          Case{65503.0F, 0x7bff}})                 // the largest, 65504
    {
        for (const auto& [layout, at] : {std::pair{"tq1_0", 52}, std::pair{"tq2_0", 64}}) {
            const Bytes bytes = packed(layout, Trits(256, 1), 256, c.scale);
            uint16_t half = 0;
            std::memcpy(&half, bytes.data() + at, sizeof half);
            EXPECT_EQ(half, c.half) << layout << " " << c.scale;
            Trits trits;
            std::vector<float> scales;
            EXPECT_EQ(unpack(layout, bytes, {1, 256}, trits, scales), TB_OK);
            EXPECT_EQ(scales[0], reference::nearest_half(c.scale)) << layout;
        }
    }
}

// Blocks of a row follow each other, rows too, with nothing between or behind. A block of zeros has
// the scale 0: the quantiser looks for the largest magnitude of its block.
TEST(TQ, GoldenRowsAndBlocksOfZeros) {
    for (const auto& [layout, zero, size] :
         {std::tuple{"tq1_0", 0x80, 54U}, std::tuple{"tq2_0", 0x55, 66U}}) {
        Trits t(3 * 512, 0);
        t[512 + 256] = 1;    // row 1, block 1
        t[1024] = t[1] = 1;  // row 2, block 0; row 0, block 0
        const Bytes bytes = packed(layout, t, 512, 2.0F);
        ASSERT_EQ(bytes.size(), 6 * size);
        for (size_t block = 0; block < 6; ++block) {
            const bool any = block == 0 || block == 3 || block == 4;
            const uint8_t* at = bytes.data() + block * size;
            EXPECT_EQ(at[2], zero) << layout << " block " << block;
            EXPECT_EQ(at[size - 1], any ? 0x40 : 0) << layout << " block " << block;  // 2 is 0x4000
            EXPECT_EQ(at[size - 2], 0);
        }
        Trits found;
        std::vector<float> scales;
        EXPECT_EQ(unpack(layout, bytes, {3, 512}, found, scales), TB_OK);
        EXPECT_EQ(found, t);
        EXPECT_EQ(scales, (std::vector<float>{2, 2, 2, 2, 2, 2}));  // of the row
    }
}

TEST(TQ, PublishedSizesAndShapes) {
    for (const tb_kernel* k : kernels()) {
        const size_t block = std::string(k->layout) == "tq1_0" ? 54 : 66;
        EXPECT_DOUBLE_EQ(k->bits_num * 32.0 / k->bits_den, static_cast<double>(block)) << k->id;
        for (const tb_shape shape : {tb_shape{2560, 2560}, tb_shape{6912, 2560},
                                     tb_shape{4096, 14336}, tb_shape{1, 256}, tb_shape{7, 512}}) {
            EXPECT_EQ(k->accepts(&shape, nullptr).code, TB_OK) << k->id;
            EXPECT_EQ(k->packed_size(&shape, nullptr),
                      static_cast<size_t>(shape.n * shape.k / 256) * block);
        }
        // The 3B of the paper has 8640 columns, 33.75 blocks.
        for (const int64_t columns : {1, 128, 255, 257, 640, 8640}) {
            const tb_shape shape{3200, columns};
            const tb_status status = k->accepts(&shape, nullptr);
            EXPECT_EQ(status.code, TB_BAD_SHAPE) << k->id << " " << columns;
            EXPECT_NE(std::string(status.reason).find("block"), std::string::npos);
        }
    }
}

// ---- what no packer writes ---------------------------------------------------------------------

TEST(TQ2_0, TheFourthCodeIsRefused) {
    Trits trits;
    std::vector<float> scales;
    for (const size_t byte : {0U, 31U, 32U, 63U}) {
        for (int field = 0; field < 8; field += 2) {
            Bytes bytes(66, 0x55);
            bytes[byte] = static_cast<uint8_t>(0x55 | 3 << field);
            EXPECT_EQ(unpack("tq2_0", bytes, {1, 256}, trits, scales), TB_BAD_WEIGHT)
                << "byte " << byte << " bits from " << field;
        }
    }
}

// Every byte in every place: 243 numbers are stored in bytes of five, the 81 that end with a digit
// 0 in those of four; all others are refused, and these are read back as the digits they have.
TEST(TQ1_0, ExactlyTheBytesOfNumbersAreTaken) {
    std::set<int> five, four;
    for (int number = 0; number < 243; ++number) {
        five.insert((number * 256 + 242) / 243);
        if (number % 3 == 0) four.insert((number * 256 + 242) / 243);
    }
    ASSERT_EQ(five.size(), 243U);
    Trits trits;
    std::vector<float> scales;
    for (const auto& [byte, column, step, digits] :
         {std::tuple{5U, 5U, 32U, 5U}, std::tuple{40U, 168U, 16U, 5U},
          std::tuple{50U, 242U, 4U, 4U}}) {
        for (int value = 0; value < 256; ++value) {
            Bytes bytes = packed("tq1_0", Trits(256, 0), 256, 1);
            bytes[byte] = static_cast<uint8_t>(value);
            const tb_code code = unpack("tq1_0", bytes, {1, 256}, trits, scales);
            ASSERT_EQ(code == TB_OK, (digits == 5 ? five : four).count(value) == 1) << value;
            int number = 0;
            for (unsigned n = 0; n < 5; ++n) {
                number = 3 * number + (n < digits ? trits[column + n * step] + 1 : 0);
            }
            if (code == TB_OK) {
                ASSERT_EQ((number * 256 + 242) / 243, value);
            }
        }
    }
}

TEST(TQ, ScalesThatAreNotB158AreRefused) {
    constexpr float kInfinity = std::numeric_limits<float>::infinity();
    for (const auto& [layout, size] : {std::pair{"tq1_0", 54U}, std::pair{"tq2_0", 66U}}) {
        Bytes bytes;
        for (const float scale : {65520.0F, 1e30F, kInfinity, std::nanf("")}) {
            EXPECT_EQ(pack(scalar(layout), Trits(256, 1), 256, scale, bytes).code, TB_BAD_WEIGHT)
                << layout << " " << scale;
        }
        Trits t(512, 1), found;
        std::vector<float> scales;
        bytes = packed(layout, t, 512, 1);
        bytes[2 * size - 1] = 0x40;  // 2 in the second block
        EXPECT_EQ(unpack(layout, bytes, {1, 512}, found, scales), TB_BAD_WEIGHT) << layout;
        std::fill(t.begin() + 256, t.end(), 0);
        bytes = packed(layout, t, 512, 1);
        bytes[2 * size - 1] = 0x40;  // of zeros: whatever it is, it changes nothing
        EXPECT_EQ(unpack(layout, bytes, {1, 512}, found, scales), TB_OK) << layout;
        EXPECT_EQ(found, t);
        bytes[size - 1] = 0x7c;  // infinite
        EXPECT_EQ(unpack(layout, bytes, {1, 512}, found, scales), TB_BAD_WEIGHT) << layout;
    }
}

TEST(TQ, WeightsThatAreNoTritsAreRefused) {
    for (const tb_kernel* k : kernels()) {
        for (const int8_t bad : {-128, -2, 2, 127}) {
            Trits t(512, 0);
            t[300] = bad;
            Bytes bytes;
            EXPECT_EQ(pack(*k, t, 512, 1, bytes).code, TB_BAD_WEIGHT) << k->id << " " << int{bad};
        }
    }
}

}  // namespace
}  // namespace tritbench
