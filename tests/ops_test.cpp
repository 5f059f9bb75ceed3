// The operations beside matrix products: the same bits from every ISA, and right.
#include "kernels/api/ops.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "tests/ops_fixture.h"

namespace tritbench {
namespace {

const size_t kSizes[] = {1, 2, 15, 16, 17, 31, 32, 48, 100, 255, 256, 1000};

TEST(Ops, TheWidestTableIsChosen) {
    ASSERT_FALSE(tables_here().empty());
    EXPECT_EQ(&best_ops(), tables_here().back());
}

TEST(Ops, RmsNorm) {
    for (const size_t n : kSizes) {
        const Floats x = random_floats(n, 1, 3.0F);
        const Floats w = random_floats(n, 2);
        const Floats y = same_from_every_table("rms_norm", [&](const tb_ops& ops) {
            Floats out(n);
            ops.rms_norm(x.data(), w.data(), 1e-5F, static_cast<int64_t>(n), out.data());
            Floats in_place = x;
            ops.rms_norm(in_place.data(), w.data(), 1e-5F, static_cast<int64_t>(n),
                         in_place.data());
            EXPECT_EQ(in_place, out);
            return out;
        });
        double squares = 0;
        for (const float v : x) squares += double{v} * double{v};
        const double inverse = 1.0 / std::sqrt(squares / static_cast<double>(n) + 1e-5);
        for (size_t i = 0; i < n; ++i) {
            const double expected = x[i] * inverse * w[i];
            EXPECT_NEAR(y[i], expected, 1e-6 * std::abs(expected)) << n << " " << i;
        }
    }
}

// The order of the sum is part of the contract: lane = index % 16, then the fixed tree.
TEST(Ops, RmsNormAddsInTheDocumentedOrder) {
    const size_t n = 100;
    const Floats x = random_floats(n, 3, 10.0F);
    const Floats ones(n, 1.0F);
    float lanes[16] = {};
    for (size_t i = 0; i < n; ++i) lanes[i % 16] += x[i] * x[i];
    for (int width = 16; width > 1; width /= 2) {
        for (int i = 0; i < width / 2; ++i) lanes[i] += lanes[i + width / 2];
    }
    const float inverse = 1.0F / std::sqrt(lanes[0] / static_cast<float>(n) + 1e-5F);
    Floats y(n);
    best_ops().rms_norm(x.data(), ones.data(), 1e-5F, static_cast<int64_t>(n), y.data());
    for (size_t i = 0; i < n; ++i) EXPECT_EQ(y[i], x[i] * inverse);
}

TEST(Ops, RmsNormOfZerosIsZero) {
    const Floats zeros(40, 0.0F);
    const Floats ones(40, 1.0F);
    Floats y(40, 5.0F);
    best_ops().rms_norm(zeros.data(), ones.data(), 1e-5F, 40, y.data());
    EXPECT_EQ(y, zeros);
}

TEST(Ops, RopeTurnsPairsHalfAHeadApart) {
    for (const int64_t dim : {2, 6, 48, 64, 96, 100, 120, 128}) {
        const int64_t heads = 3;
        const Floats x = random_floats(static_cast<size_t>(heads * dim), 4);
        Floats cos(static_cast<size_t>(dim / 2));
        Floats sin(cos.size());
        for (size_t i = 0; i < cos.size(); ++i) {
            cos[i] = std::cos(0.1F * static_cast<float>(i + 1));
            sin[i] = std::sin(0.1F * static_cast<float>(i + 1));
        }
        const Floats y = same_from_every_table("rope", [&](const tb_ops& ops) {
            Floats out = x;
            ops.rope(out.data(), heads, dim, cos.data(), sin.data());
            return out;
        });
        for (int64_t h = 0; h < heads; ++h) {
            for (int64_t i = 0; i < dim / 2; ++i) {
                const auto low = static_cast<size_t>(h * dim + i);
                const auto high = low + static_cast<size_t>(dim / 2);
                const double c = cos[static_cast<size_t>(i)];
                const double s = sin[static_cast<size_t>(i)];
                EXPECT_NEAR(y[low], x[low] * c - x[high] * s, 1e-6);
                EXPECT_NEAR(y[high], x[low] * s + x[high] * c, 1e-6);
            }
        }
    }
}

// The pair (2i, 2i + 1) turns as the pair (i, i + dim / 2) of the same head with its features
// sorted that way: to the bit.
TEST(Ops, RopePairsIsRopeOfThePermutedHead) {
    for (const int64_t dim : {2, 6, 40, 64, 100, 128}) {
        const int64_t heads = 3;
        const auto at = [&](int64_t h, int64_t i) { return static_cast<size_t>(h * dim + i); };
        const Floats x = random_floats(static_cast<size_t>(heads * dim), 4);
        const Floats cos = random_floats(static_cast<size_t>(dim / 2), 8);
        const Floats sin = random_floats(static_cast<size_t>(dim / 2), 9);
        Floats halves(x.size());
        for (int64_t h = 0; h < heads; ++h) {
            for (int64_t i = 0; i < dim; ++i) halves[at(h, i % 2 * dim / 2 + i / 2)] = x[at(h, i)];
        }
        best_ops().rope(halves.data(), heads, dim, cos.data(), sin.data());
        const Floats y = same_from_every_table("rope_pairs", [&](const tb_ops& ops) {
            Floats out = x;
            ops.rope_pairs(out.data(), heads, dim, cos.data(), sin.data());
            return out;
        });
        for (int64_t h = 0; h < heads; ++h) {
            for (int64_t i = 0; i < dim; ++i) {
                EXPECT_EQ(y[at(h, i)], halves[at(h, i % 2 * dim / 2 + i / 2)]) << dim;
            }
        }
    }
}

TEST(Ops, SiluGate) {
    for (const size_t n : kSizes) {
        const Floats gate = random_floats(n, 6, 8.0F);
        const Floats up = random_floats(n, 7);
        const Floats y = same_from_every_table("silu_gate", [&](const tb_ops& ops) {
            Floats out(n);
            ops.silu_gate(gate.data(), up.data(), static_cast<int64_t>(n), out.data());
            Floats in_place = gate;
            ops.silu_gate(in_place.data(), up.data(), static_cast<int64_t>(n), in_place.data());
            EXPECT_EQ(in_place, out);
            return out;
        });
        for (size_t i = 0; i < n; ++i) {
            const double g = gate[i];
            const double expected = g / (1.0 + std::exp(-g)) * up[i];
            EXPECT_NEAR(y[i], expected, 4e-7 * std::abs(expected)) << n << " " << i;
        }
    }
}

TEST(Ops, SiluGateAtTheEdges) {
    const Floats gate = {0.0F, -0.0F, -100.0F, -1e30F, 100.0F, std::nanf("")};
    const Floats up(gate.size(), 2.0F);
    for (const tb_ops* ops : tables_here()) {
        Floats y(gate.size());
        ops->silu_gate(gate.data(), up.data(), static_cast<int64_t>(gate.size()), y.data());
        EXPECT_EQ(y[0], 0.0F);
        EXPECT_EQ(y[1], 0.0F);
        EXPECT_NEAR(y[2], 0.0, 1e-35);
        EXPECT_LE(y[3], 0.0F);  // e^88 is the most: -1e30 / e^88 * 2 is small still
        EXPECT_GT(y[3], -1e-7F);
        EXPECT_EQ(y[4], 200.0F);
        EXPECT_TRUE(std::isnan(y[5]));
    }
}

TEST(Ops, ExpIsCloseOverItsDomain) {
    Floats x;
    for (float v = -87.33F; v <= 88.0F; v += 0.0017F) x.push_back(v);
    for (const float v : {0.0F, -0.0F, 1.0F, -1.0F, 1e-30F, -1e-30F, 0.34657F, -0.34657F}) {
        x.push_back(v);
    }
    const Floats y = same_from_every_table("exp", [&](const tb_ops& ops) {
        Floats out(x.size());
        ops.exp(x.data(), static_cast<int64_t>(x.size()), out.data());
        return out;
    });
    double worst = 0;
    for (size_t i = 0; i < x.size(); ++i) {
        worst = std::max(worst, std::abs(double{y[i]} / std::exp(double{x[i]}) - 1.0));
    }
    EXPECT_LT(worst, 1e-7);
}

TEST(Ops, ExpAtTheEdges) {
    const float infinity = std::numeric_limits<float>::infinity();
    const Floats x = {-infinity, -1e30F, -88.0F, 0.0F, 200.0F, infinity, std::nanf("")};
    for (const tb_ops* ops : tables_here()) {
        Floats y(x.size());
        ops->exp(x.data(), static_cast<int64_t>(x.size()), y.data());
        EXPECT_EQ(y[0], 0.0F);
        EXPECT_EQ(y[1], 0.0F);
        EXPECT_EQ(y[2], 0.0F);
        EXPECT_EQ(y[3], 1.0F);
        EXPECT_NEAR(y[4] / std::exp(88.0), 1.0, 1e-6);
        EXPECT_EQ(y[5], y[4]);
        EXPECT_TRUE(std::isnan(y[6]));
    }
}

TEST(Ops, Softmax) {
    for (const size_t n : kSizes) {
        const Floats x = random_floats(n, 5, 4.0F);
        const Floats y = same_from_every_table("softmax", [&](const tb_ops& ops) {
            Floats out = x;
            ops.softmax(out.data(), static_cast<int64_t>(n));
            return out;
        });
        const double most = *std::max_element(x.begin(), x.end());
        double sum = 0;
        for (const float v : x) sum += std::exp(v - most);
        for (size_t i = 0; i < n; ++i) EXPECT_NEAR(y[i], std::exp(x[i] - most) / sum, 1e-6);
    }
}

TEST(Ops, GateAddAndTheirTails) {
    for (const size_t n : kSizes) {
        const Floats a = random_floats(n, 6);
        const Floats b = random_floats(n, 7);
        const Floats gated = same_from_every_table("relu2_gate", [&](const tb_ops& ops) {
            Floats out(n);
            ops.relu2_gate(a.data(), b.data(), static_cast<int64_t>(n), out.data());
            return out;
        });
        const Floats sum = same_from_every_table("add", [&](const tb_ops& ops) {
            Floats out = a;
            ops.add(out.data(), b.data(), static_cast<int64_t>(n));
            return out;
        });
        for (size_t i = 0; i < n; ++i) {
            const float g = std::max(a[i], 0.0F);
            EXPECT_EQ(gated[i], g * g * b[i]);
            EXPECT_EQ(sum[i], a[i] + b[i]);
        }
    }
}

}  // namespace
}  // namespace tritbench
