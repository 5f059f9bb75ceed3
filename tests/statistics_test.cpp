#include "harness/statistics.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>

#include "harness/measure.h"
#include "kernels/api/error.h"

namespace tritbench {
namespace {

TEST(Statistics, MedianOfOddAndEvenSamples) {
    EXPECT_EQ(median({3}), 3);
    EXPECT_EQ(median({9, 1, 5}), 5);
    EXPECT_EQ(median({4, 1, 3, 2}), 2.5);
    EXPECT_THROW(median({}), Error);
}

TEST(Statistics, PercentileIsTheNearestRank) {
    const std::vector<double> ten = {7, 1, 10, 3, 9, 5, 2, 8, 6, 4};
    EXPECT_EQ(percentile(ten, 0), 1);
    EXPECT_EQ(percentile(ten, 0.1), 1);
    EXPECT_EQ(percentile(ten, 0.11), 2);
    EXPECT_EQ(percentile(ten, 0.5), 5);
    EXPECT_EQ(percentile(ten, 0.7), 7);  // 0.7 * 10 is above 7 in binary
    EXPECT_EQ(percentile(ten, 0.9), 9);
    EXPECT_EQ(percentile(ten, 0.99), 10);
    EXPECT_EQ(percentile(ten, 1), 10);
    EXPECT_EQ(percentile({4}, 0.5), 4);
    EXPECT_THROW(percentile({}, 0.5), Error);
}

TEST(Statistics, SummaryOfKnownValues) {
    const std::vector<double> values = {7, 1, 2, 4, 100, 3, 5};
    const Summary s = summarise(values);
    EXPECT_EQ(s.count, 7);
    EXPECT_EQ(s.median, 4);
    EXPECT_EQ(s.mad, 2);  // deviations 3 3 2 0 96 1 1
    EXPECT_EQ(s.min, 1);
    ASSERT_TRUE(s.ci95);
    EXPECT_EQ(s.ci95->first, 1);  // rank 1 of 7: 1 - 2 / 2^7 = 98.4%; rank 2 would give 87.5%
    EXPECT_EQ(s.ci95->second, 100);
}

TEST(Statistics, AllEqualValues) {
    const std::vector<double> values(8, 2.5);
    const Summary s = summarise(values);
    EXPECT_EQ(s.median, 2.5);
    EXPECT_EQ(s.mad, 0);
    ASSERT_TRUE(s.ci95);
    EXPECT_EQ(s.ci95->first, 2.5);
    EXPECT_EQ(s.ci95->second, 2.5);
}

TEST(Statistics, NoIntervalBelowSixValues) {
    for (int n = 0; n < kSmallestIntervalSample; ++n) {
        EXPECT_FALSE(median_interval_rank(n, 0.95)) << n;
    }
    EXPECT_EQ(median_interval_rank(kSmallestIntervalSample, 0.95), 1);
}

// Ranks of the 95% interval of the median as printed in tables of the sign test (two-sided 5%:
// critical value + 1): n = 10, 20, 25, 50, 100.
TEST(Statistics, RanksAgreeWithTheSignTest) {
    EXPECT_EQ(median_interval_rank(9, 0.95), 2);
    EXPECT_EQ(median_interval_rank(10, 0.95), 2);
    EXPECT_EQ(median_interval_rank(20, 0.95), 6);
    EXPECT_EQ(median_interval_rank(25, 0.95), 8);
    EXPECT_EQ(median_interval_rank(50, 0.95), 18);
    EXPECT_EQ(median_interval_rank(100, 0.95), 40);
}

TEST(Statistics, RankIsTheLargestThatCovers) {
    for (int n = kSmallestIntervalSample; n <= 200; ++n) {
        const auto rank = median_interval_rank(n, 0.95);
        ASSERT_TRUE(rank) << n;
        // Tail probabilities by Pascal's recurrence, another way than the code's.
        std::vector<long double> row = {1};
        for (int i = 1; i <= n; ++i) {
            row.push_back(0);
            for (size_t j = row.size() - 1; j > 0; --j) row[j] = (row[j] + row[j - 1]) / 2;
            row[0] /= 2;
        }
        long double below = 0;
        for (int i = 0; i < *rank; ++i) below += row[static_cast<size_t>(i)];
        EXPECT_LE(static_cast<double>(below), 0.025) << n;
        EXPECT_GT(static_cast<double>(below + row[static_cast<size_t>(*rank)]), 0.025) << n;
    }
}

// The promise itself: the interval holds the true median at least 95 times in 100, for a skewed
// distribution with a heavy tail, as times have.
TEST(Statistics, IntervalCoversTheMedianOfASkewedDistribution) {
    std::mt19937_64 random(12345);
    std::lognormal_distribution<double> distribution(0.0, 1.5);  // median exp(0) = 1
    constexpr int kTrials = 4000;
    for (const int n : {6, 10, 15, 31, 64}) {
        int covered = 0;
        for (int t = 0; t < kTrials; ++t) {
            std::vector<double> values;
            for (int i = 0; i < n; ++i) values.push_back(distribution(random));
            const Summary s = summarise(values);
            covered += s.ci95->first <= 1 && 1 <= s.ci95->second ? 1 : 0;
        }
        // Three standard errors of a 95% proportion below 95%.
        EXPECT_GE(covered, kTrials * (0.95 - 3 * std::sqrt(0.95 * 0.05 / kTrials))) << n;
    }
}

TEST(Statistics, AnIntervalOfMoreConfidenceIsWider) {
    std::vector<double> values;
    for (int i = 1; i <= 20; ++i) values.push_back(i);
    EXPECT_EQ(summarise(values).ci95, std::pair(6.0, 15.0));
    EXPECT_EQ(summarise(values, 0.99).ci95, std::pair(4.0, 17.0));
    EXPECT_EQ(median_interval(values), std::pair(6.0, 15.0));
    EXPECT_FALSE(median_interval({1, 2, 3}));
    EXPECT_DOUBLE_EQ(*relative_half_width(summarise(values)), 4.5 / 10.5);
    EXPECT_FALSE(relative_half_width(summarise(std::vector<double>{1, 2})));
}

TEST(Statistics, TheClaimLimitIsTheFartherEndOfTheInterval) {
    const auto limit = [](const std::vector<double>& ratios) {
        return claim_limit(paired_ratio(ratios, std::vector<double>(ratios.size(), 1.0)));
    };
    EXPECT_NEAR(*limit({0.99, 1, 1, 1, 1, 1.03}), 0.03, 1e-12);
    EXPECT_NEAR(*limit({0.96, 1, 1, 1, 1, 1.03}), 0.04, 1e-12);
    // Precise and yet not 1: what is equal differs by so much here.
    EXPECT_NEAR(*limit(std::vector<double>(8, 1.02)), 0.02, 1e-12);
    EXPECT_FALSE(limit({1, 1, 1, 1, 1}));
}

struct Counted {
    int64_t calls = 0;
    int64_t ns_per_call = 0;
    static int64_t repeat(void* context, int64_t calls) {
        auto& c = *static_cast<Counted*>(context);
        c.calls += calls;
        return calls * c.ns_per_call;
    }
};

TEST(Measure, CalibrationReachesTheShortestRepetition) {
    for (const int64_t ns : {1, 70, 5000, 1'999'999}) {
        Counted counted{0, ns};
        int warmups = 0;
        const int64_t calls = calibrate({Counted::repeat, &counted}, 2'000'000, &warmups);
        EXPECT_GE(calls * ns, 2'000'000) << ns;
        EXPECT_LE(calls * ns, 5'000'000) << ns;
        EXPECT_GE(warmups, 2);
    }
}

TEST(Measure, ALongCallIsMadeOnce) {
    Counted counted{0, 3'000'000};
    EXPECT_EQ(calibrate({Counted::repeat, &counted}, 2'000'000), 1);
    EXPECT_EQ(counted.calls, 2);
}

}  // namespace
}  // namespace tritbench
