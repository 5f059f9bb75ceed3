// The layout tl1: its bytes, which tiles are safe, its padding and its tables. Axes: N rows of W, K
// columns.
#include <gtest/gtest.h>

#include <cstring>
#include <string>
#include <vector>

#include "harness/verify/gate.h"
#include "harness/verify/random_data.h"
#include "kernels/api/prepared_int8.h"
#include "kernels/api/registry.h"
#include "kernels/reference/oracle.h"
#include "model/aligned_buffer.h"

namespace tritbench {
namespace {

using Bytes = std::vector<uint8_t>;

// BM and BK may be any multiple of bm and of 8 here, not only the values that a command line takes.
tb_tile tile_of(int32_t bm_rows, int32_t bk_columns, int32_t block) {
    return {{0, bm_rows, bk_columns, block}};
}

std::vector<const tb_kernel*> kernels() {
    std::vector<const tb_kernel*> found;
    for (const tb_kernel* k : match_kernels("tl1_*")) {
        if (runs_here(*k)) found.push_back(k);
    }
    return found;
}

const tb_kernel& scalar() {
    return *find_kernel("tl1_scalar");
}

struct Matrix {
    tb_shape shape;
    std::vector<int8_t> trits;

    Matrix(int64_t n, int64_t k) : shape{n, k}, trits(static_cast<size_t>(n * k), 0) {}
    int8_t& at(int64_t n, int64_t k) { return trits[static_cast<size_t>(n * shape.k + k)]; }

