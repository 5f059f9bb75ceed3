// Passes that give the next pass what it needs of their result: to the bit what passes one by one
// give, and nothing that is not finite gets lost.
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstring>
#include <limits>

#include "kernels/api/prepared_int8.h"
#include "tests/ops_fixture.h"

namespace tritbench {
namespace {

const size_t kWidths[] = {1, 2, 15, 16, 17, 31, 32, 33, 100, 255, 256, 2560};

// The documented order: lane = index % 16, then the fixed tree.
float squares_of(const Floats& x) {
    float lanes[16] = {};
    for (size_t i = 0; i < x.size(); ++i) lanes[i % 16] += x[i] * x[i];
    for (int width = 16; width > 1; width /= 2) {
        for (int i = 0; i < width / 2; ++i) lanes[i] += lanes[i + width / 2];
    }
    return lanes[0];
}

bool same_bits(float a, float b) {
    return std::bit_cast<uint32_t>(a) == std::bit_cast<uint32_t>(b);
}

// `gate(ops, a, b, n, y)` gives y and returns its sum of squares, also in the place of a or of b.
template <class Gate>
void expect_squares_of_result(const char* what, Gate gate) {
    for (const size_t n : kWidths) {
        const auto count = static_cast<int64_t>(n);
        const Floats a = random_floats(n, 6, 3.0F);
        const Floats b = random_floats(n, 7);
        const Floats y = same_from_every_table(what, [&](const tb_ops& ops) {
            Floats out(n);
            const float squares = gate(ops, a.data(), b.data(), count, out.data());
            EXPECT_TRUE(same_bits(squares, squares_of(out))) << ops.isa << " " << n;
            EXPECT_TRUE(same_bits(squares, ops.sum_squares(out.data(), count))) << ops.isa;
            Floats in_a = a;
            EXPECT_EQ(gate(ops, in_a.data(), b.data(), count, in_a.data()), squares);
            EXPECT_EQ(in_a, out) << ops.isa << " " << n;
            Floats in_b = b;
            EXPECT_EQ(gate(ops, a.data(), in_b.data(), count, in_b.data()), squares);
            EXPECT_EQ(in_b, out) << ops.isa << " " << n;
            return out;
        });
    }
}

TEST(FusedOps, GatesReturnTheSquaresOfTheirResult) {
    expect_squares_of_result(
        "relu2_gate", [](const tb_ops& ops, const float* a, const float* b, int64_t n, float* y) {
            return ops.relu2_gate(a, b, n, y);
        });
    expect_squares_of_result(
        "silu_gate", [](const tb_ops& ops, const float* a, const float* b, int64_t n, float* y) {
            return ops.silu_gate(a, b, n, y);
        });
}

TEST(FusedOps, AddReturnsTheSquaresOfTheSum) {
    for (const size_t n : kWidths) {
        const Floats a = random_floats(n, 1, 5.0F);
        const Floats b = random_floats(n, 2, 5.0F);
        same_from_every_table("add", [&](const tb_ops& ops) {
            Floats x = a;
            const float squares = ops.add(x.data(), b.data(), static_cast<int64_t>(n));
            for (size_t i = 0; i < n; ++i) EXPECT_EQ(x[i], a[i] + b[i]);
            EXPECT_TRUE(same_bits(squares, squares_of(x))) << ops.isa << " " << n;
            return x;
        });
    }
}

TEST(FusedOps, NormInTwoPassesIsTheNormAndReturnsTheMaximum) {
    for (const size_t n : kWidths) {
        const auto count = static_cast<int64_t>(n);
        const Floats x = random_floats(n, 1, 3.0F);
        const Floats w = random_floats(n, 2);
        const float squares = squares_of(x);
        same_from_every_table("norm_scale", [&](const tb_ops& ops) {
            Floats norm(n);
            ops.rms_norm(x.data(), w.data(), 1e-5F, count, norm.data());
            EXPECT_TRUE(same_bits(ops.sum_squares(x.data(), count), squares)) << ops.isa;
            Floats y(n);
            const float most = ops.norm_scale(x.data(), squares, w.data(), 1e-5F, count, y.data());
            EXPECT_EQ(std::memcmp(y.data(), norm.data(), n * sizeof(float)), 0) << ops.isa;
            EXPECT_EQ(most, tb_int8_row_absmax(y.data(), count)) << ops.isa;
            const float inverse = 1.0F / std::sqrt(squares / static_cast<float>(n) + 1e-5F);
            float expected = 0.0F;
            for (size_t i = 0; i < n; ++i) {
                EXPECT_EQ(y[i], x[i] * inverse * w[i]);
                expected = std::max(expected, std::abs(y[i]));
            }
            EXPECT_EQ(most, expected) << ops.isa;
            Floats in_place = x;
            EXPECT_EQ(
                ops.norm_scale(in_place.data(), squares, w.data(), 1e-5F, count, in_place.data()),
                most);
            EXPECT_EQ(in_place, y);
            return y;
        });
    }
}

// Wherever it stands, also in the tail, the sums and the maximum show it.
TEST(FusedOps, WhatIsNotFiniteIsSeen) {
    const float infinity = std::numeric_limits<float>::infinity();
    const size_t n = 37;
    const auto count = static_cast<int64_t>(n);
    for (const tb_ops* ops : tables_here()) {
        for (const float bad : {std::nanf(""), -std::nanf(""), infinity, -infinity}) {
            for (size_t at = 0; at < n; ++at) {
                Floats x(n, 1.0F);
                const Floats ones(n, 1.0F);
                Floats y(n);
                x[at] = bad;
                EXPECT_FALSE(std::isfinite(ops->sum_squares(x.data(), count)));
                const float most =
                    ops->norm_scale(x.data(), 37.0F, ones.data(), 0.0F, count, y.data());
                EXPECT_EQ(std::isnan(most), std::isnan(bad)) << ops->isa << " " << at;
                EXPECT_FALSE(std::isfinite(most)) << ops->isa << " " << at;
                EXPECT_FALSE(
                    std::isfinite(ops->relu2_gate(ones.data(), x.data(), count, y.data())));
                EXPECT_FALSE(std::isfinite(ops->silu_gate(ones.data(), x.data(), count, y.data())));
                if (std::isnan(bad)) {
                    EXPECT_TRUE(
                        std::isnan(ops->relu2_gate(x.data(), ones.data(), count, y.data())));
                    EXPECT_TRUE(std::isnan(ops->silu_gate(x.data(), ones.data(), count, y.data())));
                }
                EXPECT_FALSE(std::isfinite(ops->add(x.data(), ones.data(), count)));
            }
        }
    }
}

}  // namespace
}  // namespace tritbench
