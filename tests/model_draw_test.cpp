// Models without a file, and windows of layers.
#include <gtest/gtest.h>

#include <string>

#include "dummy_models/source.h"
#include "model/default_plan.h"
#include "tests/model_fixture.h"

namespace tritbench {
namespace {

using namespace test;

ModelConfig with_layers(int64_t layers, bool tied = true) {
    ModelConfig c = small_config();
    c.layers = layers;
    c.tied_head = tied;
    return c;
}

DummyOptions dummy(const ModelConfig& config) {
    DummyOptions options;
    options.config = config;
    options.seed = 5;  // as generate() of the fixture
    return options;
}

LoadOptions window(int64_t distinct, int64_t run = 0) {
    LoadOptions options;
    options.window = {distinct, run};
    return options;
}

class Draw : public testing::Test {
  protected:
    std::shared_ptr<const Model> draw(const WeightSource& source, const tb_kernel& kernel,
                                      const LoadOptions& options = {}) {
        return Model::draw(source, plan_of_kernel(kernel), pool, {}, options);
    }
    std::vector<float> logits(const std::shared_ptr<const Model>& model,
                              const tb_kernel& kernel = i2s()) {
        return all_logits(model, kernel, pool, tokens, 5);
    }
    std::string draw_error(const LoadOptions& options) {
        try {
            draw(dummy_source(dummy(with_layers(3))), i2s(), options);
        } catch (const Error& e) {
            return e.what();
        }
        ADD_FAILURE() << "no error";
        return "";
    }

