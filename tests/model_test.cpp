// The model: bits that do not depend on how they are computed.
// That the numbers are the right ones is shown against NumPy: tests/python.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "tests/allocation_count.h"
#include "tests/model_fixture.h"

namespace tritbench {
namespace {

using namespace test;

// Layouts of exact kernels for ternary weights that run here.
std::vector<std::string> exact_layouts() {
    std::set<std::string> layouts;
    for (const tb_kernel* kernel : all_kernels()) {
        if (kernel->exactness != TB_EXACT || !runs_here(*kernel)) continue;
        if (kernel->weight_kind != TB_WEIGHT_TERNARY) continue;  // exact for other weights
        layouts.insert(kernel->layout);
    }
    return {layouts.begin(), layouts.end()};
}

// A layout's kernels, so that layouts can be tested in parallel.
class ModelLayouts : public ModelTest, public testing::WithParamInterface<std::string> {};

INSTANTIATE_TEST_SUITE_P(Exact, ModelLayouts, testing::ValuesIn(exact_layouts()),
                         [](const auto& layout) { return layout.param; });

TEST_P(ModelLayouts, LogitsAreTheSameBitsForEveryKernelThreadsAndBatch) {
    const std::vector<int32_t> tokens = some_tokens(41, 320);
    ThreadPool one(1);
    std::map<fs::path, std::vector<float>> logits;
    int kernels = 0;
    for (const tb_kernel* kernel : all_kernels()) {
        if (kernel->layout != GetParam()) continue;
        if (kernel->exactness != TB_EXACT || !runs_here(*kernel)) continue;
        ++kernels;
        const fs::path& file = path_for(*kernel);
        std::vector<float>& expected = logits[file];
        if (expected.empty()) {
            expected = all_logits(load(file, i2s(), one), i2s(), one, tokens, 41);
            for (const float v : expected) ASSERT_TRUE(std::isfinite(v));
            EXPECT_NE(expected.front(), expected.back());
        }
        for (const int threads : {1, 2, 3}) {
            ThreadPool pool(threads);
            const auto model = load(file, *kernel, pool);
            for (const int64_t batch : {1, 2, 7, 41}) {
                EXPECT_TRUE(same_bits(all_logits(model, *kernel, pool, tokens, batch), expected))
                    << kernel->id << ", " << threads << " threads, batches of " << batch;
            }
        }
    }
    EXPECT_GE(kernels, 1);
}

// Long enough for attention and norms to be split over workers as well.
TEST_F(ModelTest, LongPromptsAreTheSameBitsOnSeveralThreads) {
    const std::vector<int32_t> tokens = some_tokens(128, 320);
    ThreadPool one(1);
    ThreadPool three(3);
    const std::vector<float> expected = all_logits(load(path, i2s(), one), i2s(), one, tokens, 1);
    for (const char* id : {"i2s_scalar", "t5r_scalar", "tl1_scalar"}) {
        const tb_kernel& kernel = *find_kernel(id);
        const auto model = load(path, kernel, three);
        EXPECT_TRUE(same_bits(all_logits(model, kernel, three, tokens, 128), expected)) << id;
        EXPECT_TRUE(same_bits(all_logits(model, kernel, three, tokens, 50), expected)) << id;
    }
}

TEST_F(ModelTest, ForwardGivesTheLastRow) {
    const std::vector<int32_t> tokens = some_tokens(20, 320);
    ThreadPool pool(2);
    const auto model = load(path, i2s(), pool);
    const std::vector<float> rows = all_logits(model, i2s(), pool, tokens, 20);
    Session session(model, i2s(), pool, 32, 8);
    const std::span<const float> expected = std::span(rows).last(320);
    EXPECT_TRUE(same_bits(session.forward(tokens), expected));
    EXPECT_EQ(session.position(), 20);

    session.reset();
    EXPECT_EQ(session.position(), 0);
    EXPECT_TRUE(same_bits(session.forward(tokens), expected));

    // What came after a truncation leaves no trace.
    session.truncate(13);
    session.forward(some_tokens(3, 100));
    session.truncate(13);
    EXPECT_EQ(session.position(), 13);
    EXPECT_TRUE(same_bits(session.forward(std::span(tokens).subspan(13)), expected));
}

TEST_F(ModelTest, SessionsOfOneModelAreIndependent) {
    const std::vector<int32_t> tokens = some_tokens(12, 320);
    ThreadPool pool(2);
    const auto model = load(path, i2s(), pool);
    const std::vector<float> rows = all_logits(model, i2s(), pool, tokens, 12);
    Session a(model, i2s(), pool, 32, 8);
    Session b(model, i2s(), pool, 16, 1);
    for (size_t i = 0; i < tokens.size(); ++i) {
        const std::span<const float> row = std::span(rows).subspan(i * 320, 320);
        EXPECT_TRUE(same_bits(a.forward(std::span(tokens).subspan(i, 1)), row));
        EXPECT_TRUE(same_bits(b.forward(std::span(tokens).subspan(i, 1)), row));
    }
}

TEST_F(ModelTest, FloatKernelsAreCloseAndTheSameAmongThemselves) {
    const std::vector<int32_t> tokens = some_tokens(9, 320);
    ThreadPool pool(2);
    const std::vector<float> exact = all_logits(load(path, i2s(), pool), i2s(), pool, tokens, 9);
    std::vector<float> first;
    for (const tb_kernel* kernel : all_kernels()) {
        if (std::string_view(kernel->layout) != "f16" || !runs_here(*kernel)) continue;
        const auto model = load(path, *kernel, pool);
        EXPECT_GT(model->packed_bytes_owned(), 0U);
        const std::vector<float> found = all_logits(model, *kernel, pool, tokens, 9);
        if (first.empty()) first = found;
        EXPECT_TRUE(same_bits(found, first)) << kernel->id;
        double error = 0;
        double size = 0;
        for (size_t i = 0; i < exact.size(); ++i) {
            error += std::pow(double{found[i]} - double{exact[i]}, 2);
            size += std::pow(double{exact[i]}, 2);
        }
        // Activations of float kernels are not quantised: near, but another model.
        EXPECT_LT(error / size, 0.02) << kernel->id;
        EXPECT_GT(error, 0.0);
    }
    EXPECT_FALSE(first.empty());
}

TEST_F(ModelTest, StaysMappedWhereTheFileHasTheLayout) {
    ThreadPool pool(2);
    const auto file = std::make_shared<const GgufFile>(path);
    uint64_t last = 0;
    uint64_t total = 0;
    const auto model = Model::load(file, i2s(), pool, [&](uint64_t done, uint64_t all) {
        EXPECT_GT(done, last);
        last = done;
        total = all;
    });
    EXPECT_EQ(last, total);
    EXPECT_EQ(model->packed_bytes_owned(), 0U);
    EXPECT_EQ(model->linear_bytes(), total);
    const ModelConfig& c = model->config();
    const auto linear = static_cast<uint64_t>(
        c.layers * c.hidden * (2 * c.hidden + 2 * c.kv_heads * c.head_dim + 3 * c.ffn));
    EXPECT_EQ(model->linear_parameters(), linear);
    EXPECT_EQ(model->linear_bytes(), linear / 4 + static_cast<uint64_t>(c.layers) * 7 * 32);
    EXPECT_EQ(model->head_bytes(), static_cast<uint64_t>(c.hidden * c.vocab * 2));
    EXPECT_EQ(model->parameters(),
              linear + static_cast<uint64_t>(c.hidden * c.vocab + c.hidden +
                                             c.layers * (3 * c.hidden + c.ffn)));
    for (const auto& [name, role, weights] : model->linears()) {
        EXPECT_EQ(weights->bytes.data(), file->find_tensor(name)->data) << name;
    }
}

TEST_F(ModelTest, CanonicalRowsAreThePackedWeights) {
    ThreadPool pool(2);
    for (const tb_kernel* kernel : all_kernels()) {
        if (kernel->weight_kind != TB_WEIGHT_TERNARY || !runs_here(*kernel)) continue;
        const auto model = load(path_for(*kernel), *kernel, pool);
        ASSERT_EQ(model->linears().size(), 14U);
        for (const auto& [name, role, w] : model->linears()) {
            const auto size = static_cast<size_t>(w->shape.n * w->shape.k);
            std::vector<int8_t> packed(size), canonical(size);
            std::vector<float> scales(size);  // of rows or blocks
            std::vector<float> scale(1);
            const tb_weights_out out{packed.data(), nullptr, w->shape.k, scales.data()};
            ASSERT_EQ(
                kernel->unpack(&w->shape, &w->tile, w->bytes.data(), 0, w->shape.n, &out).code,
                TB_OK);
            model->canonical_rows(name)(0, w->shape.n, canonical.data(), nullptr, scale.data());
            EXPECT_EQ(packed, canonical) << kernel->id << " " << name;
            EXPECT_EQ(scales[0], scale[0]) << kernel->id << " " << name;
            const auto of_value = [&](int8_t v) {
                return std::count(packed.begin(), packed.end(), v);
            };
            EXPECT_GT(of_value(-1), 0) << name;
            EXPECT_GT(of_value(0), 0) << name;
            EXPECT_GT(of_value(1), 0) << name;
            EXPECT_EQ(of_value(-1) + of_value(0) + of_value(1), std::ssize(packed)) << name;
        }
        EXPECT_THROW(model->canonical_rows("token_embd.weight"), Error);
    }
}

TEST_F(ModelTest, DecodingAllocatesNothing) {
    ThreadPool pool(2);
    const auto model = load(path, i2s(), pool);
    Session session(model, i2s(), pool, 64, 16);
    const std::vector<int32_t> tokens = some_tokens(40, 320);
    session.forward(std::span(tokens).first(16));
    const uint64_t before = test::allocations();
    for (size_t i = 16; i < 30; ++i) session.forward(std::span(tokens).subspan(i, 1));
    session.forward(std::span(tokens).subspan(30));
    EXPECT_EQ(test::allocations(), before);
}

TEST_F(ModelTest, TheObserverSeesEveryRoleBeginAndEnd) {
    struct Seen {
        std::vector<int> begun = std::vector<int>(8), ended = std::vector<int>(8);
        int open = 0, deepest = 0;
    } seen;
    Observer observer;
    observer.begin = [](void* context, Role role) {
        auto* s = static_cast<Seen*>(context);
        ++s->begun[static_cast<size_t>(role)];
        s->deepest = std::max(s->deepest, ++s->open);
    };
    observer.end = [](void* context, Role role) {
        auto* s = static_cast<Seen*>(context);
        ++s->ended[static_cast<size_t>(role)];
        --s->open;
    };
    observer.context = &seen;
    ThreadPool pool(2);
    const auto model = load(path, i2s(), pool);
    Session session(model, i2s(), pool, 16, 4);
    session.observe(observer);
    session.forward(some_tokens(7, 320));  // batches of 4 and 3
    EXPECT_EQ(seen.begun, seen.ended);
    EXPECT_EQ(seen.open, 0);
    EXPECT_EQ(seen.deepest, 1);
    const auto count = [&](Role role) { return seen.begun[static_cast<size_t>(role)]; };
    EXPECT_EQ(count(Role::Embed), 2);
    EXPECT_EQ(count(Role::Attention), 2 * 2);
    EXPECT_EQ(count(Role::Activation), 2 * 2);
    EXPECT_EQ(count(Role::Product), 2 * 2 * 4);
    EXPECT_EQ(count(Role::Prepare), 2 * 2 * 4);
    EXPECT_EQ(count(Role::Norm), 2 * 2 * 3 + 1);  // that of the FFN goes with the activation
    EXPECT_EQ(count(Role::Head), 1);
}

TEST_F(ModelTest, SessionsRefuseWhatDoesNotFit) {
    ThreadPool pool(1);
    const auto model = load(path, i2s(), pool);
    EXPECT_THROW(Session(model, i2s(), pool, 0, 1), Error);
    EXPECT_THROW(Session(model, i2s(), pool, 129, 1), Error);
    EXPECT_THROW(Session(model, i2s(), pool, 16, 0), Error);
    EXPECT_THROW(Session(model, *find_kernel("int8_scalar"), pool, 16, 4), Error);
    Session session(model, i2s(), pool, 16, 4);
    EXPECT_THROW(session.forward({}), Error);
    EXPECT_THROW(session.forward(std::vector<int32_t>{1, 320}), Error);
    EXPECT_THROW(session.forward(std::vector<int32_t>{-1}), Error);
    EXPECT_THROW(session.forward(some_tokens(17, 320)), Error);
    EXPECT_EQ(session.position(), 0);
    session.forward(some_tokens(16, 320));
    EXPECT_THROW(session.forward(some_tokens(1, 320)), Error);
    EXPECT_EQ(session.position(), 16);
    EXPECT_THROW(session.truncate(17), Error);
    EXPECT_THROW(session.truncate(-1), Error);
    std::vector<float> small(319);
    session.reset();
    EXPECT_THROW(session.forward_all(some_tokens(1, 320), small), Error);
}

}  // namespace
}  // namespace tritbench
