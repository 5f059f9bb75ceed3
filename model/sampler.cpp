#include "model/sampler.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>

#include "kernels/api/error.h"
#include "kernels/api/ops.h"
#include "model/random.h"

namespace tritbench {

namespace {

// `inside` is false for a value that is not a number too.
template <class T>
void require(bool inside, const char* name, T value, const char* expected) {
    if (!inside) throw Error(fmt::format("{}: {}; expected {}", name, value, expected));
}

// The most likely first, and of equally likely ones the lowest id.
constexpr auto kMoreLikely = [](const auto& a, const auto& b) {
    return a.logit != b.logit ? a.logit > b.logit : a.id < b.id;
};

}  // namespace

Sampler::Sampler(const SamplerOptions& options) : options_(options) {
    const SamplerOptions& o = options;
    require(o.temperature >= 0 && std::isfinite(o.temperature), "temperature", o.temperature,
            "0 or more");
    require(o.top_k >= 0, "top-k", o.top_k, "0 (all) or more");
    require(o.top_p >= 0 && o.top_p <= 1, "top-p", o.top_p, "0 to 1");
    require(o.min_p >= 0 && o.min_p <= 1, "min-p", o.min_p, "0 to 1");
    require(o.repeat_penalty > 0 && std::isfinite(o.repeat_penalty), "repeat penalty",
            o.repeat_penalty, "more than 0");
    require(o.repeat_last_n >= 0, "repeat last n", o.repeat_last_n, "0 or more");
}

void Sampler::accept(int32_t token) {
    recent_.push_back(token);
    if (recent_.size() > static_cast<size_t>(options_.repeat_last_n)) recent_.pop_front();
}

// Once for each token, however often it came. A logit stays finite, so that differences of two do
// not become NaN.
void Sampler::penalise() {
    if (options_.repeat_penalty == 1.0F) return;
    constexpr float kMost = std::numeric_limits<float>::max();
    std::vector<int32_t> tokens(recent_.begin(), recent_.end());
    std::sort(tokens.begin(), tokens.end());
    tokens.erase(std::unique(tokens.begin(), tokens.end()), tokens.end());
    for (const int32_t token : tokens) {
        if (static_cast<size_t>(token) >= candidates_.size()) continue;  // a negative one too
        float& logit = candidates_[static_cast<size_t>(token)].logit;
        logit = logit > 0 ? logit / options_.repeat_penalty : logit * options_.repeat_penalty;
        logit = std::clamp(logit, -kMost, kMost);
    }
}

// After the first `sorted` candidates, puts the `count` most likely of the others in order.
void Sampler::sort_next(size_t sorted, size_t count) {
    const auto begin = candidates_.begin() + static_cast<ptrdiff_t>(sorted);
    const auto end = begin + static_cast<ptrdiff_t>(std::min(count, candidates_.size() - sorted));
    if (end != candidates_.end()) std::nth_element(begin, end, candidates_.end(), kMoreLikely);
    std::sort(begin, end, kMoreLikely);
}

void Sampler::keep_top_k() {
    const auto k = static_cast<size_t>(options_.top_k);
    if (k == 0 || k >= candidates_.size()) return;
    sort_next(0, k);
    candidates_.resize(k);
}

void Sampler::weigh(float temperature) {
    float highest = candidates_.front().logit;
    for (const Candidate& c : candidates_) highest = std::max(highest, c.logit);
    exponents_.resize(candidates_.size());
    for (size_t i = 0; i < candidates_.size(); ++i) {
        exponents_[i] = (candidates_[i].logit - highest) / temperature;
    }
    best_ops().exp(exponents_.data(), static_cast<int64_t>(exponents_.size()), exponents_.data());
    for (size_t i = 0; i < candidates_.size(); ++i) candidates_[i].weight = exponents_[i];
}

double Sampler::total_weight() const {
    double sum = 0;
    for (const Candidate& c : candidates_) sum += c.weight;
    return sum;
}

// Sorts only as many as are needed: few of a vocabulary of 100000 make up most of the probability.
void Sampler::keep_top_p() {
    if (options_.top_p >= 1.0F) return;
    weigh(1.0F);
    const double wanted = static_cast<double>(options_.top_p) * total_weight();
    double sum = 0;
    size_t kept = 0;
    size_t sorted = 0;
    do {
        if (kept == sorted) {
            const size_t count = std::max<size_t>(256, 3 * sorted);
            sort_next(sorted, count);
            sorted = std::min(sorted + count, candidates_.size());
        }
        sum += candidates_[kept++].weight;
    } while (sum < wanted && kept < candidates_.size());
    candidates_.resize(kept);
}

void Sampler::keep_min_p() {
    if (options_.min_p <= 0.0F) return;
    weigh(1.0F);
    std::erase_if(candidates_, [&](const Candidate& c) { return c.weight < options_.min_p; });
}

int32_t Sampler::most_likely() const {
    return std::min_element(candidates_.begin(), candidates_.end(), kMoreLikely)->id;
}

int32_t Sampler::draw() {
    weigh(options_.temperature);
    // 53 bits: [0, 1).
    const double u = static_cast<double>(mix64(mix64(options_.seed) + draws_++) >> 11) * 0x1p-53;
    const double target = u * total_weight();
    double sum = 0;
    int32_t chosen = candidates_.front().id;
    for (const Candidate& c : candidates_) {
        if (c.weight == 0.0F) continue;
        sum += c.weight;
        chosen = c.id;  // the last one if the product was rounded up to the total
        if (sum > target) break;
    }
    return chosen;
}

int32_t Sampler::next(std::span<const float> logits) {
    if (logits.empty()) throw Error("sampler: no logits; expected one for each token");
    candidates_.resize(logits.size());
    for (size_t i = 0; i < logits.size(); ++i) {
        if (!std::isfinite(logits[i])) {
            throw Error(fmt::format("sampler: the logit of token {} is {}; expected finite numbers",
                                    i, logits[i]));
        }
        candidates_[i] = {static_cast<int32_t>(i), logits[i], 0.0F};
    }
    penalise();
    if (options_.temperature == 0.0F) return most_likely();
    keep_top_k();
    keep_top_p();
    keep_min_p();
    return draw();
}

}  // namespace tritbench
