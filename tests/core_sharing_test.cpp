// Verdicts on planted timings: what shares a core, what does not, and what cannot be told.
#include "harness/core_sharing.h"

#include <gtest/gtest.h>
#include <sched.h>

#include <algorithm>
#include <map>
#include <random>

#include "model/thread_pool.h"

namespace tritbench {
namespace {

using Pair = std::pair<int, int>;

// Speeds as a machine gives them: `shared` pairs get half a core each (and a little more, as SMT
// does), all others a whole one. Noise only takes speed away.
class PlantedMachine {
  public:
    std::vector<Pair> shared;
    double noise = 0;             // part of the windows that lose up to 90% of their speed
    double disturbed = 0;         // part of the windows that are known to be
    std::map<int, double> clock;  // of a CPU, 1 where not named
    std::optional<double> mhz;
    double mhz_step = 0;

    LoopRunner runner() {
        return {[this](int cpu) -> std::optional<double> {
                    if (chance(disturbed)) return std::nullopt;
                    return speed(cpu) * lost();
                },
                [this](int a, int b) {
                    const bool one =
                        std::find(shared.begin(), shared.end(), Pair{a, b}) != shared.end();
                    const double part = one ? 0.55 : 1.0;
                    ++together;
                    return PairWindow{speed(a) * part * lost(), speed(b) * part * lost(),
                                      chance(disturbed)};
                },
                [this](int) {
                    const auto now = mhz;
                    if (mhz) *mhz += mhz_step;
                    return now;
                },
                [this] { return together < most_together; }};
    }
    int together = 0, most_together = 1'000'000;

  private:
    double speed(int cpu) const { return 3.1 * (clock.contains(cpu) ? clock.at(cpu) : 1.0); }
    bool chance(double part) { return uniform_(random_) < part; }
    double lost() { return chance(noise) ? 0.1 + 0.9 * uniform_(random_) : 1.0; }

