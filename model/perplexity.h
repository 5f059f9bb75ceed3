// Perplexity of a text, chunked and scored as llama.cpp's perplexity tool does by default, so that
// published figures can be compared: the tokens of the whole text are cut into chunks of `context`
// tokens, the first token of each chunk is replaced by the begin-of-text token, and every token of
// the second half that has a next token predicts it. What is left over at the end is not used.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "model/transformer.h"

namespace tritbench {

// -ln of the probability that softmax(logits) gives to `token`, in double, in order of the index.
double negative_log_likelihood(std::span<const float> logits, int32_t token);

// Sums over scored tokens.
class PerplexityScore {
  public:
    void add(double negative_log_likelihood);
    int64_t count() const { return count_; }
    // Of ln-likelihoods; Error when there are none.
    double mean() const;
    // Standard error of the mean, taking tokens as independent; empty for fewer than two.
    std::optional<double> mean_error() const;
    // e^mean, and its standard error to first order.
    double perplexity() const;
    std::optional<double> perplexity_error() const;

  private:
    int64_t count_ = 0;
    double sum_ = 0, squares_ = 0;
};

// Shortest context with a token to score.
inline constexpr int64_t kShortestPerplexityContext = 3;

// Scores chunks with a session of its own. Memory beside the session: logits of a few tokens.
class PerplexityRun {
  public:
    // Throws Error as Session does, and for a context below kShortestPerplexityContext. `bos`: put
    // at the start of each chunk; empty: the chunk stays as it is.
    PerplexityRun(std::shared_ptr<const Model> model, const Plan& plan, ThreadPool& pool,
                  int64_t context, std::optional<int32_t> bos, CacheType cache = CacheType::F16);

    // Tokens that each chunk scores.
    int64_t scored_per_chunk() const;
    // Adds one chunk of `context` tokens to the score. Throws Error when logits are not finite or
    // all equal. `more`, if given, is told of the tokens of this chunk that are done and returns
    // false to stop: then the chunk is left out, and the result is false.
    bool add_chunk(std::span<const int32_t> tokens,
                   const std::function<bool(int64_t done)>& more = {});

    const PerplexityScore& score() const { return score_; }

  private:
    void score_rows(std::span<const int32_t> next);

    ThreadPool& pool_;
    int64_t context_, vocab_;
    std::optional<int32_t> bos_;
    Session session_;
    std::vector<int32_t> chunk_;
    std::vector<float> logits_;   // [kRows][vocab]
    std::vector<double> losses_;  // of the chunk so far
    PerplexityScore score_;
};

}  // namespace tritbench
