// The tuner: races against a timer that is made up, what may race, and what is decided from it.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>
#include <random>
#include <set>
#include <string>

#include "harness/measure.h"
#include "harness/tune/candidates.h"
#include "harness/tune/choose.h"
#include "harness/tune/race.h"
#include "kernels/api/error.h"
#include "kernels/api/registry.h"

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

TEST(Candidates, AreExactRunHereAndAreNotScalar) {
    for (const tb_kernel* kernel : racing_kernels({})) {
        EXPECT_EQ(kernel->exactness, TB_EXACT) << kernel->id;
        EXPECT_TRUE(runs_here(*kernel)) << kernel->id;
        EXPECT_NE(kernel->scale_type, TB_SCALE_F16) << kernel->id;
        EXPECT_STRNE(kernel->isa, "scalar");
    }
    CandidateRules wide;
    wide.bounded = wide.half_scales = true;
    EXPECT_GT(racing_kernels(wide).size(), racing_kernels({}).size());
    CandidateRules one_scale;
    one_scale.row_scales = true;
    for (const tb_kernel* kernel : racing_kernels(one_scale)) {
        EXPECT_NE(kernel->scale_granularity, TB_SCALE_TENSOR) << kernel->id;
    }
}

TEST(Candidates, ScalarKernelsRaceWhereNothingElseDoes) {
    CandidateRules rules;
    rules.globs = "i2s_scalar";
    ASSERT_EQ(racing_kernels(rules).size(), 1U);
    rules.globs = "f16_*";
    EXPECT_THROW(racing_kernels(rules), Error);
    rules.globs = "no_such_kernel";
    EXPECT_THROW(racing_kernels(rules), Error);
}

TEST(Candidates, VariantsShareBytesAndHoldEveryTileOnce) {
    CandidateRules rules;
    rules.globs = "tl2_scalar,i2r_scalar";
    const auto variants = packed_variants(racing_kernels(rules), {640, 2560});
    std::set<std::string> seen;
    std::map<std::string, size_t> of_layout;
    for (const PackedVariant& variant : variants) {
        ++of_layout[variant.layout];
        for (const Candidate& c : variant.candidates) {
            EXPECT_EQ(variant_name(c), variant.name);
            EXPECT_EQ(c.kernel->layout, variant.layout);
            EXPECT_TRUE(seen.insert(candidate_name(c)).second) << candidate_name(c);
        }
    }
    EXPECT_EQ(of_layout["i2r"], 1U);
    EXPECT_EQ(of_layout["tl2"], 8U * 4U);  // BM x BK, without the two BK that are unsafe
    EXPECT_THROW(packed_variants(racing_kernels(rules), {640, 0}), Error);
}

TEST(Candidates, BucketsEndWithTheirBatchesAndTheLastIsOpen) {
    const auto buckets = buckets_of({1, 8, 32});
    ASSERT_EQ(buckets.size(), 3U);
    EXPECT_EQ(bucket_name(buckets[0]), "1");
    EXPECT_EQ(bucket_name(buckets[1]), "2-8");
    EXPECT_EQ(bucket_name(buckets[2]), "9-");
    EXPECT_EQ(buckets[2].raced, 32);
    EXPECT_THROW(buckets_of({8, 8}), Error);
    EXPECT_THROW(buckets_of({0}), Error);
    EXPECT_THROW(buckets_of({}), Error);
}

TEST(Candidates, PrefetchRacesForSingleTokensOnly) {
    CandidateRules rules;
    rules.globs = "i2s_scalar,i2s_avx2,i2s_ssse3";
    for (const PackedVariant& variant : packed_variants(racing_kernels(rules), {256, 256})) {
        const auto gemv = candidates_for(variant, {1, 1, 1});
        const auto gemm = candidates_for(variant, {2, 0, 32});
        for (const Candidate& c : gemm) {
            EXPECT_EQ(tile_name(*c.kernel, c.tile), tile_name(*c.kernel, default_tile(*c.kernel)));
        }
        if (gemv.front().kernel->tile_param_count > 0) {
            EXPECT_GT(gemv.size(), gemm.size());
        }
    }
}

TEST(Choose, GoalsWeighBatches) {
    const std::vector<int64_t> batches = {1, 8, 128};
    EXPECT_EQ(goal_weights(Goal::Decode, batches), (std::vector<double>{128, 0, 0}));
    EXPECT_EQ(goal_weights(Goal::Prefill, batches), (std::vector<double>{0, 0, 4}));
    EXPECT_EQ(goal_weights(Goal::Balanced, batches), (std::vector<double>{128, 0, 4}));
    EXPECT_EQ(goal_weights(Goal::Balanced, std::vector<int64_t>{32}), (std::vector<double>{20}));
    EXPECT_EQ(parse_goal("balanced"), Goal::Balanced);
    EXPECT_THROW(parse_goal("speed"), Error);
}

TEST(Choose, TheFastestLayoutUnlessAPreferredOneIsAsGood) {
    const std::vector<VariantTime> times = {{"i2s", 130}, {"t5r", 100}, {"t3r", 100.9}};
    EXPECT_EQ(choose_variant(times, {}), 1U);
    const std::vector<std::string> like_t3r = {"i2s", "t3r"}, like_i2s = {"i2s"};
    EXPECT_EQ(choose_variant(times, like_t3r), 2U);
    EXPECT_EQ(choose_variant(times, like_i2s), 1U);
    EXPECT_THROW(choose_variant({}, {}), Error);
}

TEST(Choose, EqualNeighboursBecomeOneCallAndTheLastIsOpen) {
    const tb_kernel& i2s = *find_kernel("i2s_scalar");
    const tb_kernel& other = *find_kernel("i2r_scalar");
    const Candidate a{&i2s, default_tile(i2s)}, b{&other, default_tile(other)};
    const std::vector<Choice> choices = {{1, a}, {8, b}, {32, b}, {128, a}};
    const std::vector<Choice> merged = merge_choices(choices);
    ASSERT_EQ(merged.size(), 3U);
    EXPECT_EQ(merged[0].batch, 1);
    EXPECT_EQ(merged[1].batch, 32);
    EXPECT_EQ(merged[1].candidate.kernel, &other);
    EXPECT_EQ(merged[2].batch, 0);
}

TEST(Choose, AGainIsOneOnlyBeyondItsInterval) {
    EXPECT_TRUE((Gain{1.05, {{1.01, 1.1}}}).beyond_doubt());
    EXPECT_FALSE((Gain{1.05, {{0.99, 1.1}}}).beyond_doubt());
    EXPECT_FALSE((Gain{1.05, {}}).beyond_doubt());
    EXPECT_TRUE((Gain{0.9, {{0.85, 0.99}}}).loss_beyond_doubt());
    EXPECT_EQ(gain_text({1.05, {{1.01, 1.1}}}), "1.050x [1.010, 1.100]");
}

}  // namespace
}  // namespace tritbench
