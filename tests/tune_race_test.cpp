// Races of the tuner against a timer that is made up.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>
#include <set>
#include <vector>

#include "harness/tune/race.h"
#include "kernels/api/error.h"

namespace tritbench {
namespace {

// A machine: what a repetition takes on it, from the true times of its candidates.
class FakeMachine {
  public:
    struct Character {
        double noise = 0.03;         // of every repetition, log-normal
        double burst_begins = 0.02;  // chance that a burst begins with a repetition ...
        double burst_ends = 0.25;    // ... and that it ends with one
        double burst = 2.0;          // how much slower it makes
        double drift = 0.3;          // of the clock, up and down
        double period = 400;         // repetitions of a drift
    };

    FakeMachine(std::vector<double> truth, const Character& character, uint64_t seed)
        : truth_(std::move(truth)), character_(character), random_(seed) {
        phase_ = 6.28 * uniform();
    }

    double repetition(size_t candidate) {
        ++repetitions;
        in_burst_ =
            in_burst_ ? uniform() >= character_.burst_ends : uniform() < character_.burst_begins;
        const double noise = std::exp(character_.noise * normal_(random_));
        const double drift =
            1 + character_.drift / 2 * std::sin(phase_ + 6.28 * repetitions / character_.period);
        return truth_[candidate] * noise * drift * (in_burst_ ? character_.burst : 1.0);
    }

    int repetitions = 0;

  private:
    double uniform() { return std::uniform_real_distribution<double>()(random_); }

