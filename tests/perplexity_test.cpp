// Perplexity: the arithmetic on numbers by hand, the chunks against logits computed another way.
#include "model/perplexity.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <string>
#include <vector>

#include "tests/model_fixture.h"

namespace tritbench {
namespace {

using namespace test;

TEST(NegativeLogLikelihood, EqualsTheDefinition) {
    const std::vector<float> logits = {0.5F, -1.25F, 2.0F, 0.0F};
    const double sum = std::exp(0.5) + std::exp(-1.25) + std::exp(2.0) + 1;
    for (const int32_t token : {0, 1, 2, 3}) {
        const double p = std::exp(double{logits[static_cast<size_t>(token)]}) / sum;
        EXPECT_NEAR(negative_log_likelihood(logits, token), -std::log(p), 1e-15);
    }
}

TEST(NegativeLogLikelihood, DoesNotOverflow) {
    EXPECT_DOUBLE_EQ(negative_log_likelihood(std::vector<float>{1e30F, 1e30F}, 1), std::log(2.0));
    EXPECT_DOUBLE_EQ(negative_log_likelihood(std::vector<float>{-1e30F, -1e30F}, 0), std::log(2.0));
    EXPECT_DOUBLE_EQ(negative_log_likelihood(std::vector<float>{0, 2000}, 0), 2000);
    EXPECT_DOUBLE_EQ(negative_log_likelihood(std::vector<float>{0, 2000}, 1), 0);
}

// Many small terms: sums in single precision would lose them.
TEST(NegativeLogLikelihood, KeepsSmallTerms) {
    std::vector<float> logits(200000, -12.0F);
    logits[0] = 0;
    EXPECT_NEAR(negative_log_likelihood(logits, 0), std::log(1 + 199999 * std::exp(-12.0)), 1e-11);
}

TEST(PerplexityScore, MeanAndStandardErrors) {
    PerplexityScore score;
    EXPECT_THROW(score.mean(), Error);
    EXPECT_FALSE(score.mean_error());
    score.add(2);
    EXPECT_DOUBLE_EQ(score.perplexity(), std::exp(2.0));
    EXPECT_FALSE(score.perplexity_error());
    for (const double loss : {3.0, 1.0, 4.0}) score.add(loss);
    EXPECT_EQ(score.count(), 4);
    EXPECT_DOUBLE_EQ(score.mean(), 2.5);
    // Variance over n is 1.25; over n - 1 of it the variance of the mean.
    EXPECT_DOUBLE_EQ(score.mean_error().value(), std::sqrt(1.25 / 3));
    EXPECT_DOUBLE_EQ(score.perplexity(), std::exp(2.5));
    EXPECT_DOUBLE_EQ(score.perplexity_error().value(), std::exp(2.5) * std::sqrt(1.25 / 3));
}

TEST(PerplexityScore, EqualLossesHaveNoError) {
    // Of 6 times 2.3 the variance comes out below zero.
    for (const auto& [loss, count] : {std::pair(0.1, 1000), std::pair(2.3, 6)}) {
        PerplexityScore score;
        for (int i = 0; i < count; ++i) score.add(loss);
        EXPECT_NEAR(score.mean_error().value(), 0, 1e-7);
    }
}

class PerplexityTest : public ModelTest {
  protected:
    // Losses of a chunk's second half from the logits of all its tokens at once.
    static std::vector<double> expected(const std::shared_ptr<const Model>& model, ThreadPool& pool,
                                        std::vector<int32_t> chunk, std::optional<int32_t> bos) {
        if (bos) chunk.front() = *bos;
        const std::vector<float> logits =
            all_logits(model, i2s(), pool, chunk, static_cast<int64_t>(chunk.size()));
        std::vector<double> losses;
        for (size_t i = chunk.size() / 2; i + 1 < chunk.size(); ++i) {
            const std::span<const float> row = std::span<const float>(logits).subspan(i * 320, 320);
            losses.push_back(negative_log_likelihood(row, chunk[i + 1]));
        }
        return losses;
    }

    // The error that scoring some tokens with this file gives.
    static std::string chunk_error(const fs::path& file, std::vector<int32_t> tokens) {
        ThreadPool pool(2);
        PerplexityRun run(load(file, i2s(), pool), plan_of_kernel(i2s()), pool,
                          static_cast<int64_t>(tokens.size()), std::nullopt);
        try {
            run.add_chunk(tokens);
        } catch (const Error& e) {
            EXPECT_EQ(run.score().count(), 0);
            return e.what();
        }
        return "";
    }

