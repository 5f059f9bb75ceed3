// The layouts of plain floats: their bytes, their rounding, and that every kernel of a layout gives
// the same bits whatever ISA, batch, split and prefetch.
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <string>
#include <vector>

#include "harness/verify/random_data.h"
#include "kernels/api/registry.h"
#include "model/aligned_buffer.h"

namespace tritbench {
namespace {

using Bytes = std::vector<uint8_t>;

const tb_kernel& kernel(const std::string& id) {
    return *match_kernels(id).front();
}

Bytes pack(const tb_kernel& k, const std::vector<float>& values, tb_shape shape) {
    Bytes bytes(k.packed_size(&shape, nullptr), 0xee);
    const tb_weights w{nullptr, values.data(), shape.k, nullptr};
    EXPECT_EQ(k.pack(&shape, nullptr, &w, 0, shape.n, bytes.data()).code, TB_OK);
    return bytes;
}

std::vector<float> unpack(const tb_kernel& k, const Bytes& bytes, tb_shape shape) {
    std::vector<float> values(static_cast<size_t>(shape.n * shape.k), 77);
    const tb_weights_out w{nullptr, values.data(), shape.k, nullptr};
    EXPECT_EQ(k.unpack(&shape, nullptr, bytes.data(), 0, shape.n, &w).code, TB_OK);
    return values;
}

uint16_t to_bf16(float value) {
    const Bytes bytes = pack(kernel("bf16_scalar"), {value}, {1, 1});
    return static_cast<uint16_t>(bytes.at(0) | bytes.at(1) << 8);
}

// Row-major, little-endian, nothing between or behind the rows: the bytes of GGUF tensors.
TEST(FloatLayouts, GoldenBytes) {
    const std::vector<float> values = {1, -2, 0.5F, 0, 3, -0.0F};
    EXPECT_EQ(pack(kernel("f32_scalar"), values, {2, 3}),
              (Bytes{0, 0, 0x80, 0x3f, 0, 0, 0,    0xc0, 0, 0, 0, 0x3f,  //
                     0, 0, 0,    0,    0, 0, 0x40, 0x40, 0, 0, 0, 0x80}));
    EXPECT_EQ(pack(kernel("f16_scalar"), values, {2, 3}),
              (Bytes{0, 0x3c, 0, 0xc0, 0, 0x38, 0, 0, 0, 0x42, 0, 0x80}));
    EXPECT_EQ(pack(kernel("bf16_scalar"), values, {2, 3}),
              (Bytes{0x80, 0x3f, 0, 0xc0, 0, 0x3f, 0, 0, 0x40, 0x40, 0, 0x80}));
}

TEST(FloatLayouts, Bf16RoundsToNearestEven) {
    EXPECT_EQ(to_bf16(1.0F), 0x3f80);
    EXPECT_EQ(to_bf16(1.0F + 0x1p-8F), 0x3f80) << "a tie goes to even";
    EXPECT_EQ(to_bf16(1.0F + 0x1.8p-7F), 0x3f82) << "a tie goes to even";
    EXPECT_EQ(to_bf16(1.0F + 0x1p-8F + 0x1p-23F), 0x3f81);
    EXPECT_EQ(to_bf16(-1.0F - 0x1p-8F - 0x1p-23F), 0xbf81);
    EXPECT_EQ(to_bf16(2.0F - 0x1p-8F), 0x4000) << "carries into the exponent";
    EXPECT_EQ(to_bf16(0x1p-126F - 0x1p-135F), 0x0080) << "carries out of the subnormals";
    EXPECT_EQ(to_bf16(0x1p-134F), 0x0000) << "a tie goes to even";
    EXPECT_EQ(to_bf16(0x1.8p-133F), 0x0002) << "a tie goes to even";
    EXPECT_EQ(to_bf16(-0.0F), 0x8000);
    EXPECT_EQ(to_bf16(0x1.fep127F), 0x7f7f);
    EXPECT_EQ(to_bf16(std::numeric_limits<float>::max()), 0x7f80) << "rounds to infinity";
    EXPECT_EQ(to_bf16(std::numeric_limits<float>::infinity()), 0x7f80);
}

TEST(FloatLayouts, Bf16KeepsNan) {
    // A rounding that carries would make the first an infinity's neighbour and the second -0.
    for (const uint32_t bits : {0x7f800001U, 0xffffffffU, 0x7fc00000U, 0xff80ffffU}) {
        const uint16_t found = to_bf16(std::bit_cast<float>(bits));
        EXPECT_EQ(found & 0x7fc0, 0x7fc0) << std::hex << bits << " is no quiet NaN: " << found;
        EXPECT_EQ(found >> 15, static_cast<int>(bits >> 31));
    }
}

TEST(FloatLayouts, EveryStoredNumberSurvivesTheRoundTrip) {
    for (const char* id : {"f16_scalar", "bf16_scalar"}) {
        const tb_shape shape{256, 256};
        Bytes bytes(65536 * 2);
        for (size_t i = 0; i < 65536; ++i) {
            bytes[2 * i] = static_cast<uint8_t>(i);
            bytes[2 * i + 1] = static_cast<uint8_t>(i >> 8);
        }
        const std::vector<float> values = unpack(kernel(id), bytes, shape);
        const Bytes again = pack(kernel(id), values, shape);
        for (size_t i = 0; i < 65536; ++i) {
            if (std::isnan(values[i])) continue;
            EXPECT_EQ(again[2 * i] | again[2 * i + 1] << 8, static_cast<int>(i)) << id;
        }
    }
}

TEST(FloatLayouts, RoundingStaysWithinTheDeclaredBound) {
    RandomStream random(9);
    std::vector<float> values(20000);
    for (float& v : values) v = std::ldexp(random.uniform(), static_cast<int>(random.below(12)));
    const tb_shape shape{1, static_cast<int64_t>(values.size())};
    const std::pair<const char*, double> formats[] = {
        {"f32_scalar", 0.0}, {"f16_scalar", 0x1p-11}, {"bf16_scalar", 0x1p-8}};
    for (const auto& [id, rounding] : formats) {
        const tb_kernel& k = kernel(id);
        const std::vector<float> stored = unpack(k, pack(k, values, shape), shape);
        double worst = 0;
        for (size_t i = 0; i < values.size(); ++i) {
            if (std::fabs(values[i]) < 0x1p-14F) continue;
            worst = std::max(worst, std::fabs(double{stored[i]} / double{values[i]} - 1));
        }
        EXPECT_LE(worst, rounding) << id;
        EXPECT_GE(worst, rounding * 0.9) << id;
        // Beside the rounding of weights, the longest sum: 2^14 + 4 roundings of 2^-24.
        EXPECT_GT(k.bound, rounding + 0x1p-10) << id;
        EXPECT_LT(k.bound, rounding + 0x1.1p-10) << id;
    }
}

TEST(FloatLayouts, OnlyTheScalarKernelsDoNotPrefetch) {
    for (const tb_kernel* k : match_kernels("f32_*,f16_*,bf16_*")) {
        SCOPED_TRACE(k->id);
        if (std::string(k->isa) == "scalar") {
            EXPECT_EQ(k->tile_param_count, 0);
            continue;
        }
        ASSERT_EQ(k->tile_param_count, 1);
        EXPECT_STREQ(k->tile_params[0].name, "prefetch");
        EXPECT_EQ(k->tile_params[0].affects, unsigned{TB_TILE_AFFECTS_CALL});
        EXPECT_EQ(tile_name(*k, parse_tile(*k, "prefetch=0")), "prefetch=0");
        EXPECT_EQ(tile_name(*k, parse_tile(*k, "prefetch=1024")), "prefetch=1024");
    }
}

// y of the rows [begin, end), the rest NaN.
std::vector<float> product(const tb_kernel& k, const tb_tile& tile, tb_shape shape,
                           const Bytes& packed, const std::vector<float>& x, int64_t m,
                           int64_t begin, int64_t end) {
    std::vector<float> y(static_cast<size_t>(m * shape.n), std::nanf(""));
    AlignedBuffer scratch(k.scratch_size(&shape, &tile, m));
    AlignedBuffer prepared(static_cast<size_t>(m * shape.k) * sizeof(float));
    std::memcpy(prepared.data(), x.data(), prepared.size());
    tb_product p{};
    p.shape = shape;
    p.tile = &tile;
    p.packed = packed.data();
    p.prepared = prepared.data();
    p.m = m;
    p.n_begin = begin;
    p.n_end = end;
    p.y = y.data();
    p.ldy = shape.n;
    p.scratch = scratch.data();
    m == 1 ? k.gemv(&p) : k.gemm(&p);
    return y;
}

// Large enough for several panels and groups of rows, several pieces of K, and blocks of tokens;
// with rows, columns and tokens left over.
TEST(FloatLayouts, BitsDoNotDependOnIsaBatchSplitOrPrefetch) {
    const tb_shape shape{1107, 1040};  // 1040 is a multiple of 16: rows of x need no padding
    const int64_t tokens = 200;
    RandomStream random(17);
    std::vector<float> values(static_cast<size_t>(shape.n * shape.k));
    std::vector<float> x(static_cast<size_t>(tokens * shape.k));
    for (float& v : values) v = random.uniform();
    for (float& v : x) v = random.uniform();
    for (const char* layout : {"f32", "f16", "bf16"}) {
        const tb_kernel& scalar = kernel(std::string(layout) + "_scalar");
        const Bytes packed = pack(scalar, values, shape);
        const auto expected = [&](int64_t m) {
            const std::vector<float> row(x.begin() + m * shape.k, x.begin() + (m + 1) * shape.k);
            return product(scalar, {}, shape, packed, row, 1, 0, shape.n);
        };
        const std::vector<float> first = expected(0), last = expected(tokens - 1);
        for (const tb_kernel* k : match_kernels(std::string(layout) + "_*")) {
            if (!runs_here(*k) || k == &scalar) continue;
            SCOPED_TRACE(k->id);
            const auto same = [&](const float* found, const std::vector<float>& wanted,
                                  int64_t begin, int64_t end) {
                return std::memcmp(found + begin, wanted.data() + begin,
                                   static_cast<size_t>(end - begin) * sizeof(float)) == 0;
            };
            for (const char* tile : {"prefetch=0", "prefetch=1024"}) {
                const tb_tile t = parse_tile(*k, tile);
                const auto whole = product(*k, t, shape, packed, x, 1, 0, shape.n);
                EXPECT_TRUE(same(whole.data(), first, 0, shape.n)) << tile;
                const auto part = product(*k, t, shape, packed, x, 1, 3, 1000);
                EXPECT_TRUE(same(part.data(), first, 3, 1000)) << tile;
            }
            for (const int64_t m : {int64_t{3}, int64_t{77}, tokens}) {
                const auto y = product(*k, default_tile(*k), shape, packed, x, m, 5, shape.n);
                EXPECT_TRUE(same(y.data(), first, 5, shape.n)) << "M=" << m;
                if (m < tokens) continue;
                EXPECT_TRUE(same(y.data() + (m - 1) * shape.n, last, 5, shape.n));
            }
        }
    }
}

TEST(FloatLayouts, ScratchForTheLargestBatchDoesForAll) {
    for (const tb_kernel* k : match_kernels("f32_*,f16_*,bf16_*")) {
        for (const int64_t columns : {1, 640, 2560, 6912, 14336}) {
            const tb_shape shape{64, columns};
            const tb_tile tile = default_tile(*k);
            size_t before = 0;
            for (int64_t m = 1; m <= 600; ++m) {
                const size_t bytes = k->scratch_size(&shape, &tile, m);
                ASSERT_GE(bytes, before) << k->id << " K=" << columns << " M=" << m;
                before = bytes;
            }
        }
    }
}

}  // namespace
}  // namespace tritbench
