#include "model/perplexity.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/api/error.h"
#include "model/logits.h"

namespace tritbench {

namespace {

constexpr int64_t kBatch = 256;  // tokens computed together where nothing is scored
constexpr int64_t kRows = 64;    // and where it is: 33 MB of logits for a vocabulary of 128256

int64_t require_context(int64_t context) {
    if (context < kShortestPerplexityContext) {
        throw Error(fmt::format("context: {} tokens; expected at least {}", context,
                                kShortestPerplexityContext));
    }
    return context;
}

}  // namespace

double negative_log_likelihood(std::span<const float> logits, int32_t token) {
    const double highest = *std::max_element(logits.begin(), logits.end());
    double sum = 0;
    for (const float logit : logits) sum += std::exp(logit - highest);
    return std::log(sum) + (highest - logits[static_cast<size_t>(token)]);
}

void PerplexityScore::add(double loss) {
    ++count_;
    sum_ += loss;
    squares_ += loss * loss;
}

double PerplexityScore::mean() const {
    if (count_ == 0) throw Error("perplexity: no token was scored; expected at least one");
    return sum_ / static_cast<double>(count_);
}

std::optional<double> PerplexityScore::mean_error() const {
    if (count_ < 2) return std::nullopt;
    const double variance = squares_ / static_cast<double>(count_) - mean() * mean();
    // Rounding may leave less than nothing.
    return std::sqrt(std::max(0.0, variance) / static_cast<double>(count_ - 1));
}

double PerplexityScore::perplexity() const {
    return std::exp(mean());
}

std::optional<double> PerplexityScore::perplexity_error() const {
    const std::optional<double> error = mean_error();
    if (!error) return std::nullopt;
    return *error * perplexity();
}

PerplexityRun::PerplexityRun(std::shared_ptr<const Model> model, const Plan& plan, ThreadPool& pool,
                             int64_t context, std::optional<int32_t> bos, CacheType cache)
    : pool_(pool),
      context_(require_context(context)),
      vocab_(model->config().vocab),
      bos_(bos),
      session_(std::move(model), plan, pool, {context, std::min(context, kBatch), 1, cache}),
      logits_(static_cast<size_t>(std::min(context, kRows) * vocab_)) {}

int64_t PerplexityRun::scored_per_chunk() const {
    return context_ - context_ / 2 - 1;
}

// Losses of the rows in logits_, which predict `next`.
void PerplexityRun::score_rows(std::span<const int32_t> next) {
    const auto width = static_cast<size_t>(vocab_);
    const auto row = [&](size_t i) {
        return std::span<const float>(logits_).subspan(i * width, width);
    };
    const size_t before = losses_.size();
    losses_.resize(before + next.size());
    pool_.for_each_worker([&](int worker, int workers) {
        const auto [begin, end] =
            split_range(static_cast<int64_t>(next.size()), 1, worker, workers);
        for (auto i = static_cast<size_t>(begin); i < static_cast<size_t>(end); ++i) {
            losses_[before + i] = logits_problem(row(i)).empty()
                                      ? negative_log_likelihood(row(i), next[i])
                                      : std::numeric_limits<double>::quiet_NaN();
        }
    });
    for (size_t i = 0; i < next.size(); ++i) {
        if (!std::isnan(losses_[before + i])) continue;
        throw Error(
            fmt::format("perplexity: {} after token {} of a chunk; the model's weights "
                        "or scales are not as they should be",
                        logits_problem(row(i)), context_ / 2 + static_cast<int64_t>(before + i)));
    }
}

bool PerplexityRun::add_chunk(std::span<const int32_t> tokens,
                              const std::function<bool(int64_t done)>& more) {
    if (static_cast<int64_t>(tokens.size()) != context_) {
        throw Error(
            fmt::format("perplexity: a chunk of {} tokens; expected {}", tokens.size(), context_));
    }
    const auto wrong = std::find_if(tokens.begin(), tokens.end(),
                                    [&](int32_t token) { return token < 0 || token >= vocab_; });
    if (wrong != tokens.end()) {
        throw Error(fmt::format("perplexity: token {} of a chunk is {}; expected 0 to {}",
                                wrong - tokens.begin(), *wrong, vocab_ - 1));
    }
    chunk_.assign(tokens.begin(), tokens.end());
    if (bos_) chunk_.front() = *bos_;
    losses_.clear();
    session_.reset();
    const std::span<const int32_t> all(chunk_);
    const auto first = static_cast<size_t>(context_ / 2);
    // The last token of a chunk predicts nothing that is known.
    for (size_t at = 0; at + 1 < all.size(); at = static_cast<size_t>(session_.position())) {
        if (more && !more(static_cast<int64_t>(at))) return false;
        if (at < first) {
            session_.forward(all.subspan(at, std::min(static_cast<size_t>(kBatch), first - at)));
            continue;
        }
        const size_t rows = std::min(static_cast<size_t>(kRows), all.size() - 1 - at);
        session_.forward_all(all.subspan(at, rows),
                             std::span<float>(logits_).first(rows * static_cast<size_t>(vocab_)));
        score_rows(all.subspan(at + 1, rows));
    }
    for (const double loss : losses_) score_.add(loss);
    return true;
}

}  // namespace tritbench