    // The file with every float of a tensor replaced.
    fs::path with_tensor(const std::string& name, float value) {
        const fs::path copy = folder / ("changed_" + name);
        fs::copy_file(path, copy);
        const GgufFile file(copy);
        const GgufTensor* tensor = file.find_tensor(name);
        if (tensor == nullptr) throw std::runtime_error("no tensor " + name);
        std::fstream out(copy, std::ios::in | std::ios::out | std::ios::binary);
        out.seekp(static_cast<std::streamoff>(tensor->file_offset));
        for (int64_t i = 0; i < tensor->elements(); ++i) {
            out.write(reinterpret_cast<const char*>(&value), sizeof value);
        }
        return copy;
    }
};

// Contexts below, at and above the number of rows that are scored together; odd ones; the shortest.
TEST_F(PerplexityTest, ChunksEqualTheLogitsOfTheWholeChunk) {
    ThreadPool pool(2);
    const auto model = load(path, i2s(), pool);
    for (const int64_t context : {3, 4, 17, 128}) {
        for (const std::optional<int32_t> bos :
             {std::optional<int32_t>(1), std::optional<int32_t>()}) {
            PerplexityRun run(model, plan_of_kernel(i2s()), pool, context, bos);
            PerplexityScore score;
            const std::vector<int32_t> tokens = some_tokens(static_cast<size_t>(2 * context), 320);
            for (const int64_t chunk : {0, 1}) {
                const auto begin = tokens.begin() + chunk * context;
                const std::vector<int32_t> part(begin, begin + context);
                EXPECT_TRUE(run.add_chunk(part));
                const std::vector<double> losses = expected(model, pool, part, bos);
                EXPECT_EQ(static_cast<int64_t>(losses.size()), run.scored_per_chunk());
                for (const double loss : losses) score.add(loss);
            }
            EXPECT_EQ(run.score().count(), 2 * (context - context / 2 - 1));
            EXPECT_EQ(run.score().mean(), score.mean()) << context;
        }
    }
}

TEST_F(PerplexityTest, BeginOfTextReplacesTheFirstToken) {
    ThreadPool pool(1);
    const auto model = load(path, i2s(), pool);
    std::vector<int32_t> tokens = some_tokens(16, 320);
    PerplexityRun with(model, plan_of_kernel(i2s()), pool, 16, 7);
    with.add_chunk(tokens);
    PerplexityRun without(model, plan_of_kernel(i2s()), pool, 16, std::nullopt);
    without.add_chunk(tokens);
    EXPECT_NE(with.score().mean(), without.score().mean());
    tokens.front() = 7;
    PerplexityRun replaced(model, plan_of_kernel(i2s()), pool, 16, std::nullopt);
    replaced.add_chunk(tokens);
    EXPECT_EQ(with.score().mean(), replaced.score().mean());
}

TEST_F(PerplexityTest, SameBitsForKernelsAndThreads) {
    const std::vector<int32_t> tokens = some_tokens(100, 320);
    std::vector<uint64_t> bits;
    for (const char* id : {"i2s_scalar", "int8_scalar"}) {
        for (const int threads : {1, 3}) {
            ThreadPool pool(threads);
            const tb_kernel& kernel = *find_kernel(id);
            PerplexityRun run(load(path, kernel, pool), plan_of_kernel(kernel), pool, 100, 1);
            run.add_chunk(tokens);
            bits.push_back(std::bit_cast<uint64_t>(run.score().mean()));
        }
    }
    for (const uint64_t b : bits) EXPECT_EQ(b, bits.front());
}

TEST_F(PerplexityTest, AStoppedChunkIsLeftOut) {
    ThreadPool pool(1);
    const auto model = load(path, i2s(), pool);
    const std::vector<int32_t> tokens = some_tokens(32, 320);
    PerplexityRun run(model, plan_of_kernel(i2s()), pool, 32, 1);
    std::vector<int64_t> told;
    EXPECT_FALSE(run.add_chunk(tokens, [&](int64_t done) {
        told.push_back(done);
        return done < 16;
    }));
    EXPECT_EQ(told, (std::vector<int64_t>{0, 16}));
    EXPECT_EQ(run.score().count(), 0);
    // And what follows is as if it had not been.
    EXPECT_TRUE(run.add_chunk(tokens));
    PerplexityRun other(model, plan_of_kernel(i2s()), pool, 32, 1);
    other.add_chunk(tokens);
    EXPECT_EQ(run.score().mean(), other.score().mean());
}

TEST_F(PerplexityTest, LogitsOfABrokenModelAreAnErrorAndNoScore) {
    const std::vector<int32_t> tokens = some_tokens(16, 320);
    EXPECT_EQ(chunk_error(path, tokens), "");
    const std::string equal = chunk_error(with_tensor("output_norm.weight", 0.0F), tokens);
    EXPECT_NE(equal.find("all logits are equal after token 8"), std::string::npos) << equal;
}

TEST_F(PerplexityTest, BadChunksAreRefused) {
    std::vector<int32_t> tokens = some_tokens(16, 320);
    tokens.back() = 320;  // never an input of the model
    EXPECT_NE(chunk_error(path, tokens).find("token 15 of a chunk is 320"), std::string::npos);
    tokens.back() = -1;
    EXPECT_NE(chunk_error(path, tokens).find("is -1; expected 0 to 319"), std::string::npos);
    ThreadPool pool(1);
    const auto model = load(path, i2s(), pool);
    EXPECT_THROW(PerplexityRun(model, plan_of_kernel(i2s()), pool, 2, 1), Error);
    EXPECT_THROW(PerplexityRun(model, plan_of_kernel(i2s()), pool, 129, 1), Error);
    PerplexityRun run(model, plan_of_kernel(i2s()), pool, 8, 1);
    EXPECT_THROW(run.add_chunk(some_tokens(7, 320)), Error);
}

}  // namespace
}  // namespace tritbench