    std::vector<double> truth_;
    Character character_;
    std::mt19937_64 random_;
    std::normal_distribution<double> normal_;
    double phase_ = 0;
    bool in_burst_ = false;
};

// Times as candidates of a shape have them: two as good as equal, some close, most far behind. The
// fastest stands anywhere.
std::vector<double> field_of_20(uint64_t seed) {
    std::vector<double> truth = {1.0,  1.005, 1.03, 1.05, 1.08, 1.12, 1.2, 1.3, 1.4, 1.5,
                                 1.65, 1.8,   2.0,  2.0,  2.2,  2.5,  2.8, 3.0, 4.0, 6.0};
    std::mt19937_64 random(seed);
    std::shuffle(truth.begin(), truth.end(), random);
    for (double& ns : truth) ns *= 1e5;
    return truth;
}

struct Outcome {
    double loss = 0;  // of the winner, against the best
    int repetitions = 0, rounds = 0;
    std::vector<Standing> standings;
};

Outcome race_once(const std::vector<double>& truth, const FakeMachine::Character& character,
                  uint64_t seed, const RaceRules& rules = {}) {
    FakeMachine machine(truth, character, seed);
    Race race(truth.size(), rules, seed + 1);
    while (!race.decided()) race.round([&](size_t i) { return machine.repetition(i); });
    const double best = *std::min_element(truth.begin(), truth.end());
    return {truth[race.leader()] / best - 1, machine.repetitions, race.rounds(), race.standings()};
}

// What one would do without a race: as many repetitions, one candidate after the other, the mean.
double loss_without_race(const std::vector<double>& truth, const FakeMachine::Character& character,
                         uint64_t seed, int repetitions) {
    FakeMachine machine(truth, character, seed);
    size_t winner = 0;
    double least = 0;
    const int each = std::max(1, repetitions / static_cast<int>(truth.size()));
    for (size_t i = 0; i < truth.size(); ++i) {
        double sum = 0;
        for (int r = 0; r < each; ++r) sum += machine.repetition(i);
        if (i == 0 || sum < least) {
            winner = i;
            least = sum;
        }
    }
    return truth[winner] / *std::min_element(truth.begin(), truth.end()) - 1;
}

constexpr int kSeeds = 300;

// In at least 98 of 100 races on a noisy, drifting machine with bursts, the best or one within 1%
// of it wins. As many repetitions without racing find one in less than two of three.
TEST(Race, TheBestOrOneWithinAPercentWins) {
    const FakeMachine::Character character;
    int won = 0, won_without = 0;
    for (uint64_t seed = 0; seed < kSeeds; ++seed) {
        const std::vector<double> truth = field_of_20(seed);
        const Outcome outcome = race_once(truth, character, 100 + seed);
        won += outcome.loss <= 0.01 ? 1 : 0;
        const double without = loss_without_race(truth, character, 100 + seed, outcome.repetitions);
        won_without += without <= 0.01 ? 1 : 0;
    }
    EXPECT_GE(won, kSeeds * 98 / 100);
    EXPECT_LT(won_without, kSeeds * 2 / 3);
}

// Who is 1.5 times as slow goes as soon as it may, mostly, and hardly ever later than the first
// interval allows; and the race as a whole takes
// less than half of what everybody to the end would.
TEST(Race, LosersAreDroppedEarly) {
    const RaceRules rules;
    int far = 0, at_once = 0, soon = 0;
    double repetitions = 0, to_the_end = 0;
    for (uint64_t seed = 0; seed < kSeeds; ++seed) {
        const std::vector<double> truth = field_of_20(seed);
        const Outcome outcome = race_once(truth, {}, 100 + seed);
        repetitions += outcome.repetitions;
        to_the_end += outcome.rounds * static_cast<double>(truth.size());
        for (size_t i = 0; i < truth.size(); ++i) {
            if (truth[i] < 1.5e5) continue;
            ++far;
            at_once += outcome.standings[i].rounds == rules.hopeless_rounds ? 1 : 0;
            EXPECT_FALSE(outcome.standings[i].racing);
            soon += outcome.standings[i].rounds <= rules.least_rounds + 1 ? 1 : 0;
            EXPECT_LE(outcome.standings[i].rounds, 2 * rules.least_rounds) << seed;
        }
    }
    EXPECT_GE(at_once, far * 7 / 10);
    EXPECT_GE(soon, far * 98 / 100);
    EXPECT_LT(repetitions, to_the_end / 3);
}

// The best is dropped in less than 1 of 100 races, though intervals are looked at in every round.
TEST(Race, TheBestIsHardlyEverDropped) {
    FakeMachine::Character noisy;
    noisy.noise = 0.08;
    noisy.burst_begins = 0.05;
    int dropped = 0;
    for (uint64_t seed = 0; seed < kSeeds; ++seed) {
        const std::vector<double> truth = field_of_20(seed);
        const Outcome outcome = race_once(truth, noisy, 500 + seed);
        const auto best = std::min_element(truth.begin(), truth.end()) - truth.begin();
        const double its = truth[static_cast<size_t>(best)];
        // Dropped by one that is as good is no loss.
        const bool lost =
            !outcome.standings[static_cast<size_t>(best)].racing && outcome.loss > 0.01 && its > 0;
        dropped += lost ? 1 : 0;
    }
    EXPECT_LE(dropped, kSeeds / 100);
}

TEST(Race, EqualCandidatesEndItAndKeepOne) {
    FakeMachine::Character quiet;
    quiet.noise = 0.004;
    quiet.burst_begins = 0;
    quiet.drift = 0;
    const Outcome outcome = race_once({100, 100, 100, 100}, quiet, 3);
    EXPECT_LT(outcome.rounds, RaceRules{}.most_rounds);
    EXPECT_EQ(outcome.loss, 0);
}

// Noise alone must not end a race early: nobody is told apart by it.
TEST(Race, NoiseWithoutADifferenceTakesAllRounds) {
    FakeMachine::Character noisy;
    noisy.noise = 0.3;
    int dropped = 0;
    for (uint64_t seed = 0; seed < 50; ++seed) {
        const Outcome outcome = race_once({100, 100}, noisy, seed);
        dropped += outcome.rounds < RaceRules{}.most_rounds ? 1 : 0;
    }
    EXPECT_LE(dropped, 8);
}

TEST(Race, StandingsAreRatiosToTheLeaderRoundByRound) {
    RaceRules rules;
    rules.hopeless = 1e9;
    rules.least_rounds = 100;
    Race race(3, rules, 1);
    // Drift doubles the time of every round; the ratios stay.
    double speed = 1;
    for (int round = 0; round < 8; ++round) {
        race.round([&](size_t i) { return speed * (i == 1 ? 10 : i == 0 ? 15 : 12); });
        speed *= 2;
    }
    const std::vector<Standing> s = race.standings();
    EXPECT_EQ(race.leader(), 1U);
    EXPECT_EQ(s[0].ratio, 1.5);
    EXPECT_EQ(s[2].ratio, 1.2);
    EXPECT_EQ(s[1].ratio, 1);
    EXPECT_FALSE(s[1].interval);
    ASSERT_TRUE(s[0].interval);
    EXPECT_EQ(s[0].interval->first, 1.5);
    EXPECT_EQ(s[0].ns, 1.5 * s[1].ns);
    EXPECT_EQ(race.racing(), 3U);
    EXPECT_FALSE(race.decided());
}

// 1.25 times as long in one round of three is not hopeless, nor is it where the machine is noisy.
TEST(Race, HopelessIsEveryRoundOfAQuietMachine) {
    const auto racing_after = [](const std::vector<double>& slow, const std::vector<double>& fast) {
        Race race(2, {}, 1);
        for (size_t r = 0; r < slow.size(); ++r) {
            race.round([&](size_t i) { return i == 0 ? slow[r] : fast[r]; });
        }
        return race.racing();
    };
    EXPECT_EQ(racing_after({130, 130}, {100, 100}), 2U);
    EXPECT_EQ(racing_after({130, 130, 130}, {100, 100, 100}), 1U);
    EXPECT_EQ(racing_after({130, 110, 130}, {100, 100, 100}), 2U);
    EXPECT_EQ(racing_after({260, 130, 130}, {100, 100, 100}), 2U);
    EXPECT_EQ(racing_after({260, 390, 260}, {100, 130, 100}), 2U);
}

TEST(Race, EveryRoundTimesAllInAnotherOrder) {
    Race race(6, {}, 7);
    std::set<std::vector<size_t>> orders;
    for (int round = 0; round < 5; ++round) {
        std::vector<size_t> order;
        race.round([&](size_t i) {
            order.push_back(i);
            return 100.0;
        });
        orders.insert(order);
        std::sort(order.begin(), order.end());
        EXPECT_EQ(order, (std::vector<size_t>{0, 1, 2, 3, 4, 5}));
    }
    EXPECT_GT(orders.size(), 1U);
}

TEST(Race, OnlyOneIsDecidedAtOnceAndNoneIsAnError) {
    Race race(1, {}, 1);
    EXPECT_FALSE(race.decided());
    race.round([](size_t) { return 5.0; });
    EXPECT_TRUE(race.decided());
    EXPECT_THROW(Race(0, {}, 1), Error);
}

TEST(Race, PairedRatioIgnoresDrift) {
    std::vector<double> slow, fast;
    for (int i = 0; i < 20; ++i) {
        const double speed = std::pow(1.3, i);
        fast.push_back(speed);
        slow.push_back(1.25 * speed);
    }
    const Summary ratio = paired_ratio(slow, fast);
    EXPECT_NEAR(ratio.median, 1.25, 1e-12);
    ASSERT_TRUE(ratio.ci95);
    EXPECT_NEAR(ratio.ci95->first, 1.25, 1e-12);
    EXPECT_THROW(paired_ratio(slow, {}), Error);
}

}  // namespace
}  // namespace tritbench
