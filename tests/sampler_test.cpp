// The sampler: each filter exactly on small logits, distributions by chi-square, the same tokens
// for the same seed.
#include "model/sampler.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "kernels/api/error.h"

namespace tritbench {
namespace {

// Everything off, temperature 1.
SamplerOptions plain() {
    SamplerOptions o;
    o.temperature = 1.0F;
    o.top_k = 0;
    o.top_p = 1.0F;
    o.min_p = 0.0F;
    return o;
}

// Logits with these probabilities.
std::vector<float> logits_of(const std::vector<double>& probabilities) {
    std::vector<float> logits;
    for (const double p : probabilities) logits.push_back(static_cast<float>(std::log(p)));
    return logits;
}

std::map<int32_t, int> draw_many(const SamplerOptions& options, std::span<const float> logits,
                                 int draws = 2000) {
    Sampler sampler(options);
    std::map<int32_t, int> counts;
    for (int i = 0; i < draws; ++i) ++counts[sampler.next(logits)];
    return counts;
}

// The tokens that can come out, each of them likely enough to be drawn.
std::set<int32_t> support(const SamplerOptions& options, std::span<const float> logits) {
    std::set<int32_t> tokens;
    for (const auto& [token, count] : draw_many(options, logits)) tokens.insert(token);
    return tokens;
}

// Chi-square statistic of `draws` tokens against the probabilities; tokens that should not come
// fail.
double chi_square(const SamplerOptions& options, std::span<const float> logits,
                  const std::vector<double>& probabilities, int draws) {
    std::map<int32_t, int> counts = draw_many(options, logits, draws);
    double sum = 0;
    for (size_t i = 0; i < probabilities.size(); ++i) {
        const int found = counts[static_cast<int32_t>(i)];
        if (probabilities[i] == 0) {
            EXPECT_EQ(found, 0) << "token " << i;
            continue;
        }
        const double expected = probabilities[i] * draws;
        sum += (found - expected) * (found - expected) / expected;
    }
    return sum;
}

std::string message_of(const SamplerOptions& options) {
    try {
        Sampler sampler(options);
    } catch (const Error& e) {
        return e.what();
    }
    return "";
}

TEST(Sampler, TemperatureZeroTakesTheMostLikelyAndOfEqualOnesTheLowestId) {
    SamplerOptions o;
    o.temperature = 0;
    Sampler sampler(o);
    EXPECT_EQ(sampler.next(std::vector<float>{-3, 2, -1, 5, 4}), 3);
    EXPECT_EQ(sampler.next(std::vector<float>{1, 7, 7, 2, 7}), 1);
    EXPECT_EQ(sampler.next(std::vector<float>{-1, -1, -1}), 0);
    EXPECT_EQ(sampler.next(std::vector<float>{0.0F, -0.0F}), 0);
    EXPECT_EQ(sampler.next(std::vector<float>{-0.0F, 0.0F}), 0);
    EXPECT_EQ(sampler.next(std::vector<float>{-9}), 0);
}

// 99.9% points of chi-square; the seed is fixed, so that a right sampler never fails by chance.
TEST(Sampler, DrawsFollowTheSoftmax) {
    const std::vector<double> p = {0.4, 0.05, 0.25, 0.02, 0.28};
    EXPECT_LT(chi_square(plain(), logits_of(p), p, 100000), 18.47);  // 4 degrees of freedom
    // Wrong by a tenth at one token is seen.
    EXPECT_GT(chi_square(plain(), logits_of({0.4, 0.05, 0.275, 0.02, 0.28}), p, 100000), 18.47);
}

TEST(Sampler, DrawsFollowTheSoftmaxOfAVocabulary) {
    std::vector<double> p(200);
    double sum = 0;
    for (size_t i = 0; i < p.size(); ++i) sum += p[i] = 1.0 + static_cast<double>(i * 37 % 101);
    for (double& v : p) v /= sum;
    EXPECT_LT(chi_square(plain(), logits_of(p), p, 100000), 267.5);  // 199 degrees of freedom
}

TEST(Sampler, TemperatureRaisesProbabilitiesToAPower) {
    const std::vector<double> p = {0.4, 0.05, 0.25, 0.02, 0.28};
    for (const float temperature : {0.5F, 2.0F}) {
        std::vector<double> powers = p;
        double sum = 0;
        for (double& v : powers) sum += v = std::pow(v, 1.0 / temperature);
        for (double& v : powers) v /= sum;
        SamplerOptions o = plain();
        o.temperature = temperature;
        EXPECT_LT(chi_square(o, logits_of(p), powers, 100000), 18.47) << temperature;
        EXPECT_GT(chi_square(o, logits_of(p), p, 100000), 18.47) << temperature;
    }
    SamplerOptions cold = plain();
    cold.temperature = 1e-30F;
    EXPECT_EQ(support(cold, logits_of(p)), (std::set<int32_t>{0}));
}

TEST(Sampler, TopKKeepsTheMostLikelyInOrderOfIdWhereEqual) {
    const std::vector<float> logits = {1.0F, 1.2F, 1.0F, 1.1F, 1.0F, 0.9F};
    SamplerOptions o = plain();
    const std::vector<std::set<int32_t>> expected = {
        {0, 1, 2, 3, 4, 5}, {1}, {1, 3}, {0, 1, 3}, {0, 1, 2, 3}, {0, 1, 2, 3, 4}};
    for (size_t k = 0; k < expected.size(); ++k) {
        o.top_k = static_cast<int32_t>(k);
        EXPECT_EQ(support(o, logits), expected[k]) << k;
    }
    o.top_k = std::numeric_limits<int32_t>::max();
    EXPECT_EQ(support(o, logits), expected[0]);
}

TEST(Sampler, TopPKeepsTheFewestTokensThatReachIt) {
    const std::vector<float> logits = logits_of({0.25, 0.1, 0.4, 0.05, 0.2});
    const std::vector<std::pair<float, std::set<int32_t>>> expected = {{0.0F, {2}},
                                                                       {0.39F, {2}},
                                                                       {0.41F, {0, 2}},
                                                                       {0.64F, {0, 2}},
                                                                       {0.66F, {0, 2, 4}},
                                                                       {0.86F, {0, 1, 2, 4}},
                                                                       {0.94F, {0, 1, 2, 4}},
                                                                       {0.96F, {0, 1, 2, 3, 4}},
                                                                       {1.0F, {0, 1, 2, 3, 4}}};
    for (const auto& [p, tokens] : expected) {
        SamplerOptions o = plain();
        o.top_p = p;
        EXPECT_EQ(support(o, logits), tokens) << p;
    }
}

// More candidates than are sorted at first.
TEST(Sampler, TopPOfAFlatDistributionKeepsTheLowestIds) {
    SamplerOptions o = plain();
    o.top_p = 0.5F;
    const std::map<int32_t, int> counts = draw_many(o, std::vector<float>(1500, 1.5F), 12000);
    EXPECT_EQ(counts.rbegin()->first, 749);
    EXPECT_EQ(counts.size(), 750U);
}

TEST(Sampler, MinPKeepsWhatIsLikelyEnoughBesideTheMostLikely) {
    const std::vector<float> logits = logits_of({0.25, 0.1, 0.4, 0.05, 0.2});
    const std::vector<std::pair<float, std::set<int32_t>>> expected = {{0.0F, {0, 1, 2, 3, 4}},
                                                                       {0.12F, {0, 1, 2, 3, 4}},
                                                                       {0.13F, {0, 1, 2, 4}},
                                                                       {0.24F, {0, 1, 2, 4}},
                                                                       {0.26F, {0, 2, 4}},
                                                                       {0.51F, {0, 2}},
                                                                       {0.63F, {2}},
                                                                       {1.0F, {2}}};
    for (const auto& [p, tokens] : expected) {
        SamplerOptions o = plain();
        o.min_p = p;
        EXPECT_EQ(support(o, logits), tokens) << p;
    }
}

TEST(Sampler, WhatIsKeptKeepsItsProportions) {
    const std::vector<double> p = {0.25, 0.1, 0.4, 0.05, 0.2};
    SamplerOptions k = plain();
    k.top_k = 3;
    SamplerOptions top = plain();
    top.top_p = 0.66F;
    SamplerOptions min = plain();
    min.min_p = 0.26F;
    for (const SamplerOptions& o : {k, top, min}) {
        EXPECT_LT(chi_square(o, logits_of(p), {0.25 / 0.85, 0, 0.4 / 0.85, 0, 0.2 / 0.85}, 100000),
                  13.82);  // 2 degrees of freedom
    }
}

// Top-k before top-p: of {0.4, 0.3} kept, 0.4 is 57% and enough. The other way around two would be
// needed. Filters before temperature: at 10, the probabilities would be almost equal.
TEST(Sampler, FiltersRunInTheOrderOfLlamaCpp) {
    const std::vector<float> logits = logits_of({0.4, 0.3, 0.2, 0.1});
    SamplerOptions o = plain();
    o.top_k = 2;
    o.top_p = 0.5F;
    EXPECT_EQ(support(o, logits), (std::set<int32_t>{0}));
    o = plain();
    o.top_p = 0.65F;
    o.temperature = 10.0F;
    EXPECT_EQ(support(o, logits), (std::set<int32_t>{0, 1}));
    o = plain();
    o.min_p = 0.7F;
    o.temperature = 10.0F;
    EXPECT_EQ(support(o, logits), (std::set<int32_t>{0, 1}));
    // The penalty comes first: what it makes unlikely, top-k removes.
    o = plain();
    o.top_k = 1;
    o.repeat_penalty = 1.5F;
    Sampler sampler(o);
    EXPECT_EQ(sampler.next(logits), 0);
    sampler.accept(0);
    EXPECT_EQ(sampler.next(logits), 1);
}

TEST(Sampler, PenaltyDividesPositiveAndMultipliesNegativeLogits) {
    SamplerOptions o;
    o.temperature = 0;
    o.repeat_penalty = 2.0F;
    Sampler positive(o);
    positive.accept(1);
    EXPECT_EQ(positive.next(std::vector<float>{4, 7.9F, 3}), 0);
    EXPECT_EQ(positive.next(std::vector<float>{4, 8.1F, 3}), 1);
    EXPECT_EQ(positive.next(std::vector<float>{-4, -1.9F, -5}), 1);
    EXPECT_EQ(positive.next(std::vector<float>{-4, -2.1F, -5}), 0);
    positive.accept(1);  // once more is no more
    EXPECT_EQ(positive.next(std::vector<float>{4, 8.1F, 3}), 1);
}

TEST(Sampler, PenaltyForgetsWhatIsLongAgo) {
    SamplerOptions o;
    o.temperature = 0;
    o.repeat_penalty = 2.0F;
    o.repeat_last_n = 2;
    const std::vector<float> logits = {3, 2, 1};
    Sampler sampler(o);
    sampler.accept(0);
    EXPECT_EQ(sampler.next(logits), 1);
    sampler.accept(2);
    EXPECT_EQ(sampler.next(logits), 1);
    sampler.accept(2);
    EXPECT_EQ(sampler.next(logits), 0);
    o.repeat_last_n = 0;
    Sampler forgetful(o);
    forgetful.accept(0);
    EXPECT_EQ(forgetful.next(logits), 0);
}

TEST(Sampler, PenaltyOfTokensThatAreNotInTheVocabularyIsNothing) {
    SamplerOptions o;
    o.repeat_penalty = 2.0F;
    Sampler sampler(o);
    sampler.accept(-1);
    sampler.accept(3);
    EXPECT_EQ(sampler.next(std::vector<float>{1}), 0);
}

TEST(Sampler, ExtremeLogitsGiveATokenOfTheVocabulary) {
    constexpr float kMost = std::numeric_limits<float>::max();
    SamplerOptions o;
    o.repeat_penalty = 1000.0F;
    o.temperature = std::numeric_limits<float>::denorm_min();
    Sampler sampler(o);
    for (const int32_t token : {0, 1, 2}) sampler.accept(token);
    EXPECT_EQ(sampler.next(std::vector<float>{-kMost, -kMost, kMost}), 2);
    EXPECT_EQ(sampler.next(std::vector<float>{-kMost, kMost, -kMost}), 1);
    // Equally likely ones stay so under a penalty that would make them infinite.
    o = plain();
    o.repeat_penalty = 1000.0F;
    Sampler penalised(o);
    std::set<int32_t> tokens;
    for (int i = 0; i < 100; ++i) {
        for (const int32_t token : {0, 1, 2}) penalised.accept(token);
        tokens.insert(penalised.next(std::vector<float>{-kMost, -kMost, -kMost}));
    }
    EXPECT_EQ(tokens, (std::set<int32_t>{0, 1, 2}));
}

TEST(Sampler, TheSeedDecidesTheTokens) {
    const std::vector<float> logits(50, 0.0F);
    const auto tokens = [&](uint64_t seed) {
        SamplerOptions o = plain();
        o.seed = seed;
        Sampler sampler(o);
        std::vector<int32_t> out;
        for (int i = 0; i < 12; ++i) out.push_back(sampler.next(logits));
        return out;
    };
    EXPECT_EQ(tokens(7), tokens(7));
    EXPECT_NE(tokens(7), tokens(8));
    // Of neighbouring seeds one is not the other shifted.
    const std::vector<int32_t> a = tokens(7);
    const std::vector<int32_t> b = tokens(8);
    EXPECT_FALSE(std::equal(a.begin() + 1, a.end(), b.begin()));
    // Written down, as they must be the same on every machine.
    EXPECT_EQ(tokens(0), (std::vector<int32_t>{32, 8, 25, 48, 18, 2, 47, 3, 26, 48, 29, 27}));
}

TEST(Sampler, LogitsThatAreNotFiniteAreRefused) {
    Sampler sampler(SamplerOptions{});
    for (const float bad :
         {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity(),
          -std::numeric_limits<float>::infinity()}) {
        try {
            sampler.next(std::vector<float>{1, 2, bad});
            FAIL() << bad;
        } catch (const Error& e) {
            EXPECT_NE(std::string(e.what()).find("token 2 is"), std::string::npos) << e.what();
        }
    }
    EXPECT_THROW(sampler.next({}), Error);
}

TEST(Sampler, OptionsOutOfRangeAreNamed) {
    const float nan = std::numeric_limits<float>::quiet_NaN();
    const auto with = [](auto set) {
        SamplerOptions o;
        set(o);
        return message_of(o);
    };
    EXPECT_EQ(message_of(SamplerOptions{}), "");
    EXPECT_EQ(with([](auto& o) { o.temperature = -1; }), "temperature: -1; expected 0 or more");
    EXPECT_NE(with([&](auto& o) { o.temperature = nan; }), "");
    EXPECT_EQ(with([](auto& o) { o.top_k = -2; }), "top-k: -2; expected 0 (all) or more");
    EXPECT_EQ(with([](auto& o) { o.top_p = 1.5F; }), "top-p: 1.5; expected 0 to 1");
    EXPECT_NE(with([&](auto& o) { o.top_p = nan; }), "");
    EXPECT_EQ(with([](auto& o) { o.min_p = -0.5F; }), "min-p: -0.5; expected 0 to 1");
    EXPECT_EQ(with([](auto& o) { o.repeat_penalty = 0; }),
              "repeat penalty: 0; expected more than 0");
    EXPECT_EQ(with([](auto& o) { o.repeat_last_n = -1; }), "repeat last n: -1; expected 0 or more");
}

}  // namespace
}  // namespace tritbench
