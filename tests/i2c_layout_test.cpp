// i2c: where a weight lies in the packed bytes, what is refused, and products with activations that
// are mostly zero. Axes: N rows of W, K columns, M tokens.
#include <gtest/gtest.h>

#include <cstdint>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "harness/verify/random_data.h"
#include "kernels/api/registry.h"
#include "model/aligned_buffer.h"

namespace tritbench {
namespace {

const tb_kernel& scalar() {
    return *find_kernel("i2c_scalar");
}

std::vector<const tb_kernel*> kernels() {
    std::vector<const tb_kernel*> found;
    for (const tb_kernel* k : match_kernels("i2c_*")) {
        if (runs_here(*k)) found.push_back(k);
    }
    return found;
}

AlignedBuffer packed(tb_shape shape, const std::vector<int8_t>& trits, float scale) {
    const tb_kernel& k = scalar();
    AlignedBuffer bytes(k.packed_size(&shape, nullptr));
    const tb_weights w{trits.data(), nullptr, shape.k, &scale};
    EXPECT_EQ(k.pack(&shape, nullptr, &w, 0, shape.n, bytes.data()).code, TB_OK);
    return bytes;
}

// Three columns of 257 rows are three times two lines, and 64 bytes with the scale. Row 64 i + 16 f
// + 4 a + b lies in byte 16 a + 4 i + b, bits 2 f and 2 f + 1; the trit 0 has the code 01, a byte
// of them is 0x55.
TEST(I2cLayout, BytesByHand) {
    const tb_shape shape{257, 3};
    std::vector<int8_t> trits(static_cast<size_t>(shape.n * shape.k), 0);
    const auto set = [&](int64_t row, int64_t column, int8_t trit) {
        trits[static_cast<size_t>(row * shape.k + column)] = trit;
    };
    set(0, 0, 1);     // i = f = a = b = 0: byte 0, bits 1:0
    set(21, 1, -1);   // f = 1, a = 1, b = 1: byte 17, bits 3:2
    set(200, 1, 1);   // i = 3, a = 2: byte 44, bits 1:0
    set(127, 2, -1);  // i = 1, f = 3, a = 3, b = 3: byte 55, bits 7:6
    set(256, 2, 1);   // the second line, byte 0
    ASSERT_EQ(scalar().packed_size(&shape, nullptr), 3 * 128 + 64);
    const AlignedBuffer bytes = packed(shape, trits, 0.5F);
    std::vector<uint8_t> expected(3 * 128, 0x55);
    expected[0] = 0x56;
    expected[128 + 17] = 0x51;
    expected[128 + 44] = 0x56;
    expected[256 + 55] = 0x15;
    expected[256 + 64] = 0x56;
    const auto* got = bytes.as<uint8_t>();
    EXPECT_EQ(std::vector<uint8_t>(got, got + 3 * 128), expected);
    float scale = 0;
    std::memcpy(&scale, got + 3 * 128, sizeof scale);
    EXPECT_EQ(scale, 0.5F);
    for (int i = 4; i < 64; ++i) EXPECT_EQ(got[3 * 128 + i], 0) << i;
}

TEST(I2cLayout, WhatIsRefused) {
    const tb_shape shape{300, 4};
    std::vector<int8_t> trits(static_cast<size_t>(shape.n * shape.k), 1);
    const float scale = 1;
    AlignedBuffer bytes = packed(shape, trits, scale);
    const tb_weights w{trits.data(), nullptr, shape.k, &scale};
    const tb_weights_out none{};
    const tb_kernel& k = scalar();
    EXPECT_EQ(k.pack(&shape, nullptr, &w, 64, 300, bytes.data()).code, TB_BAD_RANGE);
    EXPECT_EQ(k.pack(&shape, nullptr, &w, 0, 255, bytes.data()).code, TB_BAD_RANGE);
    EXPECT_EQ(k.unpack(&shape, nullptr, bytes.data(), 0, shape.n, &none).code, TB_OK);
    bytes.as<uint8_t>()[5] = 0xd5;  // a code 3 in the first line
    EXPECT_EQ(k.unpack(&shape, nullptr, bytes.data(), 0, shape.n, &none).code, TB_BAD_WEIGHT);
    EXPECT_EQ(k.unpack(&shape, nullptr, bytes.data(), 256, shape.n, &none).code, TB_OK);
    trits[7] = 2;
    EXPECT_EQ(k.pack(&shape, nullptr, &w, 0, shape.n, bytes.data()).code, TB_BAD_WEIGHT);
    const tb_shape wide{4, 65537};  // an index of a column has 16 bits
    EXPECT_EQ(k.accepts(&wide, nullptr).code, TB_BAD_SHAPE);
}

struct Case {
    tb_shape shape;
    int64_t m;
    double zeros;
};

// Sums and results of the rows [begin, end) against plain loops; all else stays as it was.
void expect_products(const tb_kernel& k, const Case& c, int64_t begin, int64_t end) {
    const auto [shape, m, zeros] = c;
    SCOPED_TRACE(std::string(k.id) + " M=" + std::to_string(m) + " zeros=" + std::to_string(zeros));
    RandomStream random(static_cast<uint64_t>(shape.n * 31 + shape.k + m));
    std::vector<int8_t> trits(static_cast<size_t>(shape.n * shape.k));
    for (int8_t& t : trits) t = static_cast<int8_t>(random.below(3) - 1);
    std::vector<int8_t> q(static_cast<size_t>(m * shape.k));
    for (int8_t& v : q) {
        const auto any = static_cast<int8_t>(random.below(255) + 1 - 128);
        const bool zero = static_cast<double>(random.below(10000)) < zeros * 10000;
        v = zero ? int8_t{0} : any == 0 ? int8_t{-128} : any;
    }
    if (zeros == 1) q.back() = 127;  // the last column alone
    std::vector<float> q_scale(static_cast<size_t>(m), 0.25F);
    const AlignedBuffer weights = packed(shape, trits, 0.375F);
    AlignedBuffer prepared(k.prepared_size(&shape, nullptr, m));
    const tb_activations act{m, shape.k, nullptr, nullptr, q.data(), q_scale.data()};
    ASSERT_EQ(k.prepare(&shape, nullptr, &act, 0, m, 0, shape.k, prepared.data()).code, TB_OK);
    AlignedBuffer scratch(k.scratch_size(&shape, nullptr, m));
    std::memset(scratch.data(), 0xcd, scratch.size());
    const auto count = static_cast<size_t>(m * shape.n);
    std::vector<float> y(count, -1);
    std::vector<int32_t> acc(count, -1);
    tb_product p{};
    p.shape = shape;
    p.packed = weights.data();
    p.prepared = prepared.data();
    p.m = m;
    p.n_begin = begin;
    p.n_end = end;
    p.y = y.data();
    p.acc = acc.data();
    p.ldy = shape.n;
    p.scratch = scratch.data();
    (m == 1 ? k.gemv : k.gemm)(&p);
    k.accumulate(&p);
    for (int64_t t = 0; t < m; ++t) {
        for (int64_t n = 0; n < shape.n; ++n) {
            const auto at = static_cast<size_t>(t * shape.n + n);
            int32_t sum = 0;
            for (int64_t i = 0; i < shape.k; ++i) {
                sum += trits[static_cast<size_t>(n * shape.k + i)] *
                       q[static_cast<size_t>(t * shape.k + i)];
            }
            const bool wanted = n >= begin && n < end;
            ASSERT_EQ(acc[at], wanted ? sum : -1) << "row " << n << ", token " << t;
            ASSERT_EQ(y[at], wanted ? static_cast<float>(sum) * (0.25F * 0.375F) : -1.0F)
                << "row " << n << ", token " << t;
        }
    }
}

// Shares of zeros on both sides of what decides how a batch is multiplied; lists of no column, of
// one, of more and of less than a group.
TEST(I2cProducts, EqualPlainLoopsAtAnyShareOfZeros) {
    for (const tb_kernel* k : kernels()) {
        for (const double zeros : {0.0, 0.2, 0.35, 0.5, 0.83, 0.98, 1.0}) {
            for (const int64_t m : {1, 2, 7, 130}) {
                expect_products(*k, {{300, 301}, m, zeros}, 0, 300);
            }
            expect_products(*k, {{600, 1030}, 1, zeros}, 0, 600);
        }
    }
}

TEST(I2cProducts, AnyRowsOfLines) {
    for (const tb_kernel* k : kernels()) {
        for (const double zeros : {0.1, 0.9}) {
            for (const int64_t m : {1, 3}) {
                for (const auto& [begin, end] : {std::pair<int64_t, int64_t>{0, 1},
                                                 {255, 257},
                                                 {17, 511},
                                                 {256, 512},
                                                 {512, 700},
                                                 {699, 700},
                                                 {300, 300}}) {
                    expect_products(*k, {{700, 90}, m, zeros}, begin, end);
                }
            }
        }
    }
}

TEST(I2cProducts, WidestRows) {
    for (const tb_kernel* k : kernels()) {
        for (const double zeros : {0.0, 0.9, 1.0}) {
            expect_products(*k, {{3, 65536}, 1, zeros}, 0, 3);
            expect_products(*k, {{3, 65536}, 2, zeros}, 0, 3);
        }
    }
}

}  // namespace
}  // namespace tritbench