    Bytes pack(const tb_tile& tile) const {
        Bytes bytes(scalar().packed_size(&shape, &tile), 0xee);
        const float scale = 0.5F;  // 0x3f000000
        const tb_weights w{trits.data(), nullptr, shape.k, &scale};
        EXPECT_EQ(scalar().pack(&shape, &tile, &w, 0, shape.n, bytes.data()).code, TB_OK);
        return bytes;
    }
};

Matrix random_matrix(int64_t n, int64_t k, uint64_t seed) {
    Matrix m(n, k);
    RandomStream random(seed);
    for (int8_t& t : m.trits) t = static_cast<int8_t>(random.below(3) - 1);
    return m;
}

// `count` bytes of pairs of zeros, 3*0 + 0 + 4 in both nibbles, and the trailer of scale 0.5.
Bytes zeros(size_t count) {
    Bytes bytes(count, 0x44);
    bytes.resize(count + 32, 0);
    bytes[count + 3] = 0x3f;
    return bytes;
}

// ---- golden bytes, by hand ---------------------------------------------------------------------

// BM = 32, BK = 16, bm = 32, so by = 8. Four tiles of 32 rows x 16 columns, 128 bytes each: rows
// 0..31 with columns 0..15, with 16..31, then rows 32..63. A tile is two steps of 8 columns, 64
// bytes: 16 bytes each for rows 0..15 with the step's columns 0..3, with 4..7, rows 16..31 with
// 0..3, with 4..7.
TEST(Tl1, GoldenBytesOfBlocksOf32Rows) {
    Matrix m(64, 32);
    Bytes expected = zeros(512);
    m.at(0, 0) = 1;  // (1, 0) is 3 + 0 + 4 = 7; columns 0 and 1 are the high nibble
    expected[0] = 0x74;
    m.at(1, 1) = -1;  // (0, -1) is 3, of row 1
    expected[1] = 0x34;
    m.at(2, 2) = m.at(2, 3) = -1;  // (-1, -1) is 0; columns 2 and 3 are the low nibble
    expected[2] = 0x40;
    m.at(3, 3) = 1;  // (0, 1) is 5
    expected[3] = 0x45;
    m.at(5, 4) = m.at(5, 5) = 1;  // (1, 1) is 8; column 4 begins the second 16 bytes
    expected[16 + 5] = 0x84;
    m.at(18, 7) = -1;  // (0, -1), low nibble; row 18 is lane 2 of the second 16 rows
    expected[32 + 16 + 2] = 0x43;
    m.at(0, 8) = -1;  // (-1, 0) is 1; column 8 begins the second step
    expected[64] = 0x14;
    m.at(31, 31) = 1;  // the last byte of the second tile
    expected[128 + 127] = 0x45;
    m.at(32, 0) = -1;  // row 32 begins the third tile
    expected[256] = 0x14;
    EXPECT_EQ(m.pack(tile_of(32, 16, 32)), expected);
}

// BM = 64, BK = 8, bm = 64, so by = 4: two tiles of 64 rows x 8 columns, 128 bytes; a step is 4
// columns, a byte of it a row.
TEST(Tl1, GoldenBytesOfBlocksOf64Rows) {
    Matrix m(64, 16);
    Bytes expected = zeros(256);
    m.at(0, 0) = 1;
    expected[0] = 0x74;
    m.at(17, 1) = -1;
    expected[17] = 0x34;
    m.at(40, 2) = m.at(40, 3) = -1;
    expected[40] = 0x40;
    m.at(63, 4) = 1;  // column 4 is in the second step
    expected[64 + 63] = 0x74;
    m.at(5, 11) = 1;  // column 11 is column 3 of the second tile
    expected[128 + 5] = 0x45;
    EXPECT_EQ(m.pack(tile_of(64, 8, 64)), expected);
}

// BM = 128, BK = 8, bm = 64: a tile holds two blocks of 128 bytes, one below the other, before the
// columns go on.
TEST(Tl1, GoldenBytesOfTwoBlocksInATile) {
    Matrix m(128, 16);
    Bytes expected = zeros(512);
    m.at(64, 0) = -1;  // row 64 is in the second block
    expected[128] = 0x14;
    m.at(64, 8) = -1;  // column 8 is in the second tile
    expected[256 + 128] = 0x14;
    EXPECT_EQ(m.pack(tile_of(128, 8, 64)), expected);
}

// 33 rows are two blocks of 32, 17 columns three steps of 8. The tiles along K are 16 and 8 columns
// wide: those of rows 32.. begin behind 32 * 24 / 4 = 192 bytes, the narrow one 128 later.
TEST(Tl1, GoldenBytesWithPadding) {
    Matrix m(33, 17);
    Bytes expected = zeros(64 * 24 / 4);
    m.at(32, 16) = 1;  // (1, 0): column 17 is padding
    expected[192 + 128] = 0x74;
    EXPECT_EQ(m.pack(tile_of(32, 16, 32)), expected);
}

// Where the original can hold a shape, there is no byte more than it has: N K / 4, scale, 28 zeros.
TEST(Tl1, PublishedSizesWherePublishedTilesDivide) {
    for (const auto& [n, k, bm_rows, bk, block] :
         {std::tuple{3200, 8640, 160, 64, 32}, std::tuple{3200, 3200, 320, 128, 64},
          std::tuple{8640, 3200, 320, 64, 32}, std::tuple{1536, 1536, 128, 64, 64},
          std::tuple{14336, 4096, 256, 128, 64}, std::tuple{4096, 14336, 256, 128, 32}}) {
        const std::string text = "BM=" + std::to_string(bm_rows) + ",BK=" + std::to_string(bk) +
                                 ",bm=" + std::to_string(block);
        for (const tb_kernel* kernel : kernels()) {
            const tb_tile tile = parse_tile(*kernel, text);
            const tb_shape shape{n, k};
            EXPECT_EQ(kernel->accepts(&shape, &tile).code, TB_OK) << text;
            EXPECT_EQ(kernel->packed_size(&shape, &tile), static_cast<size_t>(n) * k / 4 + 32);
        }
    }
}

TEST(Tl1, WhatNoPackerWritesIsRefused) {
    const Matrix m(33, 17);
    const tb_tile tile = tile_of(32, 16, 32);
    std::vector<int8_t> trits(m.trits.size(), 77);
    const tb_weights_out out{trits.data(), nullptr, 17, nullptr};
    const auto code_after = [&](size_t byte, uint8_t value) {
        Bytes bytes = m.pack(tile);
        bytes[byte] = value;
        return scalar().unpack(&m.shape, &tile, bytes.data(), 0, 33, &out).code;
    };
    EXPECT_EQ(code_after(0, 0x44), TB_OK);
    EXPECT_EQ(code_after(0, 0x94), TB_BAD_WEIGHT);
    EXPECT_EQ(code_after(0, 0x4f), TB_BAD_WEIGHT);
    EXPECT_EQ(code_after(128 - 1, 0x44), TB_OK);
    EXPECT_EQ(code_after(192 + 128, 0x54), TB_BAD_WEIGHT) << "column 17 is padding";
}

// ---- tiles that are safe in 16 bits ------------------------------------------------------------

// What happens in others: tests/published_bugs_test.cpp, B1_3_TableSumsLeave16Bits.
TEST(Tl1, UnsafeTilesAreRefusedByName) {
    const tb_shape shape{512, 1024};
    for (const tb_kernel* kernel : kernels()) {
        const auto code = [&](int32_t rows, int32_t columns, int32_t block) {
            const tb_tile tile = tile_of(rows, columns, block);
            return kernel->accepts(&shape, &tile).code;
        };
        for (const int32_t block : {32, 64}) {
            EXPECT_EQ(code(256, 248, block), TB_OK) << "the widest of whole steps below 254";
            EXPECT_EQ(code(256, 256, block), TB_BAD_TILE);
            EXPECT_EQ(code(256, 512, block), TB_BAD_TILE);
        }
        const tb_tile listed = parse_tile(*kernel, "BK=256");
        const std::string reason = kernel->accepts(&shape, &listed).reason;
        EXPECT_NE(reason.find("BK"), std::string::npos) << reason;
        EXPECT_NE(reason.find("256 * 128 = 32768"), std::string::npos) << reason;

        EXPECT_EQ(code(160, 128, 32), TB_OK);
        EXPECT_EQ(code(160, 128, 64), TB_BAD_TILE) << "160 is no multiple of 64";
        EXPECT_EQ(code(256, 12, 32), TB_BAD_TILE) << "12 is no multiple of 8";
        EXPECT_EQ(code(256, 128, 48), TB_BAD_TILE);
        EXPECT_EQ(code(0, 128, 64), TB_BAD_TILE);
        EXPECT_EQ(code(256, 0, 64), TB_BAD_TILE);
        EXPECT_EQ(code(-64, 128, 64), TB_BAD_TILE);
        EXPECT_EQ(code(256, 128, 0), TB_BAD_TILE);
    }
}

// ---- products ----------------------------------------------------------------------------------

std::vector<int32_t> sums(const tb_kernel& kernel, const tb_tile& tile, const Matrix& w,
                          const std::vector<int8_t>& q, int64_t m) {
    const tb_shape& shape = w.shape;
    AlignedBuffer packed(kernel.packed_size(&shape, &tile));
    AlignedBuffer prepared(kernel.prepared_size(&shape, &tile, m));
    AlignedBuffer scratch(kernel.scratch_size(&shape, &tile, m) + 64);
    const float scale = 1;
    const std::vector<float> q_scale(static_cast<size_t>(m), 1.0F);
    const tb_weights weights{w.trits.data(), nullptr, shape.k, &scale};
    const tb_activations act{m, shape.k, nullptr, nullptr, q.data(), q_scale.data()};
    EXPECT_EQ(kernel.pack(&shape, &tile, &weights, 0, shape.n, packed.data()).code, TB_OK);
    EXPECT_EQ(kernel.prepare(&shape, &tile, &act, 0, m, 0, shape.k, prepared.data()).code, TB_OK);
    std::vector<int32_t> acc(static_cast<size_t>(m * shape.n), INT32_MIN);
    tb_product p{};
    p.shape = shape;
    p.tile = &tile;
    p.packed = packed.data();
    p.prepared = prepared.data();
    p.m = m;
    p.n_end = shape.n;
    p.acc = acc.data();
    p.ldy = shape.n;
    p.scratch = scratch.data();
    kernel.accumulate(&p);
    return acc;
}

// The widest tile, every product of one sign: 248 * 128 = 31744 in 16 bits, 63488 over two tiles.
TEST(Tl1, TheWidestTileHoldsSumsOfOneSign) {
    Matrix w(70, 496);
    const std::vector<int8_t> q(496, -128);
    for (const tb_kernel* kernel : kernels()) {
        for (const int32_t block : {32, 64}) {
            for (const int8_t weight : {-1, 1}) {
                std::fill(w.trits.begin(), w.trits.end(), weight);
                for (const int32_t sum : sums(*kernel, tile_of(64, 248, block), w, q, 1)) {
                    ASSERT_EQ(sum, weight * -128 * 496) << kernel->id << " bm " << block;
                }
            }
        }
    }
}

// Every pair of activations: all digits of all tables. Row i of W holds the pair i of weights.
TEST(Tl1, EveryPairOfActivationsWithEveryPairOfWeights) {
    constexpr int64_t kPairs = 256;  // a call; the first activation is the same in one call
    Matrix w(9, 2 * kPairs);
    for (const tb_kernel* kernel : kernels()) {
        for (int first = -128; first <= 127; ++first) {
            std::vector<int8_t> q(static_cast<size_t>(2 * kPairs));
            for (int64_t i = 0; i < kPairs; ++i) {
                q[static_cast<size_t>(2 * i)] = static_cast<int8_t>(first);
                q[static_cast<size_t>(2 * i + 1)] = static_cast<int8_t>(i - 128);
            }
            // A row has one pair that is not zero, so that no error can cancel another.
            const int64_t pair = (first + 128) * 37 % kPairs;
            std::fill(w.trits.begin(), w.trits.end(), 0);
            std::vector<int32_t> expected;
            for (int row = 0; row < 9; ++row) {
                w.at(row, 2 * pair) = static_cast<int8_t>(row / 3 - 1);
                w.at(row, 2 * pair + 1) = static_cast<int8_t>(row % 3 - 1);
                expected.push_back((row / 3 - 1) * first +
                                   (row % 3 - 1) * static_cast<int>(pair - 128));
            }
            ASSERT_EQ(sums(*kernel, default_tile(*kernel), w, q, 1), expected) << kernel->id;
        }
    }
}

// Shapes that divide by nothing; and tiles that share no step with the tables.
TEST(Tl1, AnyShapeInAnyTile) {
    for (const tb_kernel* kernel : kernels()) {
        for (const auto& [rows, columns, block] :
             {std::tuple{32, 8, 32}, std::tuple{64, 8, 64}, std::tuple{96, 24, 32},
              std::tuple{128, 40, 64}, std::tuple{1088, 248, 64}, std::tuple{320, 192, 32}}) {
            for (const auto& [n, k] : {std::pair{1, 1}, std::pair{65, 7}, std::pair{97, 250},
                                       std::pair{1100, 67}, std::pair{33, 1003}}) {
                for (const int64_t m : {1, 3, 8, 9}) {
                    const Matrix w = random_matrix(n, k, 5);
                    RandomStream random(6);
                    std::vector<int8_t> q(static_cast<size_t>(m * k));
                    for (int8_t& v : q) v = static_cast<int8_t>(random.below(256) - 128);
                    const auto found = sums(*kernel, tile_of(rows, columns, block), w, q, m);
                    for (int64_t t = 0; t < m; ++t) {
                        for (int64_t r = 0; r < n; ++r) {
                            ASSERT_EQ(found[static_cast<size_t>(t * n + r)],
                                      reference::dot(w.trits.data() + r * k, q.data() + t * k, k))
                                << kernel->id << " BM=" << rows << " BK=" << columns
                                << " bm=" << block << " N=" << n << " K=" << k << " row " << r;
                        }
                    }
                }
            }
        }
    }
}

// The published scratch is 15 K bytes a token, its tables are 16 K. Here the kernel
// is asked, and what it says holds its tables; the gate has a guard page behind them.
TEST(Tl1, PreparedSizeHoldsTheTables) {
    for (const tb_kernel* kernel : kernels()) {
        for (const int64_t m : {1, 2, 8, 9, 31}) {
            const tb_shape shape{64, 2560};
            const tb_tile tile = default_tile(*kernel);
            tb_work work{};
            kernel->work(&shape, &tile, m, &work);
            const double batch = static_cast<double>(tb_int8_prepared_size(&shape, &tile, m));
            EXPECT_GE(static_cast<double>(kernel->prepared_size(&shape, &tile, m)),
                      batch + work.table_bytes);
            EXPECT_EQ(work.lookups > 0, work.table_bytes > 0);
            if (std::string(kernel->isa) == "scalar") continue;
            EXPECT_EQ(work.table_bytes, m <= 8 ? 16.0 * 2560 * static_cast<double>(m) : 0.0);
        }
    }
}

// The bytes do not tell their tile. Read with another they are other weights, so
// the tile is kept beside them, and what does not change them is not asked for.
TEST(Tl1, BytesDependOnTheTileAndNotOnPrefetch) {
    const Matrix w = random_matrix(512, 512, 9);
    const Bytes bytes = w.pack(tile_of(256, 128, 64));
    EXPECT_EQ(bytes.size(), w.pack(tile_of(128, 128, 64)).size());
    EXPECT_NE(bytes, w.pack(tile_of(128, 128, 64)));
    EXPECT_NE(bytes, w.pack(tile_of(256, 64, 64)));
    EXPECT_NE(bytes, w.pack(tile_of(256, 128, 32)));
    tb_tile fetched = tile_of(256, 128, 64);
    fetched.value[0] = 2048;
    EXPECT_EQ(bytes, w.pack(fetched));
}

}  // namespace
}  // namespace tritbench