    ThreadPool pool{2};
    const std::vector<int32_t> tokens = some_tokens(9, small_config().vocab);
};

TEST_F(Draw, HasTheLogitsOfItsFileInEveryLayout) {
    const Folder folder;
    for (const bool tied : {true, false}) {
        const ModelConfig c = with_layers(2, tied);
        const fs::path path = folder / (tied ? "tied.gguf" : "separate.gguf");
        generate_dummy(dummy(c), path, pool);
        const std::vector<float> right = logits(load(path, i2s(), pool));
        for (const char* id : {"i2s_scalar", "i2r_scalar", "t5r_scalar", "i2c_scalar", "tl2_scalar",
                               "int8_scalar"}) {
            const tb_kernel& kernel = *find_kernel(id);
            const auto drawn = draw(dummy_source(dummy(c)), kernel);
            EXPECT_TRUE(same_bits(logits(drawn, kernel), right)) << id;
            EXPECT_EQ(drawn->parameters(), load(path, i2s(), pool)->parameters());
        }
    }
}

TEST_F(Draw, PacksTheHeadAsLoadingDoes) {
    const Folder folder;
    const fs::path path = generate_for_blocks(folder);
    ModelConfig c = small_config();
    c.hidden = 256;
    c.ffn = 512;
    c.head_dim = 64;
    DummyOptions options = dummy(c);
    options.seed = 8;
    LoadOptions q6;
    q6.head = "q6_k";
    const auto loaded =
        Model::load(std::make_shared<const GgufFile>(path), plan_of_kernel(i2s()), pool, {}, q6);
    const auto drawn = draw(dummy_source(options), i2s(), q6);
    EXPECT_EQ(drawn->head_format(), "q6_k");
    EXPECT_EQ(drawn->head_bytes(), loaded->head_bytes());
    // The fixture rounded the scales in its file: only the size of the difference is bounded.
    const std::vector<float> a = logits(loaded), b = logits(drawn);
    for (size_t i = 0; i < a.size(); ++i) EXPECT_NEAR(a[i], b[i], 0.5) << i;
}

TEST_F(Draw, HasCanonicalRowsToProveProductsWith) {
    const auto model = draw(dummy_source(dummy(with_layers(2))), i2s());
    const RowProvider rows = model->canonical_rows("blk.1.ffn_down.weight");
    std::vector<int8_t> trits(448 * 2);
    float scale = 0;
    rows(3, 5, trits.data(), nullptr, &scale);
    EXPECT_GT(scale, 0.0F);
    const Folder folder;
    const GgufFile file(generate(folder, with_layers(2)));
    std::vector<int8_t> right(448 * 2);
    StoredMatrix(file, *file.find_tensor("blk.1.ffn_down.weight"))
        .trits(3, 5, right.data(), nullptr);
    EXPECT_EQ(trits, right);
}

// Layers of the model that a window stands for: those of layer i % distinct.
WeightSource repeated(const WeightSource& source, int64_t distinct) {
    WeightSource out = source;
    const auto first = [distinct](const std::string& name) {
        if (!name.starts_with("blk.")) return name;
        const size_t dot = name.find('.', 4);
        return "blk." + std::to_string(std::stoll(name.substr(4)) % distinct) + name.substr(dot);
    };
    out.rows = [=](const std::string& name) { return source.rows(first(name)); };
    out.vector = [=](const std::string& name, int64_t size) {
        return source.vector(first(name), size);
    };
    return out;
}

TEST_F(Draw, WindowVisitsItsLayersInTurn) {
    const WeightSource source = dummy_source(dummy(with_layers(5)));
    const Folder folder;
    const auto file = std::make_shared<const GgufFile>(generate(folder, with_layers(5)));
    for (const int64_t distinct : {1, 2, 3}) {
        const std::vector<float> right = logits(draw(repeated(source, distinct), i2s()));
        const auto drawn = draw(source, i2s(), window(distinct));
        EXPECT_TRUE(same_bits(logits(drawn), right)) << distinct;
        const auto loaded = Model::load(file, plan_of_kernel(i2s()), pool, {}, window(distinct));
        EXPECT_TRUE(same_bits(logits(loaded), right)) << distinct;
        EXPECT_EQ(drawn->layers_distinct(), distinct);
        EXPECT_EQ(drawn->layers_run(), 5);
        EXPECT_EQ(drawn->linears().size(), static_cast<size_t>(7 * distinct));
    }
    EXPECT_FALSE(same_bits(logits(draw(source, i2s())), logits(draw(source, i2s(), window(2)))));
}

TEST_F(Draw, WindowCountsTheBytesThatAreVisitedAndTheParametersOfTheModel) {
    const WeightSource source = dummy_source(dummy(with_layers(6)));
    const auto all = draw(source, i2s());
    const auto some = draw(source, i2s(), window(2));
    EXPECT_EQ(some->linear_bytes(), all->linear_bytes());
    EXPECT_EQ(some->parameters(), all->parameters());
    EXPECT_LT(some->packed_bytes_owned(), all->packed_bytes_owned());
    const auto half = draw(source, i2s(), window(1, 3));
    EXPECT_EQ(half->linear_bytes(), all->linear_bytes() / 2);
    EXPECT_EQ(half->parameters(), all->parameters());
}

TEST_F(Draw, FewerLayersAreTheModelThatHasNoMore) {
    const auto cut = draw(dummy_source(dummy(with_layers(5))), i2s(), window(3, 3));
    const auto small = draw(dummy_source(dummy(with_layers(3))), i2s());
    EXPECT_TRUE(same_bits(logits(cut), logits(small)));
}

TEST_F(Draw, RefusesWindowsThatTheModelDoesNotHave) {
    EXPECT_NE(draw_error(window(4)).find("a window of 4 layers; expected 1 to 3"),
              std::string::npos);
    EXPECT_NE(draw_error(window(1, 4)).find("4 layers to run; expected 1 to 3"), std::string::npos);
    EXPECT_NE(draw_error(window(3, 2)).find("a window of 3 layers; expected 1 to 2"),
              std::string::npos);
    EXPECT_NE(draw_error(window(-1)).find("a window of -1"), std::string::npos);
}

TEST(DefaultPlan, OfAConfigIsThatOfItsFile) {
    const Folder folder;
    const ModelConfig c = with_layers(2);
    const GgufFile file(generate(folder, c));
    for (const uint64_t cache : {uint64_t{0}, uint64_t{1} << 30}) {
        EXPECT_EQ(plan_text(default_plan_of_config(c, cache)),
                  plan_text(default_plan(file, {}, cache)));
    }
}

}  // namespace
}  // namespace tritbench
