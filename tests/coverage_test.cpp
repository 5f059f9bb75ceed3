// The study of coverage, small: fake machines with a fixed seed, no clock. The bounds are those of
// a binomial with the share that is promised, four standard errors away.
#include "harness/study/coverage.h"

#include <gtest/gtest.h>

#include <cmath>

#include "harness/statistics.h"

namespace tritbench {
namespace {

constexpr int kTrials = 400;

// The fewest of kTrials that a share of `least` leaves room for.
double fewest(double least) {
    return kTrials * least - 4 * std::sqrt(kTrials * least * (1 - least));
}

PlantedNoise noise_named(const std::string& name) {
    for (const PlantedNoise& noise : planted_noises()) {
        if (noise.name == name) return noise;
    }
    ADD_FAILURE() << name;
    return {};
}

TEST(Coverage, InterleavedIntervalsHoldTheTruthInEveryNoise) {
    for (const PlantedNoise& noise : planted_noises()) {
        for (const CoverageCase& one : {CoverageCase{noise, Schedule::Interleaved, 10, 0},
                                        CoverageCase{noise, Schedule::Interleaved, 30, 0}}) {
            const CoverageCounts counts = study_case(one, kTrials, 11);
            EXPECT_GE(counts.equal_covered, fewest(0.95)) << noise.name;
            EXPECT_GE(counts.slower_covered, fewest(0.95)) << noise.name;
            EXPECT_LE(counts.false_claims, kTrials - fewest(0.95)) << noise.name;
        }
    }
}

// The interval that ended a cell for being narrow is no worse for it.
TEST(Coverage, StoppingByPrecisionCostsNoCoverage) {
    for (const char* name : {"quiet", "linear_drift", "periodic"}) {
        const CoverageCounts counts =
            study_case({noise_named(name), Schedule::Interleaved, 10, 0.01}, kTrials, 12);
        EXPECT_GE(counts.equal_covered, fewest(0.95)) << name;
        EXPECT_GE(counts.slower_covered, fewest(0.95)) << name;
        EXPECT_LE(counts.false_claims, kTrials - fewest(0.95)) << name;
    }
}

// Else the study could not tell good from bad.
TEST(Coverage, OneByOneDriftIsTakenForADifference) {
    for (const char* name : {"linear_drift", "random_walk"}) {
        const CoverageCounts counts =
            study_case({noise_named(name), Schedule::OneByOne, 30, 0}, kTrials, 13);
        EXPECT_LE(counts.equal_covered, kTrials / 2) << name;
    }
}

TEST(Coverage, AQuietMachineFindsTwoPercent) {
    const CoverageCounts counts =
        study_case({noise_named("quiet"), Schedule::Interleaved, 100, 0}, kTrials, 14);
    EXPECT_GE(counts.found, fewest(0.99));
    EXPECT_EQ(counts.repetitions, 100 * kTrials);
}

TEST(Coverage, AFakeMachineDoesWhatWasPlanted) {
    FakeMachine still({}, 1);
    EXPECT_EQ(still.run(0.5), 0.5);
    EXPECT_EQ(still.now_s(), 0.5);
    PlantedNoise drift;
    drift.slope = 1;
    FakeMachine slowing(drift, 1);
    EXPECT_EQ(slowing.run(1), 1);
    EXPECT_EQ(slowing.run(1), 2);
    PlantedNoise bursts;
    bursts.bursts_per_s = 10;
    bursts.burst_s = 0.05;
    FakeMachine shared(bursts, 1);
    // Half a second of bursts for every second of work.
    EXPECT_NEAR(shared.run(1000), 1500, 50);
    PlantedNoise wandering;
    wandering.walk = 0.1;
    FakeMachine wanderer(wandering, 1);
    EXPECT_EQ(wanderer.run(1), 1);
    EXPECT_NEAR(wanderer.run(1), 1, 0.5);
    EXPECT_NE(wanderer.run(1), 1);
}

TEST(Coverage, CountsAreOfTheTrials) {
    CoverageCounts counts;
    const std::vector<double> a(8, 100), twin(8, 101), b(8, 102), c(8, 104);
    counts.add({a, twin, b, c, a}, 1.04);
    EXPECT_EQ(counts.equal_covered, 0);
    EXPECT_EQ(counts.slower_covered, 1);
    EXPECT_EQ(counts.false_claims, 1);
    EXPECT_EQ(counts.found, 1);
    EXPECT_NEAR(counts.limits, 0.01, 1e-12);
    EXPECT_EQ(counts.false_by_medians, 1);
    counts.add({a, b, twin, twin, a}, 1.02);
    EXPECT_EQ(counts.false_claims, 1);
    EXPECT_EQ(counts.found, 1);
    EXPECT_EQ(counts.trials, 2);
    EXPECT_EQ(coverage_line("n", "s", "8", counts),
              "n,s,8,2,8.0,0.00,50.00,0.000,1.500,50.00,50.00,50.00\n");
}

}  // namespace
}  // namespace tritbench
