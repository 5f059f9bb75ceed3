// Plans: what their files say, and models that run with them.
#include "model/plan.h"

#include <gtest/gtest.h>

#include <fstream>
#include <set>
#include <string>
#include <vector>

#include "kernels/api/registry.h"
#include "model/default_plan.h"
#include "tests/model_fixture.h"
#include "tests/model_formats.h"
#include "tests/temporary_folder.h"

namespace tritbench {
namespace {

using namespace test;

constexpr const char* kTwoLayers = R"(version = 1
threads = 2

[[layer]]
role = "ffn_down"
shape = "64x96"
layout = "i2r"
  [[layer.call]]
  batch = 1
  kernel = "i2r_scalar"
  [[layer.call]]
  kernel = "i2r_scalar"

[[layer]]
layout = "tl1"
  [[layer.call]]
  kernel = "tl1_scalar"
  tile = "BM=64"
)";

std::string error_of(const std::string& text) {
    const TemporaryFolder folder;
    const fs::path file = folder.write("p.toml", text);
    try {
        read_plan(file);
    } catch (const Error& e) {
        const std::string message = e.what();
        EXPECT_EQ(message.find('\n'), std::string::npos) << message;
        EXPECT_TRUE(message.starts_with(file.string() + ":")) << message;
        return message.substr(file.string().size() + 1);
    }
    ADD_FAILURE() << "taken: " << text;
    return {};
}

TEST(Plan, SaysWhatItsFileSays) {
    const TemporaryFolder folder;
    const Plan plan = read_plan(folder.write("mine.toml", kTwoLayers));
    EXPECT_EQ(plan.name, "mine");
    EXPECT_EQ(plan.threads, 2);
    ASSERT_EQ(plan.layers.size(), 2U);
    const PlanLayer* down = plan.find("ffn_down", {64, 96});
    ASSERT_EQ(down, &plan.layers[0]);
    EXPECT_EQ(down->layout, "i2r");
    ASSERT_EQ(down->calls.size(), 2U);
    EXPECT_EQ(down->calls[0].batch, 1);
    EXPECT_EQ(&call_for(down->calls, 1), &down->calls[0]);
    EXPECT_EQ(&call_for(down->calls, 2), &down->calls[1]);
    EXPECT_EQ(plan.find("ffn_down", {64, 128}), &plan.layers[1]);
    EXPECT_EQ(plan.find("attn_q", {64, 96}), &plan.layers[1]);
    const PlanCall& tl1 = plan.layers[1].calls[0];
    EXPECT_NE(tile_name(*tl1.kernel, tl1.tile).find("BM=64"), std::string::npos);
    EXPECT_EQ(kernel_name(plan, 1), "mixed");
}

TEST(Plan, TextIsTheInverseOfReading) {
    const TemporaryFolder folder;
    const Plan plan = read_plan(folder.write("a.toml", kTwoLayers));
    const std::string text = plan_text(plan);
    const Plan again = read_plan(folder.write("b.toml", text));
    EXPECT_EQ(plan_text(again), text);
    EXPECT_EQ(again.threads, 2);
    ASSERT_EQ(again.layers.size(), 2U);
    EXPECT_EQ(again.layers[0].role, "ffn_down");
    EXPECT_EQ(again.layers[0].shape.k, 96);
    EXPECT_EQ(again.layers[0].calls[0].batch, 1);
    EXPECT_EQ(again.layers[1].calls[0].tile.value[0], plan.layers[1].calls[0].tile.value[0]);
}

TEST(Plan, MistakesAreNamedWithTheirLine) {
    const std::string layer = "version = 1\n[[layer]]\n";
    const std::string call = "[[layer.call]]\nkernel = \"i2s_scalar\"\n";
    const std::pair<std::string, std::string> cases[] = {
        {"versio = 1\n" + layer, "1: "},
        {"layer = 3\nversion = 2\n", "2: version: expected 1"},
        {"version = 1\n", "no [[layer]]"},
        {"version = 1\nlayer = [1]\n", "2: layer: expected tables"},
        {"version = 1\nthreads = \"two\"\n" + call, "2: threads: expected a whole number"},
        {layer + "role = \"ffn\"\n" + call, "3: role 'ffn': expected one of attn_q"},
        {layer + "shape = \"64\"\n" + call, "3: shape '64': expected NxK"},
        {layer + "shape = \"0x64\"\n" + call, "3: shape '0x64'"},
        {layer + "shape = \"64x64x\"\n" + call, "3: shape '64x64x'"},
        {layer + "layuot = \"i2s\"\n" + call, "3: unknown key 'layuot' in [[layer]]"},
        {layer + "layout = \"i2r\"\n" + call, "kernel i2s_scalar reads layout i2s; expected i2r"},
        {layer, "2: a layer without [[layer.call]]"},
        {layer + "[[layer.call]]\nkernel = \"i2z\"\n", "3: kernel 'i2z': there is none"},
        {layer + "[[layer.call]]\n", "3: kernel '': there is none"},
        {layer + call + "tile = \"BM=3\"\n", "5: "},
        {layer + call + "batch = 4\n", "3: the last call has a batch"},
        {layer + call + "batch = 0\n", "5: batch: expected a whole number"},
        {layer + call + call, "5: batch: expected ascending"},
        {layer + call + "batch = 4\n" + call + "batch = 4\n" + call, "6: batch: expected asc"},
        {layer + "[[layer.call]]\nbatch = 1\nkernel = \"tl1_scalar\"\ntile = \"BM=64\"\n"
                 "[[layer.call]]\nkernel = \"tl1_scalar\"\ntile = \"BM=128\"\n",
         "7: tile: packs the weights differently"},
        {"version = 1\n[[layer\n", "expected a plan (TOML)"},
    };
    for (const auto& [text, expected] : cases) {
        const std::string message = error_of(text);
        EXPECT_NE(message.find(expected), std::string::npos) << text << "\n-> " << message;
    }
    EXPECT_THROW(read_plan("/no/such/plan.toml"), Error);
}

TEST(Plan, NotesAreNotLookedAt) {
    const TemporaryFolder folder;
    const std::string text = std::string(kTwoLayers) + "[notes]\nanything = [1, 2]\n";
    EXPECT_EQ(read_plan(folder.write("p.toml", text)).layers.size(), 2U);
}

class PlannedModel : public ModelTest {
  protected:
    static PlanLayer one(const std::string& role, std::vector<PlanCall> calls) {
        return {role, {}, calls.front().kernel->layout, std::move(calls)};
    }
    static PlanCall call(const char* id, int64_t batch = 0) {
        const tb_kernel& kernel = *find_kernel(id);
        return {batch, &kernel, default_tile(kernel)};
    }
    // Every role in a layout of its own, kernels that change with the batch.
    static Plan mixed() {
        Plan plan;
        plan.name = "mixed";
        plan.layers = {one("attn_q", {call("i2r_scalar")}),
                       one("attn_k", {call("i2s_scalar")}),
                       one("ffn_gate", {call("tl1_scalar")}),
                       one("ffn_up", {call("tl2_scalar")}),
                       one("ffn_down", {call("t3r_scalar", 2), call("t3r_scalar")}),
                       one("", {call("t5r_scalar")})};
        return plan;
    }

