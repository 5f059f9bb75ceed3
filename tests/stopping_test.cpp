// When repetitions end: planted samples, no clock but a planted one.
#include "harness/stopping.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>

#include "harness/statistics.h"

namespace tritbench {
namespace {

// Samples of an item: 100, alternately a little more and a little less.
double planted(int round, double spread) {
    return 100 * (1 + (round % 2 == 0 ? spread : -spread));
}

struct Ended {
    std::vector<EndReason> reasons;
    std::vector<int> counts;
    double spent_s = 0;
};

// Item i has samples that spread by spreads[i] and cost costs[i] seconds.
Ended run(const std::vector<int>& repetitions, const StoppingRules& rules,
          const std::vector<double>& spreads, const std::vector<double>& costs) {
    Stopping stopping(repetitions, rules);
    int64_t now = 0;
    run_rounds(
        stopping, 1, [&] { return now; },
        [&](size_t item, int round) {
            now += static_cast<int64_t>(costs[item] * 1e9);
            return std::optional(planted(round, spreads[item]));
        });
    Ended ended;
    for (size_t i = 0; i < repetitions.size(); ++i) {
        ended.reasons.push_back(stopping.reason(i));
        ended.counts.push_back(static_cast<int>(stopping.samples(i).size()));
    }
    ended.spent_s = static_cast<double>(now) / 1e9;
    return ended;
}

using Reasons = std::vector<EndReason>;
using Counts = std::vector<int>;
constexpr EndReason kPrecise = EndReason::Precision;
constexpr EndReason kRepeated = EndReason::Repetitions;
constexpr EndReason kBroke = EndReason::Budget;

TEST(Stopping, WithoutAPrecisionTheRepetitionsAreFixed) {
    const Ended ended = run({3, 5, 0}, {}, {0, 0.5, 0}, {1, 1, 1});
    EXPECT_EQ(ended.counts, (Counts{3, 5, 0}));
    EXPECT_EQ(ended.reasons, (Reasons{kRepeated, kRepeated, kRepeated}));
}

TEST(Stopping, AnItemEndsAtTheLookThatFindsItPrecise) {
    const Ended ended = run({10, 10}, {0.01, 0}, {0.005, 0.02}, {1, 1});
    EXPECT_EQ(ended.reasons, (Reasons{kPrecise, kRepeated}));
    EXPECT_EQ(ended.counts, (Counts{10, 10 << kMostDoublings}));
}

// Six samples have a 95% interval, but not one of 97.5%, which the first look asks for.
TEST(Stopping, TheFirstLookAsksForMoreConfidence) {
    EXPECT_EQ(run({6}, {0.01, 0}, {0}, {1}).counts, (Counts{12}));
    EXPECT_EQ(run({7}, {0.01, 0}, {0}, {1}).counts, (Counts{7}));
}

// Precise by round 11, but the next look is at 20.
TEST(Stopping, LooksAreOnlyAtDoubledSizes) {
    Stopping stopping(std::vector<int>{10}, {0.01, 0});
    run_rounds(
        stopping, 1, [] { return int64_t{0}; },
        [](size_t, int round) { return std::optional(round < 3 ? 50.0 + 10 * round : 100.0); });
    EXPECT_EQ(stopping.reason(0), kPrecise);
    EXPECT_EQ(stopping.samples(0).size(), 20U);
    EXPECT_DOUBLE_EQ(stopping.confidence(0), 1 - 0.05 / 4);
    EXPECT_EQ(stopping.half_width(0), 0);
}

TEST(Stopping, TheBudgetGoesToTheWidestInterval) {
    // After 10 rounds of 3 items 10 of 40 s are left: enough for item 1 (the widest) alone.
    const Ended ended = run({10, 10, 10}, {0.001, 40}, {0.01, 0.05, 0.02}, {1, 1, 1});
    EXPECT_EQ(ended.reasons, (Reasons{kBroke, kBroke, kBroke}));
    EXPECT_EQ(ended.counts, (Counts{10, 20, 10}));
    EXPECT_LE(ended.spent_s, 40);
}

TEST(Stopping, WhatIsPreciseLeavesItsBudgetToTheOthers) {
    const Ended ended = run({10, 10, 10}, {0.015, 55}, {0.01, 0.05, 0.02}, {1, 1, 1});
    EXPECT_EQ(ended.reasons, (Reasons{kPrecise, kBroke, kBroke}));
    EXPECT_EQ(ended.counts, (Counts{10, 25, 20}));
    EXPECT_LE(ended.spent_s, 55);
}

// All get as many rounds as fit, none is left with one because another came first.
TEST(Stopping, BeforeTheFirstLookAllGoOnTogether) {
    const Ended ended = run({10, 10, 10}, {0.01, 14}, {0, 0, 0}, {1, 1, 1});
    EXPECT_EQ(ended.counts, (Counts{4, 4, 4}));
    EXPECT_EQ(ended.reasons, (Reasons{kBroke, kBroke, kBroke}));
    EXPECT_EQ(run({10, 10}, {0, 7}, {0, 0}, {1, 1}).counts, (Counts{3, 3}));
}

TEST(Stopping, ABudgetIsExceededByARoundAtMost) {
    const Ended ended = run({10, 10}, {0.01, 1e-6}, {0, 0}, {1, 1});
    EXPECT_EQ(ended.counts, (Counts{1, 1}));
    EXPECT_EQ(ended.reasons, (Reasons{kBroke, kBroke}));
}

TEST(Stopping, ADroppedItemDoesNotHoldUpTheOthers) {
    Stopping stopping(std::vector<int>{4, 4}, {});
    run_rounds(
        stopping, 1, [] { return int64_t{0}; },
        [](size_t item, int round) {
            return item == 0 && round == 1 ? std::nullopt : std::optional(1.0);
        });
    EXPECT_EQ(stopping.reason(0), EndReason::Dropped);
    EXPECT_EQ(stopping.samples(0).size(), 1U);
    EXPECT_EQ(stopping.samples(1).size(), 4U);
    EXPECT_EQ(end_reason_name(EndReason::Dropped), "");
    EXPECT_EQ(end_reason_name(kBroke), "budget");
}

// The control is precise at once, and its twin never looked at: both stay, and cost.
TEST(Stopping, TheControlAndItsTwinAreInEveryRound) {
    for (const double spread : {0.0, 0.5}) {
        Stopping stopping(std::vector<int>{10, 10, 10}, {0.01, 60});
        stopping.control(0, 2);
        int64_t now = 0;
        run_rounds(
            stopping, 1, [&] { return now; },
            [&](size_t item, int round) {
                now += 1'000'000'000;
                return std::optional(planted(round, item == 0 ? 0.005 : item == 1 ? 0.1 : spread));
            });
        EXPECT_EQ(stopping.reason(0), kPrecise);
        EXPECT_EQ(stopping.reason(1), kBroke);
        for (size_t item = 0; item < 3; ++item) EXPECT_EQ(stopping.samples(item).size(), 20U);
        EXPECT_EQ(now, 60'000'000'000);
    }
}

TEST(Stopping, ATwinEndsWithTheLastOfTheOthers) {
    Stopping stopping(std::vector<int>{3, 5, 9}, {});
    stopping.control(0, 2);
    run_rounds(
        stopping, 1, [] { return int64_t{0}; }, [](size_t, int) { return std::optional(1.0); });
    for (size_t item = 0; item < 3; ++item) EXPECT_EQ(stopping.samples(item).size(), 5U);
    EXPECT_EQ(stopping.reason(0), kRepeated);
}

// The reason for the careful looks: quoted when they are narrow, intervals still hold the median.
TEST(Stopping, TheIntervalThatEndedAnItemCoversTheMedian) {
    std::mt19937_64 random(4242);
    std::lognormal_distribution<double> distribution(0.0, 0.3);  // median 1
    constexpr int kTrials = 3000;
    int covered = 0, precise = 0;
    for (int t = 0; t < kTrials; ++t) {
        Stopping stopping(std::vector<int>{8}, {0.12, 0});
        run_rounds(
            stopping, 1, [] { return int64_t{0}; },
            [&](size_t, int) { return std::optional(distribution(random)); });
        const Summary s = summarise(stopping.samples(0), stopping.confidence(0));
        covered += s.ci95->first <= 1 && 1 <= s.ci95->second ? 1 : 0;
        precise += stopping.reason(0) == kPrecise ? 1 : 0;
    }
    EXPECT_GT(precise, kTrials * 9 / 10);  // else it says nothing about stopping
    EXPECT_GE(covered, kTrials * (0.95 - 3 * std::sqrt(0.95 * 0.05 / kTrials)));
}

// Rounds: who is visited when.
std::vector<size_t> visits(uint64_t seed) {
    std::vector<size_t> items;
    Stopping stopping(std::vector<int>(6, 4), {});
    run_rounds(
        stopping, seed, [] { return int64_t{0}; },
        [&](size_t item, int) {
            items.push_back(item);
            return std::optional(1.0);
        });
    return items;
}

TEST(Rounds, VisitEveryOpenItemOnce) {
    std::vector<std::vector<int>> seen(4);
    std::vector<size_t> order;
    Stopping stopping(std::vector<int>{3, 5, 0, 3}, {});
    run_rounds(
        stopping, 7, [] { return int64_t{0}; },
        [&](size_t item, int round) {
            seen[item].push_back(round);
            order.push_back(item);
            return std::optional(1.0);
        });
    EXPECT_EQ(seen[0], (std::vector<int>{0, 1, 2}));
    EXPECT_EQ(seen[1], (std::vector<int>{0, 1, 2, 3, 4}));
    EXPECT_TRUE(seen[2].empty());
    EXPECT_EQ(seen[3], (std::vector<int>{0, 1, 2}));
    for (int round = 0; round < 3; ++round) {
        std::vector<size_t> part(order.begin() + round * 3, order.begin() + round * 3 + 3);
        std::sort(part.begin(), part.end());
        EXPECT_EQ(part, (std::vector<size_t>{0, 1, 3}));
    }
}

TEST(Rounds, FollowTheirSeed) {
    EXPECT_EQ(visits(1), visits(1));
    EXPECT_NE(visits(1), visits(2));
}

}  // namespace
}  // namespace tritbench
