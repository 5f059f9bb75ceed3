// The door to the kernels: whatever the split over threads, tokens and columns, the same bits.
#include "model/bitlinear.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <stdexcept>
#include <string_view>
#include <vector>

#include "kernels/api/error.h"
#include "kernels/api/prepared_int8.h"
#include "kernels/api/registry.h"
#include "kernels/reference/oracle.h"

namespace tritbench {
namespace {

struct Problem {
    tb_shape shape;
    int64_t m;
    float scale = 19.0F / 512;  // formats that store it as a half hold it
    std::vector<int8_t> trits;
    std::vector<float> x;

    Problem(int64_t n, int64_t k, int64_t tokens, uint32_t seed = 1) : shape{n, k}, m(tokens) {
        std::mt19937 random(seed);
        std::uniform_int_distribution<int> trit(-1, 1);
        std::normal_distribution<float> normal;
        trits.resize(static_cast<size_t>(n * k));
        x.resize(static_cast<size_t>(m * k));
        for (int8_t& t : trits) t = static_cast<int8_t>(trit(random));
        for (float& v : x) v = normal(random);
    }

    RowProvider provider() const {
        return [this](int64_t begin, int64_t end, int8_t* t, float* values, float* scales) {
            scales[0] = scale;
            for (int64_t i = begin * shape.k; i < end * shape.k; ++i) {
                const int8_t trit = trits[static_cast<size_t>(i)];
                const int64_t at = i - begin * shape.k;
                if (t != nullptr) t[at] = trit;
                if (values != nullptr) values[at] = static_cast<float>(trit) * scale;
            }
        };
    }