    ThreadPool pool{2};
};

TEST_F(PlannedModel, LogitsAreTheSameBitsWhateverThePlan) {
    const std::vector<int32_t> tokens = some_tokens(9, 320);
    const std::vector<float> expected = all_logits(load(path, i2s(), pool), i2s(), pool, tokens, 9);
    const auto file = std::make_shared<const GgufFile>(path);
    std::set<std::string_view> layouts;
    for (const Plan& plan : {mixed(), default_plan(*file, {}, 0),
                             default_plan(*file, {}, uint64_t{1} << 40), stored_plan(*file)}) {
        const auto model = Model::load(file, plan, pool);
        layouts.insert(model->layout());
        for (const int64_t batch : {1, 2, 9}) {
            Session session(model, plan, pool, {9, batch, 1, CacheType::F16});
            std::vector<float> logits(expected.size());
            session.forward_all(tokens, logits);
            EXPECT_TRUE(same_bits(logits, expected)) << plan.name << ", batches of " << batch;
        }
    }
    EXPECT_TRUE(layouts.contains("mixed"));
    EXPECT_TRUE(layouts.contains("i2s"));
}

TEST_F(PlannedModel, EachLayerIsInTheLayoutOfItsRole) {
    const auto model = Model::load(std::make_shared<const GgufFile>(path), mixed(), pool);
    for (const auto& [name, role, weights] : model->linears()) {
        EXPECT_EQ(weights->kernel->layout, mixed().find(role, weights->shape)->layout) << name;
    }
}

TEST_F(PlannedModel, APlanMustFitTheModel) {
    Plan partial = mixed();
    partial.layers.pop_back();
    const auto file = std::make_shared<const GgufFile>(path);
    EXPECT_THROW(Model::load(file, partial, pool), Error);
    const auto model = Model::load(file, mixed(), pool);
    EXPECT_THROW(Session(model, partial, pool, {4, 4, 1, CacheType::F16}), Error);
    EXPECT_THROW(Session(model, plan_of_kernel(i2s()), pool, {4, 4, 1, CacheType::F16}), Error);
}

// The head is of the file's own layout; a plan may choose its kernel, not its layout.
TEST_F(PlannedModel, AnOutputLayerOfAnotherLayoutDoesNotConcernTheHead) {
    Plan plan = plan_of_kernel(i2s());
    plan.layers.insert(plan.layers.begin(), one("output", {call("int8_scalar")}));
    const auto model = Model::load(std::make_shared<const GgufFile>(path), plan, pool);
    Session session(model, plan, pool, {4, 4, 1, CacheType::F16});
    EXPECT_EQ(session.forward(some_tokens(3, 320)).size(), 320U);
}

// Our own layouts hold one scale a tensor: rows with scales of their own stay as they are stored.
TEST_F(PlannedModel, TheDefaultKeepsWhatOnlyTheStoredLayoutHolds) {
    const fs::path file =
        store_linears(generate_for_blocks(folder), folder / "rows.gguf", "iq2_bn");
    const auto default_layout = [&] {
        const auto opened = std::make_shared<const GgufFile>(file);
        const Plan plan = default_plan(*opened, {}, 0);
        return std::string(Model::load(opened, plan, pool)->layout());
    };
    const std::string of_one_scale = default_layout();
    uint64_t at = 0;
    {
        const GgufFile opened(file);
        const GgufTensor& tensor = *opened.find_tensor("blk.0.ffn_down.weight");
        at = tensor.file_offset + tensor.bytes / static_cast<uint64_t>(tensor.ne[1]);
    }
    const float scale = 3.0F;  // of row 1, at the beginning of its bytes
    std::fstream out(file, std::ios::in | std::ios::out | std::ios::binary);
    out.seekp(static_cast<std::streamoff>(at));
    out.write(reinterpret_cast<const char*>(&scale), sizeof scale);
    out.close();
    EXPECT_EQ(default_layout(), "iq2_bn");
    const bool has_vectors = best_kernel_of_layout("i2r")->isa != std::string_view("scalar");
    EXPECT_EQ(of_one_scale == "iq2_bn", !has_vectors);
}

TEST_F(PlannedModel, SeveralSequencesStepTogetherAsEachAlone) {
    const auto model = load(path, i2s(), pool);
    const Plan plan = plan_of_kernel(i2s());
    constexpr int64_t kSequences = 3;
    for (const CacheType cache : {CacheType::F16, CacheType::F32}) {
        // The second batch size is smaller than the number of sequences would need.
        for (const int64_t batch : {8, 2}) {
            Session together(model, plan, pool, {16, batch, kSequences, cache});
            std::vector<std::vector<float>> alone;
            std::vector<std::vector<int32_t>> texts;
            for (int64_t s = 0; s < kSequences; ++s) {
                const auto count = static_cast<size_t>(2 + 3 * s);  // each at another depth
                std::vector<int32_t> text = some_tokens(count + 4, 320);
                text[0] = static_cast<int32_t>(s);
                together.forward(std::span(text).first(count), s);
                Session one(model, plan, pool, {16, batch, 1, cache});
                alone.emplace_back(text.size() * 320);
                one.forward_all(text, alone.back());
                texts.push_back(text);
            }
            for (size_t step = 0; step < 4; ++step) {
                std::vector<int32_t> next;
                for (size_t s = 0; s < texts.size(); ++s)
                    next.push_back(texts[s][2 + 3 * s + step]);
                const std::span<const float> logits = together.step(next);
                ASSERT_EQ(logits.size(), 320U * kSequences);
                for (size_t s = 0; s < texts.size(); ++s) {
                    const size_t row = 2 + 3 * s + step;
                    EXPECT_TRUE(same_bits(logits.subspan(s * 320, 320),
                                          std::span(alone[s]).subspan(row * 320, 320)))
                        << "sequence " << s << ", step " << step;
                    EXPECT_EQ(together.position(static_cast<int64_t>(s)),
                              static_cast<int64_t>(row + 1));
                }
            }
        }
    }
}

TEST_F(PlannedModel, SequencesOutOfRangeAreRefused) {
    const auto model = load(path, i2s(), pool);
    const Plan plan = plan_of_kernel(i2s());
    Session session(model, plan, pool, {4, 4, 2, CacheType::F16});
    const std::vector<int32_t> tokens = some_tokens(4, 320);
    EXPECT_THROW(session.forward(tokens, 2), Error);
    EXPECT_THROW(session.forward(tokens, -1), Error);
    EXPECT_THROW(session.step(some_tokens(3, 320)), Error);
    EXPECT_THROW(session.step({}), Error);
    EXPECT_THROW(Session(model, plan, pool, {4, 4, 0, CacheType::F16}), Error);
    session.forward(tokens, 1);
    EXPECT_THROW(session.step(some_tokens(2, 320)), Error);  // the second one is full
    EXPECT_EQ(session.position(0), 0);
    EXPECT_EQ(session.position(1), 4);
    session.truncate(1, 1);
    EXPECT_EQ(session.position(1), 1);
    session.reset();
    EXPECT_EQ(session.position(1), 0);
}

}  // namespace
}  // namespace tritbench