    std::mt19937 random_{7};
    std::uniform_real_distribution<double> uniform_{0, 1};
};

CpuTopology cores(int count) {
    CpuTopology threads;
    for (int cpu = 0; cpu < count; ++cpu) threads.push_back({cpu, 0, 0, 0, cpu, 0});
    return threads;
}

bool says(const std::vector<std::string>& reasons, const std::string& word) {
    return std::any_of(reasons.begin(), reasons.end(),
                       [&](const std::string& r) { return r.find(word) != std::string::npos; });
}

std::vector<Pair> found(const CoreProbe& probe, CoreVerdict verdict) {
    std::vector<Pair> pairs;
    for (const CpuPair& pair : probe.pairs) {
        if (core_verdict(pair.slowdown) == verdict) pairs.emplace_back(pair.first, pair.second);
    }
    return pairs;
}

TEST(PairSlowdown, IsThatOfTheFastestCleanWindow) {
    const std::vector<PairWindow> windows{
        {0.5, 0.5, false}, {0.9, 0.7, false}, {0.2, 0.1, false}, {1.0, 1.0, true}};
    ASSERT_TRUE(pair_slowdown(windows).has_value());
    EXPECT_DOUBLE_EQ(*pair_slowdown(windows), 2 / 1.6);
    EXPECT_EQ(core_verdict(1.25), CoreVerdict::Apart);
    EXPECT_EQ(core_verdict(1.26), CoreVerdict::Shared);
}

TEST(PairSlowdown, TooFewCleanWindowsTellNothing) {
    std::vector<PairWindow> windows(9, {0.5, 0.5, true});
    EXPECT_EQ(pair_slowdown(windows), std::nullopt);
    windows[0].disturbed = windows[1].disturbed = false;
    EXPECT_EQ(pair_slowdown(windows), std::nullopt);
    EXPECT_EQ(core_verdict(pair_slowdown(windows)), CoreVerdict::Unclear);
    windows[2].disturbed = false;
    EXPECT_EQ(core_verdict(pair_slowdown(windows)), CoreVerdict::Shared);
    EXPECT_EQ(pair_slowdown({}), std::nullopt);
    EXPECT_EQ(pair_slowdown(std::vector<PairWindow>(9)), std::nullopt);
}

TEST(CoreProbe, HiddenSharingIsFoundAndNamed) {
    PlantedMachine machine;
    machine.shared = {{0, 1}};
    const CoreProbe probe = probe_cores(cores(4), machine.runner());
    EXPECT_EQ(found(probe, CoreVerdict::Shared), (std::vector<Pair>{{0, 1}}));
    EXPECT_EQ(found(probe, CoreVerdict::Apart).size(), 5u);
    const auto reasons = probe_reasons(probe);
    ASSERT_EQ(reasons.size(), 1u);
    EXPECT_TRUE(says(reasons, "CPUs 0+1 (1.82x) slow each other")) << reasons[0];
}

TEST(CoreProbe, NoiseNeitherHidesNorInventsSharing) {
    PlantedMachine machine;
    machine.shared = {{0, 2}, {1, 3}};
    machine.noise = 0.5;
    machine.disturbed = 0.3;
    const CoreProbe probe = probe_cores(cores(4), machine.runner());
    EXPECT_EQ(found(probe, CoreVerdict::Shared), (std::vector<Pair>{{0, 2}, {1, 3}}));
    EXPECT_EQ(found(probe, CoreVerdict::Apart).size(), 4u);
}

TEST(CoreProbe, CoresOfDifferentSpeedDoNotShare) {
    PlantedMachine machine;
    machine.clock = {{1, 0.3}};
    const CoreProbe probe = probe_cores(cores(2), machine.runner());
    EXPECT_EQ(found(probe, CoreVerdict::Apart).size(), 1u);
    EXPECT_TRUE(probe_reasons(probe).empty());
}

TEST(CoreProbe, SiblingsOfTheTopologyAreAnotherReason) {
    PlantedMachine machine;
    machine.shared = {{0, 1}};
    CpuTopology threads = cores(2);
    threads[1].core = 0;
    const auto reasons = probe_reasons(probe_cores(threads, machine.runner()));
    ASSERT_EQ(reasons.size(), 1u);
    EXPECT_TRUE(says(reasons, "hardware threads of one core")) << reasons[0];
    EXPECT_FALSE(says(reasons, "though the topology")) << reasons[0];
}

TEST(CoreProbe, ABusyMachineIsUnclear) {
    PlantedMachine machine;
    machine.disturbed = 1;
    const CoreProbe probe = probe_cores(cores(2), machine.runner());
    EXPECT_EQ(found(probe, CoreVerdict::Unclear).size(), 1u);
    EXPECT_EQ(machine.together, 0);  // without a speed alone there is nothing to compare with
    EXPECT_TRUE(says(probe_reasons(probe), "1 of 1 pairs of CPUs were too disturbed"));
}

TEST(CoreProbe, WhatTimeDoesNotAllowIsNotMeasured) {
    PlantedMachine machine;
    machine.shared = {{0, 1}};
    machine.most_together = 12;
    const CoreProbe probe = probe_cores(cores(4), machine.runner());
    EXPECT_EQ(machine.together, 12);
    ASSERT_EQ(probe.pairs.size(), 2u);
    EXPECT_EQ(probe.pairs_in_all, 6u);
    EXPECT_EQ(found(probe, CoreVerdict::Shared), (std::vector<Pair>{{0, 1}}));
}

TEST(CoreProbe, DisturbedWindowsAreTriedAgain) {
    PlantedMachine machine;
    machine.disturbed = 0.7;
    const CoreProbe probe = probe_cores(cores(2), machine.runner());
    EXPECT_GT(machine.together, 9);
    EXPECT_LE(machine.together, 40);
    EXPECT_EQ(found(probe, CoreVerdict::Apart).size(), 1u);
}

TEST(CoreProbe, AMovingClockIsAReason) {
    PlantedMachine machine;
    machine.mhz = 2000;
    EXPECT_TRUE(probe_reasons(probe_cores(cores(2), machine.runner())).empty());
    machine.mhz_step = 10;
    const auto reasons = probe_reasons(probe_cores(cores(2), machine.runner()));
    ASSERT_EQ(reasons.size(), 1u);
    EXPECT_TRUE(says(reasons, "between 2000 and 2170 MHz")) << reasons[0];
    PlantedMachine slow_at_times;
    slow_at_times.noise = 0.6;
    EXPECT_TRUE(says(probe_reasons(probe_cores(cores(2), slow_at_times.runner())),
                     "slower in a quarter of its runs"));
}

TEST(CoreProbe, EveryReasonSaysWhatToDo) {
    CoreProbe probe;
    probe.pairs = {{0, 1, 1.9, false}, {2, 3, 1.6, true}, {0, 2, std::nullopt, false}};
    probe.least_mhz = 800;
    probe.most_mhz = 3000;
    probe.slowest_quarter = 0.3;
    const auto reasons = probe_reasons(probe);
    EXPECT_EQ(reasons.size(), 5u);
    for (const std::string& reason : reasons) {
        EXPECT_NE(reason.find(": "), std::string::npos) << reason;
        EXPECT_EQ(reason.find('\n'), std::string::npos) << reason;
    }
    EXPECT_TRUE(probe_reasons({}).empty());
}

TEST(CoreProbe, LikelyPairsComeFirstAndTheirNumberIsBounded) {
    CpuTopology threads = cores(6);
    threads[5].core = 1;
    const auto pairs = pairs_to_measure(threads, 100);
    ASSERT_EQ(pairs.size(), 15u);
    EXPECT_EQ(Pair(pairs[0].first, pairs[0].second), Pair(1, 5));
    EXPECT_TRUE(pairs[0].siblings);
    EXPECT_EQ(Pair(pairs[1].first, pairs[1].second), Pair(0, 1));
    EXPECT_EQ(Pair(pairs[6].first, pairs[6].second), Pair(0, 3));
    EXPECT_EQ(pairs_to_measure(cores(300), 100).size(), 100u);
    EXPECT_TRUE(pairs_to_measure(cores(1), 100).empty());
    PlantedMachine machine;
    const CoreProbe probe = probe_cores(cores(300), machine.runner());
    EXPECT_EQ(probe.pairs_in_all, 44850u);
    EXPECT_EQ(probe.pairs.size(), 100u);
}

TEST(CoreProbe, HereEveryPairIsMeasuredAndNoThreadStaysPinned) {
    const CoreProbe probe = probe_cores_here();
    const size_t cpus = allowed_cpus().size();
    EXPECT_EQ(probe.pairs_in_all, cpus * (cpus - 1) / 2);
    for (const CpuPair& pair : probe.pairs) {
        // Two loops can not be faster than twice one, but for the clock's noise.
        EXPECT_GT(pair.slowdown.value_or(1), 0.5);
    }
    cpu_set_t now;
    CPU_ZERO(&now);
    ASSERT_EQ(sched_getaffinity(0, sizeof now, &now), 0);
    EXPECT_EQ(static_cast<size_t>(CPU_COUNT(&now)), cpus);
}

}  // namespace
}  // namespace tritbench
