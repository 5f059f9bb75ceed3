// Attention over a cache of halves or floats: the same bits from every ISA, split and type of
// cache, and right.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "kernels/api/half.h"
#include "tests/ops_fixture.h"

namespace tritbench {
namespace {

// Keys or values as floats that halves hold exactly, and as those halves.
struct CachePlane {
    Floats floats;
    std::vector<uint16_t> halves;

    const void* of(tb_cache_type type) const {
        return type == TB_CACHE_F16 ? static_cast<const void*>(halves.data()) : floats.data();
    }
};

struct AttentionCase {
    int64_t heads, kv_heads, dim, position, tokens;

    int64_t row() const { return (dim + 15) / 16 * 16; }
    int64_t rows() const { return (position + tokens + 15) / 16 * 16; }
    size_t q_size() const { return static_cast<size_t>(tokens * heads * dim); }
    size_t cache_size() const { return static_cast<size_t>(kv_heads * rows() * row()); }

    // Random rows up to the last position; junk, but finite, in rows not yet written.
    CachePlane cache(uint32_t seed) const {
        CachePlane out{random_floats(cache_size(), seed), std::vector<uint16_t>(cache_size())};
        for (size_t i = 0; i < out.floats.size(); ++i) {
            if (static_cast<int64_t>(i) % row() >= dim) out.floats[i] = 0.0F;
            if (static_cast<int64_t>(i) / row() % rows() >= position + tokens) {
                out.floats[i] *= 1e4F;
            }
            out.halves[i] = tb_float_to_half(out.floats[i]);
            out.floats[i] = tb_half_to_float(out.halves[i]);
        }
        return out;
    }

    // Computes it in pieces of `token_step` tokens and `head_step` heads.
    Floats run(const tb_ops& ops, const Floats& q, const CachePlane& k, const CachePlane& v,
               tb_cache_type type, int64_t token_step, int64_t head_step) const {
        Floats out(q_size(), std::nanf(""));
        Floats scratch(static_cast<size_t>(tb_attention_scratch(dim, position + tokens)) + 16,
                       std::nanf(""));
        tb_attention a{};
        a.q = q.data();
        a.q_stride = a.out_stride = heads * dim;
        a.k = k.of(type);
        a.v = v.of(type);
        a.cache_type = type;
        a.head_stride = rows() * row();
        a.row_stride = row();
        a.heads = heads;
        a.kv_heads = kv_heads;
        a.head_dim = dim;
        a.position = position;
        a.scale = 1.0F / std::sqrt(static_cast<float>(dim));
        a.out = out.data();
        a.scratch = aligned64(scratch);
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

// The table, the split into rectangles and the type of the cache are all free.
TEST_P(Attention, IsRightAndTheSameFromEveryTableSplitAndCache) {
    const AttentionCase& c = GetParam();
    const Floats q = random_floats(c.q_size(), 8);
    const CachePlane k = c.cache(9);
    const CachePlane v = c.cache(10);
    const Floats whole = same_from_every_table("attention", [&](const tb_ops& ops) {
        const Floats out = c.run(ops, q, k, v, TB_CACHE_F32, c.tokens, c.heads);
        for (const tb_cache_type type : {TB_CACHE_F16, TB_CACHE_F32}) {
            for (const int64_t tokens : {int64_t{1}, int64_t{3}, int64_t{16}, c.tokens}) {
                for (const int64_t heads : {int64_t{1}, int64_t{2}, int64_t{3}, c.heads}) {
                    const Floats parts = c.run(ops, q, k, v, type, tokens, heads);
                    EXPECT_EQ(std::memcmp(parts.data(), out.data(), out.size() * sizeof(float)), 0)
                        << ops.isa << ", pieces of " << tokens << " tokens, " << heads
                        << " heads, cache type " << type;
                }
            }
        }
        return out;
    });
    for (int64_t t = 0; t < c.tokens; t += 2) {
        for (int64_t h = 0; h < c.heads; ++h) {
            for (int64_t d = 0; d < c.dim; d += 5) {
                EXPECT_NEAR(whole[static_cast<size_t>((t * c.heads + h) * c.dim + d)],
                            c.expected(q, k.floats, v.floats, t, h, d), 2e-6)
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
                                         AttentionCase{8, 2, 128, 20, 33},   // its prefill
                                         AttentionCase{2, 1, 2, 15, 18}));
// As many heads to a KV head as there are ways through the tiles, and head sizes that are odd.
INSTANTIATE_TEST_SUITE_P(
    Groups, Attention,
    testing::Values(AttentionCase{2, 2, 17, 30, 2}, AttentionCase{4, 2, 31, 33, 2},
                    AttentionCase{6, 2, 80, 31, 3}, AttentionCase{10, 2, 49, 65, 2},
                    AttentionCase{6, 1, 96, 64, 3}, AttentionCase{14, 2, 128, 95, 2},
                    AttentionCase{7, 1, 1, 1, 20}, AttentionCase{8, 1, 64, 96, 17}));

// What is wrong with a key or a value that a token sees must not get lost on the way; others do not
// see it.
TEST(AttentionEdges, NanAndInfinityReachTheResult) {
    const AttentionCase c{4, 1, 32, 40, 3};
    const Floats q = random_floats(c.q_size(), 8);
    for (const tb_ops* ops : tables_here()) {
        for (const tb_cache_type type : {TB_CACHE_F16, TB_CACHE_F32}) {
            for (const uint16_t bad : {0x7e00, 0x7c00, 0xfc00}) {
                for (const bool in_key : {true, false}) {
                    CachePlane k = c.cache(9);
                    CachePlane v = c.cache(10);
                    CachePlane& plane = in_key ? k : v;
                    const auto at = static_cast<size_t>(41 * c.row() + 3);  // that of token 1
                    plane.halves[at] = bad;
                    plane.floats[at] = tb_half_to_float(bad);
                    const Floats out = c.run(*ops, q, k, v, type, 1, c.heads);
                    const auto finite = [&](int64_t token) {
                        const float* row = out.data() + token * c.heads * c.dim;
                        return std::all_of(row, row + c.heads * c.dim,
                                           [](float f) { return std::isfinite(f); });
                    };
                    EXPECT_TRUE(finite(0)) << ops->isa;
                    // A key that is infinitely unlike a query is only not looked at.
                    if (!in_key || bad == 0x7e00) {
                        EXPECT_FALSE(finite(1)) << ops->isa;
                        EXPECT_FALSE(finite(2)) << ops->isa;
                    }
                }
            }
        }
    }
}

}  // namespace
}  // namespace tritbench
