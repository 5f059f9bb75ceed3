// The registry, CPU features, number formats and packed layouts, without the gate.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <map>
#include <random>
#include <set>
#include <vector>

#include "harness/verify/random_data.h"
#include "kernels/api/cpu.h"
#include "kernels/api/error.h"
#include "kernels/api/half.h"
#include "kernels/api/prepared_int8.h"
#include "kernels/api/registry.h"
#include "kernels/reference/oracle.h"

namespace tritbench {
namespace {

const tb_kernel& kernel(const char* id) {
    const tb_kernel* found = find_kernel(id);
    if (found == nullptr) throw Error(std::string("no kernel ") + id);
    return *found;
}

// ---- registry ----------------------------------------------------------------------------------

TEST(Registry, DescriptorsAreCompleteAndConsistent) {
    std::set<std::string> ids;
    ASSERT_GE(all_kernels().size(), 3U);
    for (const tb_kernel* k : all_kernels()) {
        SCOPED_TRACE(k->id);
        EXPECT_TRUE(ids.insert(k->id).second) << "two kernels with one id";
        EXPECT_EQ(std::string(k->id).rfind(std::string(k->layout) + "_" + k->isa, 0), 0U);
        EXPECT_GT(std::strlen(k->description), 0U);
        EXPECT_GT(std::strlen(k->source), 0U);
        EXPECT_GT(k->bits_num, 0);
        EXPECT_GT(k->bits_den, 0);
        EXPECT_GT(k->max_k, 0);
        EXPECT_GE(k->k_multiple, 1);
        EXPECT_GE(k->row_step, 1);
        EXPECT_GE(k->packed_align, 1);
        EXPECT_GE(k->prepared_align, 1);
        EXPECT_NE(k->accepts, nullptr);
        EXPECT_NE(k->packed_size, nullptr);
        EXPECT_NE(k->pack_row_step, nullptr);
        EXPECT_NE(k->pack, nullptr);
        EXPECT_NE(k->unpack, nullptr);
        EXPECT_NE(k->prepared_size, nullptr);
        EXPECT_NE(k->row_absmax, nullptr);
        EXPECT_NE(k->prepare, nullptr);
        EXPECT_NE(k->scratch_size, nullptr);
        EXPECT_NE(k->gemv, nullptr);
        EXPECT_NE(k->gemm, nullptr);
        EXPECT_NE(k->work, nullptr);
        EXPECT_EQ(k->accumulate != nullptr, k->exactness == TB_EXACT);
        EXPECT_EQ(k->bound > 0, k->exactness != TB_EXACT);
        EXPECT_EQ(object_hash(*k).size(), 16U);
    }
}

// Rows that a layout stores together: fewer cannot be held.
int64_t smallest_n(const tb_kernel& kernel) {
    const tb_tile tile = default_tile(kernel);
    const tb_shape one{1, kernel.k_multiple};
    return kernel.accepts(&one, &tile).code == TB_OK ? 1 : kernel.pack_row_step(&one, &tile);
}

TEST(Registry, KernelsOfOneLayoutPackTheSameBytes) {
    RandomStream random(3);
    std::map<std::string, std::vector<uint8_t>> seen;
    std::vector<int8_t> trits(8 * 512);
    for (int8_t& t : trits) t = static_cast<int8_t>(random.below(3) - 1);
    const std::vector<float> values(trits.begin(), trits.end());
    const std::vector<float> scales(trits.size(), 0.25F);  // of rows or blocks: all the same
    for (const tb_kernel* k : all_kernels()) {
        if (!runs_here(*k)) continue;
        // 352 is no multiple of 128; a format of larger blocks, or one that interleaves rows, gets
        // what it accepts.
        const tb_shape shape{smallest_n(*k) == 1 ? 7 : 8, tb_round_up(352, k->k_multiple)};
        ASSERT_LE(shape.k, 512) << k->id;
        const tb_tile tile = default_tile(*k);
        ASSERT_EQ(k->accepts(&shape, &tile).code, TB_OK) << k->id;
        std::vector<uint8_t> packed(k->packed_size(&shape, &tile), 0xee);
        const tb_weights w{trits.data(), values.data(), shape.k, scales.data()};
        ASSERT_EQ(k->pack(&shape, &tile, &w, 0, shape.n, packed.data()).code, TB_OK) << k->id;
        const auto [at, first] = seen.emplace(k->layout, packed);
        EXPECT_EQ(at->second, packed) << k->id << (first ? "" : " differs from another ISA");
    }
}

TEST(Registry, ScalesAreKeptAsDeclared) {
    const float scale = 0.0371F;  // no half
    ASSERT_NE(reference::nearest_half(scale), scale);
    for (const tb_kernel* k : all_kernels()) {
        if (!runs_here(*k) || k->weight_kind != TB_WEIGHT_TERNARY) continue;
        const tb_shape shape{smallest_n(*k), k->k_multiple};
        const tb_tile tile = default_tile(*k);
        const auto weights = static_cast<size_t>(shape.n * shape.k);
        std::vector<int8_t> trits(weights, 1);
        std::vector<float> scales(weights, scale), kept(weights, 0.0F);
        std::vector<uint8_t> packed(k->packed_size(&shape, &tile));
        const tb_weights w{trits.data(), nullptr, shape.k, scales.data()};
        ASSERT_EQ(k->pack(&shape, &tile, &w, 0, shape.n, packed.data()).code, TB_OK) << k->id;
        const tb_weights_out out{trits.data(), nullptr, shape.k, kept.data()};
        ASSERT_EQ(k->unpack(&shape, &tile, packed.data(), 0, shape.n, &out).code, TB_OK) << k->id;
        EXPECT_EQ(kept[0], k->scale_type == TB_SCALE_F16 ? reference::nearest_half(scale) : scale)
            << k->id;
    }
}

TEST(Registry, GlobsSelectAndNegate) {
    EXPECT_EQ(match_kernels("i2s_scalar").size(), 1U);
    const auto some = match_kernels("i2s_*,!*_scalar");
    for (const tb_kernel* k : some) EXPECT_STRNE(k->isa, "scalar");
    EXPECT_EQ(match_kernels("*").size(), all_kernels().size());
}

TEST(Registry, AnUnknownGlobNamesTheNearest) {
    try {
        match_kernels("i2s_scalr");
        FAIL() << "accepted";
    } catch (const Error& e) {
        EXPECT_NE(std::string(e.what()).find("i2s_scalar"), std::string::npos) << e.what();
    }
    EXPECT_THROW(match_kernels(""), Error);
    EXPECT_THROW(match_kernels("i2s_*,!i2s_*"), Error);
}

TEST(Registry, TilesThatDoNotExistAreRefused) {
    EXPECT_EQ(tile_name(kernel("i2s_scalar"), default_tile(kernel("i2s_scalar"))), "");
    EXPECT_THROW(parse_tile(kernel("i2s_scalar"), "BM=256"), Error);
}

TEST(Registry, ImpossibleShapesAreRefused) {
    for (const tb_kernel* k : all_kernels()) {
        const tb_tile tile = default_tile(*k);
        EXPECT_THROW(require_accepts(*k, {0, 128}, tile), Error);
        EXPECT_THROW(require_accepts(*k, {128, 0}, tile), Error);
        EXPECT_THROW(require_accepts(*k, {-1, 128}, tile), Error);
        EXPECT_THROW(require_accepts(*k, {INT64_MAX, 128}, tile), Error);
        EXPECT_THROW(require_accepts(*k, {1, k->max_k + 1}, tile), Error);
        EXPECT_NO_THROW(require_accepts(*k, {smallest_n(*k), k->max_k}, tile));
    }
}

// ---- CPU features ------------------------------------------------------------------------------

TEST(Cpu, FeatureListsParse) {
    EXPECT_EQ(parse_feature_list("baseline"), 0U);
    const tb_features avx2 = parse_feature_list("avx2");
    EXPECT_NE(avx2 & TB_FEATURE_AVX2, 0U);
    EXPECT_NE(avx2 & TB_FEATURE_SSSE3, 0U) << "what avx2 is built on comes with it";
    EXPECT_EQ(avx2 & TB_FEATURE_FMA, 0U) << "what it is not built on does not";
    EXPECT_EQ(parse_feature_list("x86-64-v3") & TB_ISA_AVX2, TB_ISA_AVX2);
    EXPECT_EQ(parse_feature_list(" AVX2 , fma,f16c") & TB_ISA_AVX2, TB_ISA_AVX2);
    EXPECT_EQ(parse_feature_list("icelake") & TB_ISA_AVX512VNNI, TB_ISA_AVX512VNNI);
    EXPECT_THROW(parse_feature_list("avx3"), Error);
    EXPECT_THROW(parse_feature_list("avx2;fma"), Error);
}

TEST(Cpu, NamesRoundTrip) {
    for (const FeatureInfo& info : all_features()) {
        EXPECT_NE(parse_feature_list(info.name) & info.bit, 0U) << info.name;
    }
    EXPECT_EQ(parse_feature_list(feature_names(TB_ISA_AVX512VNNI)), TB_ISA_AVX512VNNI);
}

// ---- number formats ----------------------------------------------------------------------------

TEST(Half, EveryHalfSurvivesTheRoundTrip) {
    for (uint32_t h = 0; h < 0x10000; ++h) {
        const float f = tb_half_to_float(static_cast<uint16_t>(h));
        if ((h & 0x7c00U) == 0x7c00U && (h & 0x3ffU) != 0) {
            EXPECT_TRUE(std::isnan(f)) << h;
        } else {
            EXPECT_EQ(tb_float_to_half(f), h);
        }
    }
}

TEST(Half, KnownValuesAndTies) {
    EXPECT_EQ(tb_float_to_half(1.0F), 0x3c00);
    EXPECT_EQ(tb_float_to_half(-2.0F), 0xc000);
    EXPECT_EQ(tb_float_to_half(65504.0F), 0x7bff);
    EXPECT_EQ(tb_float_to_half(65519.99F), 0x7bff);
    EXPECT_EQ(tb_float_to_half(65520.0F), 0x7c00);
    EXPECT_EQ(tb_float_to_half(0x1p-24F), 0x0001);
    EXPECT_EQ(tb_float_to_half(0x1p-25F), 0x0000) << "a tie goes to even";
    EXPECT_EQ(tb_float_to_half(0x1.8p-24F), 0x0002) << "a tie goes to even";
    EXPECT_EQ(tb_float_to_half(1.0F + 0x1p-11F), 0x3c00) << "a tie goes to even";
    EXPECT_EQ(tb_float_to_half(1.0F + 0x1.8p-10F), 0x3c02) << "a tie goes to even";
    EXPECT_EQ(tb_half_to_float(0x3555), 0x1.554p-2F);
    EXPECT_EQ(tb_half_to_float(0x0001), 0x1p-24F);
    EXPECT_TRUE(std::isinf(tb_half_to_float(0x7c00)));
}

TEST(PreparedInt8, QuantisesLikeTheOracle) {
    RandomStream random(5);
    for (const int64_t k : {1, 2, 16, 17, 511, 512, 513, 2000}) {
        std::vector<float> x(static_cast<size_t>(k));
        for (float& v : x) v = random.uniform() * 100;
        x[0] = 0.5F;  // ties below come from halves of the step
        std::vector<int8_t> expected(x.size()), found(x.size());
        float dx = 0;
        reference::quantise_row(x.data(), k, expected.data(), &dx);
        const float absmax = tb_int8_row_absmax(x.data(), k);
        tb_int8_quantise(x.data(), 127.0F / std::max(absmax, 1e-5F), k, found.data());
        EXPECT_EQ(found, expected) << "K=" << k;
    }
}

TEST(PreparedInt8, RoundsHalvesToEvenAndKeepsTheEnds) {
    // absmax 127 makes the step 1, so that these are exact ties.
    const std::vector<float> x = {127, -127, 0.5F, 1.5F, 2.5F, -0.5F, -1.5F, -2.5F, 0, 126.5F};
    const std::vector<int8_t> expected = {127, -127, 0, 2, 2, 0, -2, -2, 0, 126};
    std::vector<int8_t> q(x.size());
    tb_int8_quantise(x.data(), 1.0F, static_cast<int64_t>(x.size()), q.data());
    EXPECT_EQ(q, expected);
}

// ---- I2_S, golden bytes ------------------------------------------------------------------------

// One row of 128: element j sits in byte j % 32, at bits 6 - 2 * (j / 32); codes 0, 1, 2 for -1, 0,
// +1. A zero weight is code 1, so a byte of four zeros is 0x55.
TEST(I2S, GoldenBytesOfOneBlock) {
    std::vector<int8_t> t(128, 0);
    t[0] = 1;    // byte 0, bits 7:6 -> 2
    t[32] = -1;  // byte 0, bits 5:4 -> 0
    t[96] = 1;   // byte 0, bits 1:0 -> 2;  bits 3:2 stay 1:  10 00 01 10 = 0x86
    t[31] = -1;  // byte 31, bits 7:6 -> 0:  00 01 01 01 = 0x15
    t[127] = 1;  // byte 31, bits 1:0 -> 2:  00 01 01 10 = 0x16
    std::vector<uint8_t> expected(64, 0);
    std::fill_n(expected.begin(), 32, 0x55);
    expected[0] = 0x86;
    expected[31] = 0x16;
    const float scale = 1.5F;  // 0x3fc00000, at byte N*K/4 = 32; then 28 zeros
    expected[34] = 0xc0;
    expected[35] = 0x3f;
    const tb_shape shape{1, 128};
    const tb_weights w{t.data(), nullptr, 128, &scale};
    std::vector<uint8_t> packed(64, 0xee);
    const tb_kernel& k = kernel("i2s_scalar");
    ASSERT_EQ(k.packed_size(&shape, nullptr), 64U);
    ASSERT_EQ(k.pack(&shape, nullptr, &w, 0, 1, packed.data()).code, TB_OK);
    EXPECT_EQ(packed, expected);
}

// K = 96: the blocks run through the rows. Row 1 begins at stream position 96: block 0, bits 1:0 of
// bytes 0..31; its column 32 is position 128: block 1, byte 0, bits 7:6.
TEST(I2S, GoldenBytesOfRowsThatShareBlocks) {
    std::vector<int8_t> t(4 * 96, 0);
    t[96] = 1;        // row 1, column 0:  block 0 byte 0  01 01 01 10 = 0x56
    t[96 + 32] = -1;  // row 1, column 32: block 1 byte 0  00 01 01 01 = 0x15
    t[383] = 1;       // the last weight: block 2, byte 31, bits 1:0 = 0x56
    std::vector<uint8_t> expected(96 + 32, 0x55);
    expected[0] = 0x56;
    expected[32] = 0x15;
    expected[95] = 0x56;
    std::fill(expected.begin() + 96, expected.end(), 0);
    expected[98] = 0x80;
    expected[99] = 0x3f;
    const tb_shape shape{4, 96};
    const float scale = 1;
    const tb_weights w{t.data(), nullptr, 96, &scale};
    std::vector<uint8_t> packed(128, 0xee);
    const tb_kernel& k = kernel("i2s_scalar");
    EXPECT_EQ(k.pack_row_step(&shape, nullptr), 4);
    ASSERT_EQ(k.pack(&shape, nullptr, &w, 0, 4, packed.data()).code, TB_OK);
    EXPECT_EQ(packed, expected);
}

TEST(I2S, CodeThreeIsRefusedAndSoIsAWeightOfTwo) {
    const tb_shape shape{1, 128};
    std::vector<int8_t> t(128, 2);
    const float scale = 1;
    for (const tb_kernel* k : match_kernels("i2s_*,int8_*")) {
        if (!runs_here(*k)) continue;
        std::vector<uint8_t> packed(k->packed_size(&shape, nullptr), 0xff);
        const tb_weights w{t.data(), nullptr, 128, &scale};
        EXPECT_EQ(k->pack(&shape, nullptr, &w, 0, 1, packed.data()).code, TB_BAD_WEIGHT) << k->id;
        if (std::string(k->layout) == "int8") continue;  // 0xff is a valid -1 there
        std::vector<int8_t> out(128);
        const tb_weights_out o{out.data(), nullptr, 128, nullptr};
        EXPECT_EQ(k->unpack(&shape, nullptr, packed.data(), 0, 1, &o).code, TB_BAD_WEIGHT) << k->id;
    }
}

TEST(I2S, RangesOffTheStepAreRefused) {
    const tb_shape shape{8, 96};
    std::vector<int8_t> t(8 * 96, 0);
    const float scale = 1;
    const tb_weights w{t.data(), nullptr, 96, &scale};
    std::vector<uint8_t> packed(kernel("i2s_scalar").packed_size(&shape, nullptr));
    EXPECT_EQ(kernel("i2s_scalar").pack(&shape, nullptr, &w, 1, 8, packed.data()).code,
              TB_BAD_RANGE);
    EXPECT_EQ(kernel("i2s_scalar").pack(&shape, nullptr, &w, 0, 3, packed.data()).code,
              TB_BAD_RANGE);
}

// Looking at codes without decoding them finds what decoding finds.
TEST(Unpack, ChecksCodesAloneAsStrictlyAsWhileDecoding) {
    const tb_shape shape{960, 64};  // whole panels of every layout of lanes
    std::mt19937 random(3);
    std::vector<int8_t> trits(static_cast<size_t>(shape.n * shape.k));
    for (int8_t& t : trits) t = static_cast<int8_t>(static_cast<int>(random() % 3) - 1);
    const std::vector<float> scales(static_cast<size_t>(shape.n), 0.5F);
    std::set<std::string> layouts, refusing;
    for (const tb_kernel* k : all_kernels()) {
        const tb_tile tile = default_tile(*k);
        if (k->weight_kind != TB_WEIGHT_TERNARY || !runs_here(*k) ||
            k->accepts(&shape, &tile).code != TB_OK || layouts.count(k->id) != 0) {
            continue;
        }
        const bool widest = best_kernel_of_layout(k->layout) == k;
        if (std::string_view(k->isa) != "scalar" && !widest) continue;
        layouts.insert(k->id);
        std::vector<uint8_t> packed(k->packed_size(&shape, &tile));
        const tb_weights w{trits.data(), nullptr, shape.k, scales.data()};
        ASSERT_EQ(k->pack(&shape, &tile, &w, 0, shape.n, packed.data()).code, TB_OK) << k->id;
        std::vector<int8_t> out(trits.size());
        for (int place = 0; place < 3; ++place) {
            // Codes come first in all of them; scales of rows and tensors after or between them.
            uint8_t& byte = packed[random() % (packed.size() / 2)];
            const uint8_t before = byte;
            for (int value = 0; value < 256; ++value) {
                byte = static_cast<uint8_t>(value);
                std::vector<float> found(scales.size());
                const tb_weights_out decoded{out.data(), nullptr, shape.k, found.data()};
                const tb_weights_out nothing{nullptr, nullptr, shape.k, nullptr};
                const tb_code right =
                    k->unpack(&shape, &tile, packed.data(), 0, shape.n, &decoded).code;
                EXPECT_EQ(k->unpack(&shape, &tile, packed.data(), 0, shape.n, &nothing).code, right)
                    << k->id << " byte " << value;
                if (right != TB_OK) refusing.insert(k->layout);
            }
            byte = before;
        }
    }
    for (const char* layout : {"i2r", "t3r", "t5r", "i2s", "tl1", "int8", "i2c"}) {
        EXPECT_EQ(refusing.count(layout), 1U) << layout;
    }
}

}  // namespace
}  // namespace tritbench
