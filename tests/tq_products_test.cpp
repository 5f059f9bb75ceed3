// Products of llama.cpp's ternary types: Q8_K by hand, both forms against the oracle, and the bound
// of the published one. Axes: N rows of W, K columns, M tokens.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <string>
#include <vector>

#include "harness/verify/random_data.h"
#include "kernels/api/half.h"
#include "kernels/api/prepared_q8k.h"
#include "kernels/api/registry.h"
#include "kernels/reference/oracle.h"
#include "model/aligned_buffer.h"

namespace tritbench {
namespace {

using Floats = std::vector<float>;
using Trits = std::vector<int8_t>;

bool published(const tb_kernel& k) {
    return k.activation_kind == TB_ACT_INT8_BLOCK;
}

std::vector<const tb_kernel*> kernels() {
    std::vector<const tb_kernel*> found;
    for (const tb_kernel* k : match_kernels("tq1_0_*,tq2_0_*")) {
        if (runs_here(*k)) found.push_back(k);
    }
    return found;
}

Trits random_trits(int64_t count, uint64_t seed) {
    RandomStream random(seed);
    Trits trits(static_cast<size_t>(count));
    for (int8_t& t : trits) t = static_cast<int8_t>(random.below(3) - 1);
    return trits;
}

Floats random_floats(int64_t count, uint64_t seed) {
    RandomStream random(seed);
    Floats x(static_cast<size_t>(count));
    for (float& v : x) v = random.uniform() * std::exp(4 * random.uniform());
    return x;
}

// ---- Q8_K, by hand from quantize_row_q8_K_ref --------------------------------------------------

struct Q8k {
    std::vector<int8_t> q;
    Floats scale;
    std::vector<int32_t> sums;
};

Q8k q8k_of(const Floats& x) {
    const tb_shape shape{1, static_cast<int64_t>(x.size())};
    AlignedBuffer prepared(tb_q8k_prepared_size(&shape, nullptr, 1));
    const float unused = 0;
    const tb_activations act{1, shape.k, x.data(), &unused, nullptr, nullptr};
    EXPECT_EQ(tb_q8k_prepare(&shape, nullptr, &act, 0, 1, 0, shape.k, prepared.data()).code, TB_OK);
    const tb_q8k_batch b = tb_q8k_open(&shape, prepared.data(), 1);
    return {{b.q, b.q + b.kp}, {b.scale, b.scale + b.blocks}, {b.sums, b.sums + b.blocks}};
}

// The largest, here 2, becomes -127: iscale = -127 / 2 = -63.5, and the scale is negative.
TEST(Q8K, GoldenBlockOfAPositiveMaximum) {
    Floats x(256, 0.0F);
    x[0] = 1;      // -63.5: halves go to even
    x[1] = -1;     // 63.5
    x[2] = 0.25F;  // -15.875
    x[3] = 2;
    x[4] = -2;         // 127
    x[255] = -0.625F;  // 39.6875
    const Q8k found = q8k_of(x);
    std::vector<int8_t> expected(256, 0);
    expected[0] = -64;
    expected[1] = 64;
    expected[2] = -16;
    expected[3] = -127;
    expected[4] = 127;
    expected[255] = 40;
    EXPECT_EQ(found.q, expected);
    EXPECT_EQ(found.scale[0], 1 / -63.5F);
    EXPECT_EQ(found.sums[0], 24);
}

// A negative maximum makes the scale positive; of two of one magnitude the first decides.
TEST(Q8K, GoldenBlockOfANegativeMaximum) {
    Floats x(512, 0.0F);
    x[7] = -2;
    x[8] = 2;
    x[9] = 1;  // 63.5
    x[256] = 2;
    x[257] = -2;
    const Q8k found = q8k_of(x);
    EXPECT_EQ(found.scale, (Floats{1 / 63.5F, 1 / -63.5F}));
    EXPECT_EQ(found.q[7], -127);
    EXPECT_EQ(found.q[8], 127);
    EXPECT_EQ(found.q[9], 64);
    EXPECT_EQ(found.q[256], -127);
}

// Blocks have maxima of their own; one of zeros has the scale 0, and no infinity comes of it.
TEST(Q8K, BlocksStandAloneAndZerosAreZero) {
    Floats x(768, 0.0F);
    x[0] = 1000;
    x[512] = 1e-3F;
    const Q8k found = q8k_of(x);
    EXPECT_EQ(found.q[0], -127);
    EXPECT_EQ(found.scale[1], 0);
    EXPECT_EQ(std::count(found.q.begin() + 256, found.q.begin() + 512, 0), 256);
    EXPECT_EQ(found.q[512], -127);
    EXPECT_EQ(found.sums, (std::vector<int32_t>{-127, 0, -127}));
}

// From floats nothing is beyond +-127.
TEST(Q8K, AgreesWithTheOracleWithin127) {
    for (uint64_t seed = 1; seed <= 50; ++seed) {
        const Floats x = random_floats(1024, seed);
        std::vector<int8_t> q(1024);
        Floats dx(4);
        reference::quantise_q8k(x.data(), 1024, q.data(), dx.data());
        const Q8k found = q8k_of(x);
        ASSERT_EQ(found.q, q);
        ASSERT_EQ(found.scale, dx);
        ASSERT_GE(*std::min_element(q.begin(), q.end()), -127);
    }
}

// ---- products ----------------------------------------------------------------------------------

// One product: W with a scale, and activations as floats or, for extremes, as given int8.
struct Case {
    tb_shape shape;
    int64_t m;
    Trits trits;
    float scale;
    Floats x;       // [M][K], or
    Trits q;        // [M][K] with
    Floats scales;  // [M]
};

template <class Value>
std::vector<Value> multiply(const tb_kernel& k, const Case& c, const void* packed = nullptr) {
    const tb_shape& s = c.shape;
    AlignedBuffer bytes(k.packed_size(&s, nullptr)), prepared(k.prepared_size(&s, nullptr, c.m));
    AlignedBuffer scratch(k.scratch_size(&s, nullptr, c.m) + 64);
    const Floats of_blocks(static_cast<size_t>(s.n * s.k / 256), c.scale);
    const tb_weights w{c.trits.data(), nullptr, s.k, of_blocks.data()};
    EXPECT_EQ(k.pack(&s, nullptr, &w, 0, s.n, bytes.data()).code, TB_OK);
    Floats most(static_cast<size_t>(c.m), 0);
    for (size_t i = 0; i < c.x.size(); ++i) {
        float& of_token = most[i / static_cast<size_t>(s.k)];
        of_token = std::max(of_token, std::fabs(c.x[i]));
    }
    const bool floats = c.q.empty();
    const tb_activations act{c.m,
                             s.k,
                             floats ? c.x.data() : nullptr,
                             most.data(),
                             floats ? nullptr : c.q.data(),
                             c.scales.data()};
    EXPECT_EQ(k.prepare(&s, nullptr, &act, 0, c.m, 0, s.k, prepared.data()).code, TB_OK);
    std::vector<Value> result(static_cast<size_t>(c.m * s.n), -7);
    tb_product p{};
    p.shape = s;
    p.packed = packed == nullptr ? bytes.data() : packed;
    p.prepared = prepared.data();
    p.m = c.m;
    p.n_end = s.n;
    p.ldy = s.n;
    p.scratch = scratch.data();
    if constexpr (std::is_same_v<Value, float>) {
        p.y = result.data();
        k.gemm(&p);
    } else {
        p.acc = result.data();
        k.accumulate(&p);
    }
    return result;
}

Case random_case(tb_shape shape, int64_t m, uint64_t seed) {
    return {shape,
            m,
            random_trits(shape.n * shape.k, seed),
            0.0421F,
            random_floats(m * shape.k, seed + 1),
            {},
            {}};
}

// y of the oracle.
float expected(const tb_kernel& k, const Case& c, int64_t n, int64_t m) {
    const int64_t columns = c.shape.k, blocks = columns / 256;
    const int8_t* trits = c.trits.data() + n * columns;
    const float* x = c.x.data() + m * columns;
    std::vector<int8_t> q(static_cast<size_t>(columns));
    Floats dx(static_cast<size_t>(blocks));
    const float stored = reference::nearest_half(c.scale);
    if (!published(k)) {
        reference::quantise_row(x, columns, q.data(), dx.data());
        return reference::exact_output(reference::dot(trits, q.data(), columns), dx[0], stored);
    }
    reference::quantise_q8k(x, columns, q.data(), dx.data());
    Floats d(static_cast<size_t>(blocks), stored);
    for (int64_t b = 0; b < blocks; ++b) {  // a block of zeros has none
        const int8_t* of = trits + b * 256;
        if (std::count(of, of + 256, 0) == 256) d[static_cast<size_t>(b)] = 0;
    }
    return reference::dot_q8k(trits, d.data(), q.data(), dx.data(), columns);
}

// Rows that no four divide, batches on both sides of eight, one block and enough of them for every
// place in which sums are widened (4, 10 and 63 steps).
TEST(TQ, EveryFormEqualsTheOracle) {
    for (const tb_kernel* k : kernels()) {
        for (const tb_shape shape : {tb_shape{1, 256}, tb_shape{7, 512}, tb_shape{33, 1280},
                                     tb_shape{9, 2816}, tb_shape{66, 3328}}) {
            for (const int64_t m : {1, 3, 8, 9, 13}) {
                const Case c = random_case(shape, m, static_cast<uint64_t>(shape.k + m));
                const Floats y = multiply<float>(*k, c);
                for (int64_t i = 0; i < m * shape.n; ++i) {
                    ASSERT_EQ(y[static_cast<size_t>(i)], expected(*k, c, i % shape.n, i / shape.n))
                        << k->id << " N " << shape.n << " K " << shape.k << " M " << m << " i "
                        << i;
                }
            }
        }
    }
}

// All weights and all activations of one sign, -128 among them: 12 blocks are more than any file
// adds in 16 bits.
TEST(TQ, SumsOfOneSignAreRight) {
    const tb_shape shape{5, 12 * 256};
    for (const tb_kernel* k : kernels()) {
        for (const int8_t weight : {int8_t{-1}, int8_t{1}}) {
            for (const int8_t value : {int8_t{-128}, int8_t{127}}) {
                for (const int64_t m : {int64_t{1}, int64_t{9}}) {
                    const Case c{shape,
                                 m,
                                 Trits(static_cast<size_t>(shape.n * shape.k), weight),
                                 1,
                                 {},
                                 Trits(static_cast<size_t>(m * shape.k), value),
                                 Floats(static_cast<size_t>(m), 1.0F)};
                    const int32_t sum = weight * value * 12 * 256;
                    for (const float y : multiply<float>(*k, c)) {
                        ASSERT_EQ(y, static_cast<float>(sum)) << k->id;
                    }
                    if (published(*k)) continue;
                    for (const int32_t acc : multiply<int32_t>(*k, c)) ASSERT_EQ(acc, sum) << k->id;
                }
            }
        }
    }
}

// A row of W, a token, a block of W and a block of a token that are all zero: no infinity, no NaN.
TEST(TQ, ZerosGiveZeros) {
    for (const tb_kernel* k : kernels()) {
        for (const int64_t m : {int64_t{2}, int64_t{10}}) {
            Case c = random_case({6, 768}, m, 3);
            std::fill_n(c.trits.begin() + 768, 768, int8_t{0});      // row 1
            std::fill_n(c.trits.begin() + 2 * 768, 256, int8_t{0});  // row 2, its first block
            std::fill_n(c.trits.begin() + 3 * 768 + 512, 256, int8_t{0});
            std::fill_n(c.x.begin(), 768, 0.0F);  // token 0
            std::fill_n(c.x.begin() + 768 + 256, 256, 0.0F);
            const Floats y = multiply<float>(*k, c);
            for (int64_t i = 0; i < m * 6; ++i) {
                const float found = y[static_cast<size_t>(i)];
                ASSERT_TRUE(found == 0 || (i >= 6 && i % 6 != 1)) << k->id << " " << i;
                ASSERT_EQ(found, expected(*k, c, i % 6, i / 6)) << k->id << " " << i;
            }
        }
    }
}

// The promise of the published form: within bound * sum |w||x| of the product in real numbers of
// weights as stored and activations as quantised.
TEST(TQ, ThePublishedFormKeepsItsBound) {
    const tb_shape shape{4, 16384};
    for (const tb_kernel* k : kernels()) {
        if (!published(*k)) {
            EXPECT_EQ(k->bound, 0) << k->id;
            continue;
        }
        const Case c = random_case(shape, 1, 11);
        const Q8k x = q8k_of(c.x);
        const double d = static_cast<double>(reference::nearest_half(c.scale));
        const Floats y = multiply<float>(*k, c);
        for (int64_t n = 0; n < shape.n; ++n) {
            double value = 0, magnitude = 0;
            for (int64_t i = 0; i < shape.k; ++i) {
                const auto at = static_cast<size_t>(i);
                const double term = d * c.trits[static_cast<size_t>(n * shape.k + i)] * x.q[at] *
                                    static_cast<double>(x.scale[at / 256]);
                value += term;
                magnitude += std::fabs(term);
            }
            const double error = static_cast<double>(y[static_cast<size_t>(n)]) - value;
            EXPECT_LE(std::fabs(error), k->bound * magnitude) << k->id;
            EXPECT_LE(std::fabs(error), 66 * 0x1p-24 * magnitude) << k->id;  // 64 blocks
        }
        const tb_shape most{1, 1 << 20}, more{1, (1 << 20) + 256};  // for which the bound holds
        EXPECT_EQ(k->accepts(&most, nullptr).code, TB_OK);
        EXPECT_EQ(k->accepts(&more, nullptr).code, TB_BAD_SHAPE);
    }
}

// A file of llama.cpp may have blocks with scales of their own, which is not b1.58: the published
// form multiplies each with its own, as llama.cpp does.
TEST(TQ, ThePublishedFormTakesTheScaleOfEveryBlock) {
    for (const tb_kernel* k : kernels()) {
        if (!published(*k)) continue;
        for (const int64_t m : {int64_t{1}, int64_t{9}}) {
            const Case c = random_case({5, 1024}, m, 17);
            std::vector<uint8_t> bytes(k->packed_size(&c.shape, nullptr));
            const Floats scales(20, 1.0F);
            const tb_weights w{c.trits.data(), nullptr, 1024, scales.data()};
            ASSERT_EQ(k->pack(&c.shape, nullptr, &w, 0, 5, bytes.data()).code, TB_OK);
            Floats d(20);
            const size_t size = bytes.size() / 20;
            for (size_t b = 0; b < 20; ++b) {
                d[b] = 0.25F * static_cast<float>(b) - 1;
                const uint16_t half = tb_float_to_half(d[b]);
                std::memcpy(bytes.data() + (b + 1) * size - 2, &half, sizeof half);
            }
            const Floats y = multiply<float>(*k, c, bytes.data());
            for (int64_t i = 0; i < 5 * m; ++i) {
                const int64_t n = i % 5;
                std::vector<int8_t> q(1024);
                Floats dx(4);
                reference::quantise_q8k(c.x.data() + i / 5 * 1024, 1024, q.data(), dx.data());
                ASSERT_EQ(y[static_cast<size_t>(i)],
                          reference::dot_q8k(c.trits.data() + n * 1024, d.data() + 4 * n, q.data(),
                                             dx.data(), 1024))
                    << k->id << " " << i;
            }
        }
    }
}

}  // namespace
}  // namespace tritbench
