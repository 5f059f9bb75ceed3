// What observers beside the timeline count.
#include "harness/model_observers.h"

#include <gtest/gtest.h>

#include "tests/model_fixture.h"

namespace tritbench {
namespace {

using namespace test;

int64_t hand_set_now = 0;
int64_t hand_set_clock() {
    return hand_set_now;
}

TEST(OutsideLayers, CountsEmbeddingAndHeadOnly) {
    OutsideLayers outside(hand_set_clock);
    const Observer o = outside.observer();
    const auto role = [&](Role r, int64_t ns) {
        o.begin(o.context, r);
        hand_set_now += ns;
        o.end(o.context, r);
    };
    role(Role::Embed, 7);
    role(Role::Product, 1000);
    role(Role::Norm, 500);
    role(Role::Head, 40);
    EXPECT_EQ(outside.total(), 47);
    EXPECT_EQ(outside.take(), 47);
    EXPECT_EQ(outside.take(), 0);
    role(Role::Head, 3);
    EXPECT_EQ(outside.take(), 3);
}

class Skipped : public testing::Test {
  protected:
    // Of the weights of a product of `rows` (each [K]) with a kernel.
    double share(const char* id, const std::vector<std::vector<int8_t>>& rows) {
        const tb_kernel& kernel = *find_kernel(id);
        const tb_tile tile = default_tile(kernel);
        const auto k = static_cast<int64_t>(rows.front().size());
        const tb_shape shape{256, k};
        const PackedWeights weights =
            pack_weights(pool, kernel, tile, shape,
                         [&](int64_t begin, int64_t end, int8_t* trits, float*, float* scales) {
                             std::fill(trits, trits + (end - begin) * k, int8_t{1});
                             scales[0] = 1;
                         });
        std::vector<int8_t> q;
        for (const auto& row : rows) q.insert(q.end(), row.begin(), row.end());
        const std::vector<float> scales(rows.size(), 1.0F);
        PreparedBatch x;
        const auto m = static_cast<int64_t>(rows.size());
        x.reserve(kernel, tile, shape, m);
        x.prepare_int8(pool, kernel, tile, shape, q.data(), scales.data(), m, k);
        SkippedWeights skipped;
        const Observer o = skipped.observer();
        o.input(o.context, kernel, weights, x);
        return skipped.bytes() / static_cast<double>(weights.bytes.size());
    }

    ThreadPool pool{1};
};

TEST_F(Skipped, AreTheColumnsThatNoTokenNeeds) {
    std::vector<int8_t> a(128, 0), b(128, 0);
    for (size_t k = 0; k < 32; ++k) a[k] = static_cast<int8_t>(k + 1);
    for (size_t k = 16; k < 48; ++k) b[k] = -3;
    EXPECT_DOUBLE_EQ(share("i2c_scalar", {a}), 96.0 / 128);
    EXPECT_DOUBLE_EQ(share("i2c_scalar", {a, b}), 80.0 / 128);
    EXPECT_DOUBLE_EQ(share("i2c_scalar", {std::vector<int8_t>(128, 1)}), 0);
}

TEST_F(Skipped, AreNoneOfAKernelThatReadsEverything) {
    EXPECT_DOUBLE_EQ(share("i2r_scalar", {std::vector<int8_t>(128, 0)}), 0);
}

TEST_F(Skipped, AreCountedInAModelForTheLayersOfThatKernel) {
    const Folder folder;
    const auto file = std::make_shared<const GgufFile>(generate(folder, small_config()));
    const tb_kernel& kernel = *find_kernel("i2c_scalar");
    const auto model = Model::load(file, kernel, pool);
    Session session(model, kernel, pool, 8, 8);
    SkippedWeights skipped;
    session.observe(skipped.observer());
    session.forward(some_tokens(1, small_config().vocab));
    double down = 0;
    for (const auto& linear : model->linears()) {
        if (linear.role == "ffn_down") down += static_cast<double>(linear.weights->bytes.size());
    }
    // Half to nine tenths of the input of ffn_down are zeros, and few of the other inputs.
    EXPECT_GT(skipped.bytes(), 0.4 * down);
    EXPECT_LT(skipped.bytes(), 0.5 * static_cast<double>(model->linear_bytes()));
}

}  // namespace
}  // namespace tritbench
