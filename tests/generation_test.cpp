// Generation: what a session holds already, padded vocabularies, the timing line.
#include "harness/generation.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "tests/model_fixture.h"

namespace tritbench {
namespace {

using namespace test;

constexpr int64_t kContext = 64;

// A small model with the vocabulary of the tests, and so many tokens more.
class GenerationTest : public testing::Test {
  protected:
    std::shared_ptr<const Model> model(int64_t padding) {
        ModelConfig config = small_config();
        config.vocab = tokenizer->size() + padding;
        return load(generate(folder, config), i2s(), pool);
    }

    // The text that was shown.
    static std::string answer(Generation& generation, std::span<const int32_t> tokens,
                              int64_t most) {
        std::string text;
        generation.answer(tokens, most, [&](std::string_view piece) { text += piece; });
        return text;
    }

    static SamplerOptions greedy() {
        SamplerOptions options;
        options.temperature = 0;
        return options;
    }

    Folder folder;
    ThreadPool pool{2};
    std::unique_ptr<const Tokenizer> tokenizer = Tokenizer::load(
        GgufFile(fs::path(TRITBENCH_SOURCE_DIR) / "tests/data/vocabularies/small-bpe.gguf"),
        nullptr);
    std::vector<int32_t> prompt = tokenizer->encode("The old man", false);
};

TEST_F(GenerationTest, OnlyWhatTheSessionDoesNotHoldIsComputed) {
    Session session(model(0), i2s(), pool, kContext, kContext);
    Sampler sampler(greedy());
    Generation generation(session, *tokenizer, sampler, kContext);
    const auto size = static_cast<int64_t>(prompt.size());
    const std::string text = answer(generation, prompt, 5);
    EXPECT_FALSE(text.empty());
    EXPECT_EQ(generation.times().prompt_tokens, size);
    EXPECT_EQ(generation.times().token_ns.size(), 4U);
    EXPECT_EQ(session.position(), size + 4);
    // The same again: the last token of the prompt, for its logits.
    EXPECT_EQ(answer(generation, prompt, 5), text);
    EXPECT_EQ(generation.times().prompt_tokens, size + 1);
    // Another end: from there on.
    std::vector<int32_t> other = prompt;
    other.back() = other.back() == 5 ? 6 : 5;
    answer(generation, other, 5);
    EXPECT_EQ(generation.times().prompt_tokens, size + 2);
    EXPECT_EQ(answer(generation, prompt, 5), text);
}

TEST_F(GenerationTest, ThePenaltyCountsThePrompt) {
    const auto shared = model(0);
    Session session(shared, i2s(), pool, kContext, kContext);
    // The most likely token after the prompt, once it is part of the prompt.
    Sampler sampler(greedy());
    const int32_t likely = sampler.next(session.forward(prompt));
    std::vector<int32_t> tokens = prompt;
    tokens.insert(tokens.begin(), likely);
    session.reset();
    Sampler plain(greedy());
    Generation without(session, *tokenizer, plain, kContext);
    const std::string most_likely = answer(without, tokens, 1);
    SamplerOptions options = greedy();
    options.repeat_penalty = 1e6F;
    Sampler penalised(options);
    session.reset();
    Generation with(session, *tokenizer, penalised, kContext);
    EXPECT_NE(answer(with, tokens, 1), most_likely);
}

TEST_F(GenerationTest, TokensBeyondTheVocabularyAreNeverChosen) {
    Session session(model(4000), i2s(), pool, kContext, kContext);
    SamplerOptions options;
    options.temperature = 5;  // the padding is most of the probability
    options.top_k = 0;
    options.top_p = 1;
    options.min_p = 0;
    for (options.seed = 0; options.seed < 10; ++options.seed) {
        Sampler sampler(options);
        Generation generation(session, *tokenizer, sampler, kContext);
        session.reset();
        EXPECT_NO_THROW(answer(generation, prompt, 10));
    }
}

TEST_F(GenerationTest, PromptsThatDoNotFitAreNotBegun) {
    Session session(model(0), i2s(), pool, kContext, kContext);
    Sampler sampler(greedy());
    Generation generation(session, *tokenizer, sampler, kContext);
    const std::vector<int32_t> tokens(kContext + 1, prompt.front());
    const auto unexpected = [](std::string_view) { FAIL(); };
    EXPECT_EQ(generation.answer(tokens, 5, unexpected), StopReason::ContextFull);
    EXPECT_EQ(session.position(), 0);
    EXPECT_THROW(generation.answer({}, 5, unexpected), Error);
}

TEST(GenerationTimesText, RatesAndPercentiles) {
    GenerationTimes times;
    EXPECT_EQ(times.text(12'345'678), "prefill 0 tokens; decode 0 tokens; peak memory 12.3 MB");
    times.prompt_tokens = 12;
    times.prompt_ns = 400'000'000;
    for (int i = 1; i <= 100; ++i) times.token_ns.push_back(i * 1e6);
    EXPECT_EQ(times.text(1'234'567'890),
              "prefill 12 tokens, 30.00 tokens/s; decode 100 tokens, 19.80 tokens/s, ms per token "
              "p50 50.00 p90 90.00 p99 99.00; peak memory 1.23 GB");
}

}  // namespace
}  // namespace tritbench
