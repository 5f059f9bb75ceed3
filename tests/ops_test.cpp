// The operations beside matrix products: the same bits from every ISA, and right.
#include "kernels/api/ops.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <vector>

#include "kernels/api/cpu.h"
#include "kernels/api/half.h"

namespace tritbench {
namespace {

using Floats = std::vector<float>;

Floats random_floats(size_t count, uint32_t seed, float size = 1.0F) {
    std::mt19937 random(seed);
    std::normal_distribution<float> normal(0.0F, size);
    Floats out(count);
    for (float& v : out) v = normal(random);
    return out;
}

std::vector<const tb_ops*> tables_here() {
    std::vector<const tb_ops*> out;
    for (const tb_ops* ops : all_ops()) {
        if ((ops->features & ~allowed_features()) == 0) out.push_back(ops);
    }
    return out;
}

// Runs `compute` with every table; all must give the bits of the first, which is returned.
template <class Compute>
Floats same_from_every_table(const char* what, Compute compute) {
    Floats first;
    for (const tb_ops* ops : tables_here()) {
        const Floats found = compute(*ops);
        if (first.empty()) first = found;
        EXPECT_EQ(std::memcmp(found.data(), first.data(), found.size() * sizeof(float)), 0)
            << what << " differs on " << ops->isa;
    }
    return first;
}

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

TEST(Ops, EveryHalfBecomesItsFloat) {
    Floats y(65536);
    for (size_t i = 0; i < y.size(); ++i) y[i] = tb_half_to_float(static_cast<uint16_t>(i));
    for (size_t i = 0; i < y.size(); ++i) {
        const int exponent = static_cast<int>(i >> 10 & 31);
        const int mantissa = static_cast<int>(i & 1023);
        const double sign = (i & 0x8000) != 0 ? -1.0 : 1.0;
        if (exponent == 31) {
            EXPECT_EQ(std::isnan(y[i]), mantissa != 0);
            EXPECT_EQ(std::isinf(y[i]), mantissa == 0);
            EXPECT_EQ(std::signbit(y[i]), sign < 0);
        } else {
            const double expected = exponent == 0 ? std::ldexp(mantissa, -24)
                                                  : std::ldexp(1024 + mantissa, exponent - 25);
            EXPECT_EQ(y[i], sign * expected) << i;
        }
    }
}

struct AttentionCase {
    int64_t heads, kv_heads, dim, position, tokens;

    int64_t row() const { return (dim + 15) / 16 * 16; }
    int64_t rows() const { return (position + tokens + 15) / 16 * 16; }
    size_t q_size() const { return static_cast<size_t>(tokens * heads * dim); }
    size_t cache_size() const { return static_cast<size_t>(kv_heads * rows() * row()); }

    // Random rows up to the last position; junk, but finite, in rows not yet written.
    Floats cache(uint32_t seed) const {
        Floats out = random_floats(cache_size(), seed);
        for (size_t i = 0; i < out.size(); ++i) {
            if (static_cast<int64_t>(i) % row() >= dim) out[i] = 0.0F;
            if (static_cast<int64_t>(i) / row() % rows() >= position + tokens) out[i] *= 1e6F;
        }
        return out;
    }

    // Computes it in pieces of `token_step` tokens and `head_step` heads.
    Floats run(const tb_ops& ops, const Floats& q, const Floats& k, const Floats& v,
               int64_t token_step, int64_t head_step) const {
        Floats out(q_size(), std::nanf(""));
        Floats scratch(static_cast<size_t>(tb_attention_scratch(dim, position + tokens)) + 16,
                       std::nanf(""));
        auto address = reinterpret_cast<uintptr_t>(scratch.data());
        address = (address + 63) / 64 * 64;
        tb_attention a{};
        a.q = q.data();
        a.q_stride = a.out_stride = heads * dim;
        a.k = k.data();
        a.v = v.data();
        a.head_stride = rows() * row();
        a.row_stride = row();
        a.heads = heads;
        a.kv_heads = kv_heads;
        a.head_dim = dim;
        a.position = position;
        a.scale = 1.0F / std::sqrt(static_cast<float>(dim));
        a.out = out.data();
        a.scratch = reinterpret_cast<float*>(address);
        for (int64_t t = 0; t < tokens; t += token_step) {
            for (int64_t h = 0; h < heads; h += head_step) {
                a.token_begin = t;
                a.token_end = std::min(t + token_step, tokens);
                a.head_begin = h;
                a.head_end = std::min(h + head_step, heads);
                ops.attention(&a);
            }
        }
        return out;
    }

    double expected(const Floats& q, const Floats& k, const Floats& v, int64_t t, int64_t h,
                    int64_t d) const {
        const int64_t base = h / (heads / kv_heads) * rows() * row();
        std::vector<double> scores;
        for (int64_t j = 0; j <= position + t; ++j) {
            double dot = 0;
            for (int64_t i = 0; i < dim; ++i) {
                dot += double{q[static_cast<size_t>((t * heads + h) * dim + i)]} *
                       double{k[static_cast<size_t>(base + j * row() + i)]};
            }
            scores.push_back(dot / std::sqrt(static_cast<double>(dim)));
        }
        const double most = *std::max_element(scores.begin(), scores.end());
        double sum = 0;
        double value = 0;
        for (size_t j = 0; j < scores.size(); ++j) {
            const double p = std::exp(scores[j] - most);
            sum += p;
            value += p * v[static_cast<size_t>(base + static_cast<int64_t>(j) * row() + d)];
        }
        return value / sum;
    }
};

class Attention : public testing::TestWithParam<AttentionCase> {};

TEST_P(Attention, IsRightAndTheSameFromEveryTableAndSplit) {
    const AttentionCase& c = GetParam();
    const Floats q = random_floats(c.q_size(), 8);
    const Floats k = c.cache(9);
    const Floats v = c.cache(10);
    const Floats whole = same_from_every_table("attention", [&](const tb_ops& ops) {
        const Floats out = c.run(ops, q, k, v, c.tokens, c.heads);
        for (const int64_t tokens : {1, 3}) {
            for (const int64_t heads : {1, 2, 3}) {
                const Floats parts = c.run(ops, q, k, v, tokens, heads);
                EXPECT_EQ(std::memcmp(parts.data(), out.data(), out.size() * sizeof(float)), 0)
                    << ops.isa << ", pieces of " << tokens << " tokens, " << heads << " heads";
            }
        }
        return out;
    });
    for (int64_t t = 0; t < c.tokens; t += 2) {
        for (int64_t h = 0; h < c.heads; ++h) {
            for (int64_t d = 0; d < c.dim; d += 5) {
                EXPECT_NEAR(whole[static_cast<size_t>((t * c.heads + h) * c.dim + d)],
                            c.expected(q, k, v, t, h, d), 2e-6)
                    << t << " " << h << " " << d;
            }
        }
    }
}

INSTANTIATE_TEST_SUITE_P(Shapes, Attention,
                         testing::Values(AttentionCase{4, 2, 64, 0, 1},      // the first token
                                         AttentionCase{4, 2, 64, 0, 37},     // prefill
                                         AttentionCase{4, 1, 48, 5, 9},      // one KV head
                                         AttentionCase{6, 2, 100, 130, 3},   // dims % 16 = 4
                                         AttentionCase{3, 3, 120, 63, 2},    // no grouping
                                         AttentionCase{20, 5, 128, 200, 1},  // decode of 2B-4T
                                         AttentionCase{2, 1, 2, 15, 18}));

}  // namespace
}  // namespace tritbench
