// The layout tl2: its bytes packed by hand, its padding, what its tiles may be, and sums at the
// edge of 16 bits.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <string>
#include <vector>

#include "harness/verify/random_data.h"
#include "kernels/api/prepared_int8.h"
#include "kernels/api/registry.h"
#include "kernels/reference/oracle.h"
#include "model/aligned_buffer.h"

namespace tritbench {
namespace {

using Bytes = std::vector<uint8_t>;
using Trits = std::vector<int8_t>;

const tb_kernel& scalar() {
    return *find_kernel("tl2_scalar");
}

tb_tile tile_of(int32_t bm, int32_t bk) {
    tb_tile tile = default_tile(scalar());
    tile.value[1] = bm;
    tile.value[2] = bk;
    return tile;
}

Bytes packed(const tb_shape& shape, const tb_tile& tile, const Trits& trits, float scale) {
    Bytes bytes(scalar().packed_size(&shape, &tile), 0xee);
    const tb_weights w{trits.data(), nullptr, shape.k, &scale};
    EXPECT_EQ(scalar().pack(&shape, &tile, &w, 0, shape.n, bytes.data()).code, TB_OK);
    return bytes;
}

tb_status unpack(const tb_shape& shape, const tb_tile& tile, const Bytes& bytes, Trits& trits) {
    trits.assign(static_cast<size_t>(shape.n * shape.k), 77);
    const tb_weights_out w{trits.data(), nullptr, shape.k, nullptr};
    return scalar().unpack(&shape, &tile, bytes.data(), 0, shape.n, &w);
}

// ---- golden bytes, by hand from bitnet.cpp's packer ---------------------------------------------

// N = 32, K = 80 with BM = 32, BK = 48: K3 = 48 columns in triples, K2 = 32 in pairs.
//   index plane  8 groups of 6 columns, 32 bytes each       bytes   0 .. 255
//   sign plane   2 groups of 24 columns, 32 bytes each      bytes 256 .. 319
//   pair plane   8 groups of 4 columns, 32 bytes each       bytes 320 .. 575
//   published size: (80 - 256) * 32 = -5632; / 3 = -1877 (C truncates); * 5 = -9385; / 8 = -1173;
//   plus 256 * 32 / 2 * 4 / 8 = 2048: 875, rounded up to 896.   Scale at 896, size 928.
TEST(TL2, GoldenBytes) {
    const tb_shape shape{32, 80};
    Trits t(32 * 80, 0);
    const auto at = [&](int64_t r, int64_t c) -> int8_t& {
        return t[static_cast<size_t>(r * 80 + c)];
    };
    Bytes expected(928, 0);
    std::fill_n(expected.begin() + 320, 256, 0x44);  // pairs of zeros: 3 * 0 + 0 + 4

    // Row 0, columns 0..2 = +1 +1 +1: 9 + 3 + 1 = 13 in the high nibble of byte 0.
    at(0, 0) = at(0, 1) = at(0, 2) = 1;
    // Row 0, columns 3..5 = 0 -1 +1: -3 + 1 = -2: nibble 2, low; triple 1, sign bit 15 - 2 = 13.
    at(0, 4) = -1;
    at(0, 5) = 1;
    expected[0] = 0xd2;
    expected[256 + 1] = 0x20;  // word 0, bit 13 = bit 5 of its high byte
    // Row 9 is in the second group of eight, which stands third: byte 16 + 1. Column 44 is the last
    // of triple 42..44: kg = 42 / 6 = 7, high nibble. -1: nibble 1; 24-column group 1, triple
    // (42 - 24) / 3 = 6: word 9, bit 15 - 12 = 3.
    at(9, 44) = -1;
    expected[7 * 32 + 17] = 0x10;
    expected[256 + 32 + 2 * 9] = 0x08;
    // Row 16 opens the third group, which stands second: byte 8. Columns 9..11 = -1 +1 0: kg = 1,
    // low nibble, -9 + 3 = -6. Triple 3; rows from 16 on have the odd bits: 15 - 6 - 1 = 8, word 0.
    at(16, 9) = -1;
    at(16, 10) = 1;
    expected[32 + 8] = 0x06;
    expected[256 + 1] |= 0x01;
    // Row 31: byte 31. Columns 45..47 = -1 -1 -1: kg = 7, low nibble, 13; group 1, triple 7: word
    // 15, bit 15 - 14 - 1 = 0.
    at(31, 45) = at(31, 46) = at(31, 47) = -1;
    expected[7 * 32 + 31] = 0x0d;
    expected[256 + 32 + 2 * 15] = 0x01;
    // Pairs: column 48 is the first. Row 0: -1 0 | 0 +1: (-3 + 0 + 4, 0 + 1 + 4) = 1, 5.
    at(0, 48) = -1;
    at(0, 51) = 1;
    expected[320] = 0x15;
    // Row 8, columns 78 79 = +1 +1: kg = (78 - 48) / 4 = 7, low nibble 8; byte 16.
    at(8, 78) = at(8, 79) = 1;
    expected[320 + 7 * 32 + 16] = 0x48;
    // 1.5F is 0x3fc00000.
    expected[898] = 0xc0;
    expected[899] = 0x3f;

    const tb_tile tile = tile_of(32, 48);
    EXPECT_EQ(packed(shape, tile, t, 1.5F), expected);
    Trits back;
    ASSERT_EQ(unpack(shape, tile, expected, back).code, TB_OK);
    EXPECT_EQ(back, t);
}

// Tiles follow each other column blocks first: of N = 64, K = 96 with BM = 64, BK = 48, the index
// bytes of rows 32..63 and columns 48..95 are those of tile 1, block 1: (1 * 2 + 1) * 8 * 32.
TEST(TL2, GoldenOrderOfTilesAndBlocks) {
    const tb_shape shape{64, 96};
    Trits t(64 * 96, 0);
    t[32 * 96 + 50] = 1;   // row 32 column 50: the last of triple 48..50, high nibble of byte 0
    t[63 * 96 + 0] = 1;    // tile 0, block 1: (0 * 2 + 1) * 256 + 31; 9 in the high nibble
    t[32 * 96 + 48] = -1;  // 48..50 = -1 0 +1: -8
    const Bytes bytes = packed(shape, tile_of(64, 48), t, 1);
    Bytes index(1024, 0), sign(256, 0);
    index[3 * 256] = 0x80;
    index[256 + 31] = 0x90;
    // Sign plane at 64 * 96 / 6 = 1024: the same order with 2 groups of 32 bytes: (1 * 2 + 1) * 64;
    // word 0, bit 15.
    sign[3 * 64 + 1] = 0x80;
    EXPECT_EQ(Bytes(bytes.begin(), bytes.begin() + 1024), index);
    EXPECT_EQ(Bytes(bytes.begin() + 1024, bytes.begin() + 1280), sign);
}

// Of published sizes: (3200 - 256) * 3200 / 3 * 5 / 8 + 256 * 3200 / 2 * 4 / 8 = 2167466, rounded
// up to 2167488, and 32 more.
TEST(TL2, PublishedSizes) {
    const auto size = [](tb_shape shape, int32_t bm, int32_t bk) {
        const tb_tile tile = tile_of(bm, bk);
        return scalar().packed_size(&shape, &tile);
    };
    EXPECT_EQ(size({3200, 3200}, 320, 96), 2167520U);
    EXPECT_EQ(size({3200, 8640}, 160, 96), 5794176U);
    EXPECT_EQ(size({2560, 2560}, 128, 192), 1392672U);
}

// Rows below N and columns behind K are stored as zeros: the same bytes as of the larger matrix.
TEST(TL2, PaddingIsZeroWeights) {
    const tb_shape shape{33, 101}, larger{64, 96 + 32};
    RandomStream random(1);
    Trits t(33 * 101), more(64 * 128, 0);
    for (size_t i = 0; i < t.size(); ++i) {
        t[i] = static_cast<int8_t>(random.below(3) - 1);
        more[i / 101 * 128 + i % 101] = t[i];
    }
    const tb_tile tile = tile_of(64, 96);
    EXPECT_EQ(packed(shape, tile, t, 2), packed(larger, tile, more, 2));
    Trits back;
    ASSERT_EQ(unpack(shape, tile, packed(shape, tile, t, 2), back).code, TB_OK);
    EXPECT_EQ(back, t);
}

TEST(TL2, CodesThatNoPackerWritesAreRefused) {
    const tb_shape shape{32, 80};
    const tb_tile tile = tile_of(32, 48);
    const Bytes good = packed(shape, tile, Trits(32 * 80, 0), 1);
    Trits back;
    const auto refused = [&](size_t at, uint8_t value) {
        Bytes bad = good;
        bad[at] = value;
        return unpack(shape, tile, bad, back).code == TB_BAD_WEIGHT;
    };
    EXPECT_TRUE(refused(0, 0xe0)) << "index 14";
    EXPECT_TRUE(refused(0, 0x0f)) << "index 15";
    EXPECT_TRUE(refused(256, 0x02)) << "a sign without weights";
    EXPECT_TRUE(refused(320, 0x94)) << "pair 9";
    const float scale = 1;
    const Trits two(32 * 80, 2);
    const tb_weights w{two.data(), nullptr, 80, &scale};
    Bytes bytes(good.size());
    EXPECT_EQ(scalar().pack(&shape, &tile, &w, 0, 32, bytes.data()).code, TB_BAD_WEIGHT);
    EXPECT_EQ(scalar().pack(&shape, &tile, &w, 0, 31, bytes.data()).code, TB_BAD_RANGE);
}

// ---- tiles and the edge of 16 bits --------------------------------------------------------------

// BK / 3 triples of |sum| <= 3 * 128: 240 columns are 80 * 384 = 30720, 255 would be 32640; 264
// columns are 33792 and wrap. At 127 in place of 128, 258 would be just safe: 86 * 381 = 32766.
TEST(TL2, TilesThatLeaveSixteenBitsAreRefused) {
    static_assert(85 * 3 * 128 <= INT16_MAX && 86 * 3 * 128 > INT16_MAX);
    for (const tb_kernel* k : match_kernels("tl2_*")) {
        for (const auto& [bk, code] :
             {std::pair{48, TB_OK}, std::pair{96, TB_OK}, std::pair{192, TB_OK},
              std::pair{240, TB_OK}, std::pair{264, TB_BAD_TILE}, std::pair{288, TB_BAD_TILE}}) {
            const tb_tile tile = parse_tile(*k, "BK=" + std::to_string(bk));
            const tb_shape shape{64, 1056};
            const tb_status status = k->accepts(&shape, &tile);
            EXPECT_EQ(status.code, code) << k->id << " BK " << bk;
            EXPECT_EQ(status.reason != nullptr, code != TB_OK);
        }
        tb_tile odd = default_tile(*k);
        const tb_shape shape{64, 1056};
        odd.value[1] = 48;
        EXPECT_EQ(k->accepts(&shape, &odd).code, TB_BAD_TILE);
        odd = default_tile(*k);
        odd.value[2] = 32;
        EXPECT_EQ(k->accepts(&shape, &odd).code, TB_BAD_TILE);
    }
}

// The sum of one column block in 16 bits, as a kernel that does not check adds it.
int16_t wrapped_block(int bk, int activation) {
    uint16_t sum = 0;
    for (int i = 0; i < bk / 3; ++i) sum = static_cast<uint16_t>(sum + 3 * activation);
    return static_cast<int16_t>(sum);
}

TEST(TL2, AnUnsafeTileWouldWrap) {
    EXPECT_EQ(wrapped_block(240, -128), -30720);
    EXPECT_EQ(wrapped_block(264, -128), 31744) << "-33792 + 65536";
    EXPECT_EQ(wrapped_block(258, 127), 32766);
    EXPECT_EQ(wrapped_block(264, 127), -32008) << "33528 - 65536";
}

std::vector<int32_t> product(const tb_kernel& k, const tb_tile& tile, const tb_shape& shape,
                             const Trits& trits, const Trits& q, int64_t m) {
    const Bytes bytes = packed(shape, tile, trits, 1);
    const std::vector<float> scales(static_cast<size_t>(m), 1.0F);
    AlignedBuffer prepared(k.prepared_size(&shape, &tile, m));
    tb_activations act{};
    act.m = m;
    act.ld = shape.k;
    act.q = q.data();
    act.q_scale = scales.data();
    EXPECT_EQ(k.prepare(&shape, &tile, &act, 0, m, 0, shape.k, prepared.data()).code, TB_OK);
    AlignedBuffer scratch(k.scratch_size(&shape, &tile, m) + 64);
    std::vector<int32_t> sums(static_cast<size_t>(m * shape.n), -7);
    tb_product p{};
    p.shape = shape;
    p.tile = &tile;
    p.packed = bytes.data();
    p.prepared = prepared.data();
    p.m = m;
    p.n_end = shape.n;
    p.acc = sums.data();
    p.ldy = shape.n;
    p.scratch = scratch.data();
    k.accumulate(&p);
    return sums;
}

// Every weight +1 or -1, every activation -128 or 127, at the largest tile that is allowed.
TEST(TL2, SumsAtTheEdgeAreRight) {
    for (const tb_kernel* k : match_kernels("tl2_*")) {
        if (!runs_here(*k)) continue;
        for (const tb_shape shape : {tb_shape{5, 240}, tb_shape{5, 720}, tb_shape{5, 700}}) {
            for (const int8_t weight : {int8_t{1}, int8_t{-1}}) {
                for (const int8_t x : {int8_t{-128}, int8_t{127}}) {
                    for (const int64_t m : {int64_t{1}, int64_t{6}, int64_t{35}}) {
                        const auto count = static_cast<size_t>(shape.n * shape.k);
                        const Trits q(static_cast<size_t>(m * shape.k), x);
                        const auto sums =
                            product(*k, tile_of(32, 240), shape, Trits(count, weight), q, m);
                        for (const int32_t sum : sums) {
                            ASSERT_EQ(sum, weight * x * shape.k) << k->id << " K " << shape.k;
                        }
                    }
                }
            }
        }
    }
}

// Batches on both sides of 16 and 32 (tables or unpacking), column counts on both sides of BK and
// of the padding, rows that GEMM cuts in several blocks of columns, fewer rows than a block.
TEST(TL2, OddShapesAgreeWithTheOracle) {
    RandomStream random(4);
    for (const tb_kernel* k : match_kernels("tl2_*")) {
        if (!runs_here(*k)) continue;
        for (const auto& [bm, bk] : {std::pair{32, 48}, std::pair{160, 96}, std::pair{128, 240}}) {
            const tb_tile tile = tile_of(bm, bk);
            for (const tb_shape shape :
                 {tb_shape{1, 1}, tb_shape{3, 47}, tb_shape{33, 49}, tb_shape{161, 250},
                  tb_shape{70, 1633}, tb_shape{5, 6944}}) {
                for (const int64_t m : {1, 2, 3, 5, 16, 17, 33}) {
                    Trits trits(static_cast<size_t>(shape.n * shape.k));
                    Trits q(static_cast<size_t>(m * shape.k));
                    for (auto& t : trits) t = static_cast<int8_t>(random.below(3) - 1);
                    for (auto& v : q) v = static_cast<int8_t>(random.below(256) - 128);
                    const auto sums = product(*k, tile, shape, trits, q, m);
                    for (int64_t i = 0; i < m * shape.n; ++i) {
                        const int64_t n = i % shape.n;
                        ASSERT_EQ(sums[static_cast<size_t>(i)],
                                  reference::dot(trits.data() + n * shape.k,
                                                 q.data() + i / shape.n * shape.k, shape.k))
                            << k->id << " N " << shape.n << " K " << shape.k << " M " << m;
                    }
                }
            }
        }
    }
}

// Tables are built for small batches, and work says so.
TEST(TL2, WorkCountsTablesAndLookups) {
    const tb_shape shape{256, 2560};
    for (const tb_kernel* k : match_kernels("tl2_*")) {
        const tb_tile tile = default_tile(*k);
        tb_work one{}, many{};
        k->work(&shape, &tile, 1, &one);
        k->work(&shape, &tile, 33, &many);
        // K3 = 2496 columns in triples, 64 in pairs.
        EXPECT_EQ(one.lookups, 256.0 * (832 + 32)) << k->id;
        EXPECT_GE(one.table_bytes, 32.0 * (832 + 32)) << k->id;
        EXPECT_EQ(many.lookups, 0) << k->id;
        EXPECT_EQ(many.table_bytes, 0) << k->id;
        EXPECT_LT(one.weight_bytes * 8, 1.7 * 256 * 2560) << k->id;
    }
}

}  // namespace
}  // namespace tritbench