    // y of an exact kernel, from the oracle.
    std::vector<float> expected() const {
        std::vector<float> y(static_cast<size_t>(m * shape.n));
        std::vector<int8_t> q(static_cast<size_t>(shape.k));
        for (int64_t t = 0; t < m; ++t) {
            float dx = 0;
            reference::quantise_row(x.data() + t * shape.k, shape.k, q.data(), &dx);
            for (int64_t n = 0; n < shape.n; ++n) {
                y[static_cast<size_t>(t * shape.n + n)] = reference::exact_output(
                    reference::dot(trits.data() + n * shape.k, q.data(), shape.k), dx, scale);
            }
        }
        return y;
    }
};

std::vector<float> product(ThreadPool& pool, const tb_kernel& kernel, const Problem& p) {
    const tb_tile tile = default_tile(kernel);
    const PackedWeights weights = pack_weights(pool, kernel, tile, p.shape, p.provider());
    PreparedBatch batch;
    batch.prepare(pool, kernel, tile, p.shape, p.x.data(), p.m, p.shape.k);
    ProductScratch scratch;
    std::vector<float> y(static_cast<size_t>(p.m * p.shape.n), std::nanf(""));
    multiply(pool, kernel, weights, batch, scratch, y.data(), p.shape.n);
    return y;
}

template <class T>
bool same_bits(const std::vector<T>& a, const std::vector<T>& b) {
    return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0;
}

class EveryKernel : public testing::TestWithParam<const tb_kernel*> {
  protected:
    void SetUp() override {
        const std::string why = why_not_here(*GetParam());
        if (!why.empty()) GTEST_SKIP() << why;
    }
    // The shape, or the next larger one that the kernel's format can hold.
    Problem problem(int64_t n, int64_t k, int64_t m, uint32_t seed = 1) const {
        const tb_kernel& kernel = *GetParam();
        const tb_tile tile = default_tile(kernel);
        tb_shape shape{n, tb_round_up(k, kernel.k_multiple)};
        if (kernel.accepts(&shape, &tile).code != TB_OK) {
            shape.n = tb_round_up(n, kernel.pack_row_step(&shape, &tile));
        }
        return {shape.n, shape.k, m, seed};
    }
};

TEST_P(EveryKernel, EqualsTheOracleThroughEverySplit) {
    const tb_kernel& kernel = *GetParam();
    int checked = 0;
    for (const auto& [n, k, m] :
         {std::tuple{64, 128, 1}, {37, 160, 5}, {24, 64, 33}, {5, 1152, 2}, {24, 512, 33}}) {
        const Problem p = problem(n, k, m);
        ThreadPool one(1);
        const std::vector<float> y = product(one, kernel, p);
        if (kernel.exactness == TB_EXACT && kernel.weight_kind == TB_WEIGHT_TERNARY) {
            EXPECT_TRUE(same_bits(y, p.expected())) << p.shape.n << "x" << p.shape.k << " m " << m;
            ++checked;
        }
        for (const int threads : {2, 3, 5}) {
            ThreadPool pool(threads);
            EXPECT_TRUE(same_bits(product(pool, kernel, p), y))
                << n << "x" << k << " m " << m << " threads " << threads;
            ++checked;
        }
    }
    EXPECT_GT(checked, 0);
}

// K so long that one token is prepared by several workers, each a range of columns.
TEST_P(EveryKernel, PreparesTheSameBytesWhenSplitOverColumns) {
    const tb_kernel& kernel = *GetParam();
    for (const int64_t m : {1, 2, 7}) {
        Problem p = problem(1, 40000, m, 7);
        for (const int64_t at : {int64_t{0}, p.shape.k - 1}) {
            p.x[static_cast<size_t>(at)] = 9.5F;  // the maximum in the first, in the last part
            const tb_tile tile = default_tile(kernel);
            const size_t bytes = kernel.prepared_size(&p.shape, &tile, m);
            std::vector<std::vector<std::byte>> found;
            for (const int threads : {1, 2, 3, 5}) {
                ThreadPool pool(threads);
                PreparedBatch batch;
                batch.prepare(pool, kernel, tile, p.shape, p.x.data(), m, p.shape.k);
                EXPECT_EQ(batch.m(), m);
                const auto* data = static_cast<const std::byte*>(batch.data());
                found.emplace_back(data, data + bytes);
                EXPECT_TRUE(same_bits(found.back(), found.front())) << threads << " threads";
            }
            p.x[static_cast<size_t>(at)] = 0.0F;
        }
    }
}

TEST_P(EveryKernel, PacksWhatItUnpacks) {
    const tb_kernel& kernel = *GetParam();
    const Problem p = problem(300, 1216, 1);  // several chunks of rows for several workers
    const tb_tile tile = default_tile(kernel);
    std::vector<std::byte> first;
    for (const int threads : {1, 2, 3}) {
        ThreadPool pool(threads);
        const PackedWeights w = pack_weights(pool, kernel, tile, p.shape, p.provider());
        ASSERT_EQ(w.bytes.size(), kernel.packed_size(&p.shape, &tile));
        const std::vector<std::byte> bytes(w.bytes.begin(), w.bytes.end());
        if (first.empty()) first = bytes;
        EXPECT_EQ(bytes, first) << threads << " threads";
        const PackedWeights view = view_packed(kernel, tile, p.shape, w.bytes);
        EXPECT_EQ(view.bytes.data(), w.bytes.data());
        EXPECT_EQ(view.storage.size(), 0U);
        if (kernel.weight_kind != TB_WEIGHT_TERNARY) continue;
        std::vector<int8_t> trits(p.trits.size());
        std::vector<float> scales(p.trits.size(), 0.0F);  // of rows or blocks
        const tb_weights_out out{trits.data(), nullptr, p.shape.k, scales.data()};
        ASSERT_EQ(kernel.unpack(&p.shape, &tile, w.bytes.data(), 0, p.shape.n, &out).code, TB_OK);
        EXPECT_EQ(trits, p.trits);
        EXPECT_EQ(scales[0], p.scale);
    }
}

TEST_P(EveryKernel, GivesIntegerSums) {
    const tb_kernel& kernel = *GetParam();
    const Problem p = problem(37, 160, 5);
    const tb_tile tile = default_tile(kernel);
    ThreadPool pool(3);
    const PackedWeights weights = pack_weights(pool, kernel, tile, p.shape, p.provider());
    PreparedBatch batch;
    ProductScratch scratch;
    std::vector<int8_t> q(p.x.size());
    std::vector<float> q_scale(static_cast<size_t>(p.m), 0.5F);
    for (size_t i = 0; i < q.size(); ++i)
        q[i] = static_cast<int8_t>(static_cast<int>(i % 256) - 128);
    batch.prepare_int8(pool, kernel, tile, p.shape, q.data(), q_scale.data(), p.m, p.shape.k);
    std::vector<int32_t> acc(static_cast<size_t>(p.m * p.shape.n), -12345678);
    if (kernel.exactness != TB_EXACT) {
        EXPECT_THROW(accumulate(pool, kernel, weights, batch, scratch, acc.data(), p.shape.n),
                     Error);
        return;
    }
    accumulate(pool, kernel, weights, batch, scratch, acc.data(), p.shape.n);
    // The largest weight of a row of int8 is stored as 127.
    const int32_t unit = kernel.weight_kind == TB_WEIGHT_TERNARY ? 1 : 127;
    for (int64_t m = 0; m < p.m; ++m) {
        for (int64_t n = 0; n < p.shape.n; ++n) {
            EXPECT_EQ(acc[static_cast<size_t>(m * p.shape.n + n)],
                      unit * reference::dot(p.trits.data() + n * p.shape.k,
                                            q.data() + m * p.shape.k, p.shape.k));
        }
    }
}

TEST_P(EveryKernel, SeveralProductsOfOneBatchEqualOneByOne) {
    const tb_kernel& kernel = *GetParam();
    const Problem a(64, 256, 3, 1);
    const Problem b(16, 256, 3, 2);
    const tb_tile tile = default_tile(kernel);
    ThreadPool pool(2);
    const PackedWeights wa = pack_weights(pool, kernel, tile, a.shape, a.provider());
    const PackedWeights wb = pack_weights(pool, kernel, tile, b.shape, b.provider());
    PreparedBatch batch;
    batch.prepare(pool, kernel, tile, a.shape, a.x.data(), a.m, a.shape.k);
    ProductScratch scratch;
    std::vector<float> ya(64 * 3), yb(16 * 3), za(64 * 3), zb(16 * 3);
    multiply(pool, kernel, wa, batch, scratch, ya.data(), 64);
    multiply(pool, kernel, wb, batch, scratch, yb.data(), 16);
    const Product both[] = {{&wa, za.data(), 64}, {&wb, zb.data(), 16}};
    multiply_all(pool, kernel, both, batch, scratch);
    EXPECT_TRUE(same_bits(ya, za));
    EXPECT_TRUE(same_bits(yb, zb));
}

// As a model file is, which all kernels of its layout map.
TEST_P(EveryKernel, TakesWeightsThatAnotherKernelOfTheLayoutPacked) {
    const tb_kernel& kernel = *GetParam();
    const Problem p = problem(64, 256, 3);
    const tb_tile tile = default_tile(kernel);
    const std::vector<float> expected = [&] {
        ThreadPool pool(2);
        return product(pool, kernel, p);
    }();
    for (const tb_kernel* packer : all_kernels()) {
        if (std::string_view(packer->layout) != kernel.layout || !runs_here(*packer)) continue;
        ThreadPool pool(2);
        const PackedWeights w =
            pack_weights(pool, *packer, default_tile(*packer), p.shape, p.provider());
        PreparedBatch batch;
        batch.prepare(pool, kernel, tile, p.shape, p.x.data(), p.m, p.shape.k);
        ProductScratch scratch;
        std::vector<float> y(expected.size(), std::nanf(""));
        multiply(pool, kernel, w, batch, scratch, y.data(), p.shape.n);
        EXPECT_TRUE(same_bits(y, expected)) << packer->id;
    }
}

TEST_P(EveryKernel, ErrorsNameKernelAndShape) {
    const tb_kernel& kernel = *GetParam();
    const Problem p(64, 256, 1);
    const tb_tile tile = default_tile(kernel);
    ThreadPool pool(2);
    const PackedWeights weights = pack_weights(pool, kernel, tile, p.shape, p.provider());
    try {
        view_packed(kernel, tile, p.shape, weights.bytes.first(weights.bytes.size() - 1));
        ADD_FAILURE() << "a short buffer was taken";
    } catch (const Error& e) {
        const std::string text = e.what();
        EXPECT_NE(text.find(kernel.id), std::string::npos) << text;
        EXPECT_NE(text.find("N=64, K=256"), std::string::npos) << text;
    }
    if (kernel.weight_kind == TB_WEIGHT_TERNARY) {
        const RowProvider wrong = [](int64_t begin, int64_t end, int8_t* t, float*, float* s) {
            s[0] = 1.0F;
            std::fill(t, t + (end - begin) * 256, int8_t{2});
        };
        EXPECT_THROW(pack_weights(pool, kernel, tile, p.shape, wrong), Error);
    }
    const RowProvider broken = [](int64_t, int64_t, int8_t*, float*, float*) {
        throw Error("the provider's own message");
    };
    EXPECT_THROW(pack_weights(pool, kernel, tile, p.shape, broken), Error);
    EXPECT_THROW(pack_weights(pool, kernel, tile, {0, 256}, p.provider()), Error);
}

std::string kernel_name(const testing::TestParamInfo<const tb_kernel*>& info) {
    return info.param->id;
}

INSTANTIATE_TEST_SUITE_P(Registry, EveryKernel,
                         testing::ValuesIn(all_kernels().begin(), all_kernels().end()),
                         kernel_name);

TEST(Bitlinear, RefusesActivationsThatAreNotFinite) {
    const tb_kernel& kernel = *find_kernel("i2s_scalar");
    const tb_tile tile = default_tile(kernel);
    for (const auto& [k, m] : {std::pair<int64_t, int64_t>{128, 1}, {40000, 1}, {20000, 5}}) {
        for (const int threads : {1, 2}) {
            ThreadPool pool(threads);
            Problem p(1, k, m);
            p.x[static_cast<size_t>(m * k / 2)] = std::numeric_limits<float>::infinity();
            PreparedBatch batch;
            EXPECT_THROW(batch.prepare(pool, kernel, tile, p.shape, p.x.data(), m, p.shape.k),
                         Error);
        }
    }
}

// A caller who knows the maxima gets the same bytes, and is held to them being finite.
TEST(Bitlinear, PreparesWithMaximaThatAreGiven) {
    for (const char* id : {"i2s_scalar", "q8_0_scalar", "f32_scalar"}) {
        const tb_kernel& kernel = *find_kernel(id);
        const tb_tile tile = default_tile(kernel);
        for (const auto& [k, m] : {std::pair<int64_t, int64_t>{128, 1}, {40960, 1}, {20480, 5}}) {
            for (const int threads : {1, 2}) {
                ThreadPool pool(threads);
                const Problem p(1, k, m);
                std::vector<float> absmax(static_cast<size_t>(m));
                for (size_t i = 0; i < p.x.size(); ++i) {
                    float& most = absmax[i / static_cast<size_t>(k)];
                    most = std::max(most, std::abs(p.x[i]));
                }
                PreparedBatch found;
                PreparedBatch expected;
                found.prepare(pool, kernel, tile, p.shape, p.x.data(), m, k, absmax.data());
                expected.prepare(pool, kernel, tile, p.shape, p.x.data(), m, k);
                EXPECT_EQ(std::memcmp(found.data(), expected.data(),
                                      kernel.prepared_size(&p.shape, &tile, m)),
                          0)
                    << id << " " << k << " " << m << " " << threads;
                for (const float bad : {std::numeric_limits<float>::infinity(), std::nanf("")}) {
                    absmax.back() = bad;
                    EXPECT_THROW(
                        found.prepare(pool, kernel, tile, p.shape, p.x.data(), m, k, absmax.data()),
                        Error);
                }
            }
        }
    }
}

TEST(Bitlinear, RefusesWeightsOfAnotherLayout) {
    const tb_kernel& i2s = *find_kernel("i2s_scalar");
    const tb_kernel& int8 = *find_kernel("int8_scalar");
    const Problem p(64, 128, 1);
    ThreadPool pool(1);
    const PackedWeights weights =
        pack_weights(pool, int8, default_tile(int8), p.shape, p.provider());
    PreparedBatch batch;
    batch.prepare(pool, i2s, default_tile(i2s), p.shape, p.x.data(), 1, p.shape.k);
    ProductScratch scratch;
    std::vector<float> y(64);
    EXPECT_THROW(multiply(pool, i2s, weights, batch, scratch, y.data(), 64), Error);
}

}  // namespace
}  // namespace tritbench
