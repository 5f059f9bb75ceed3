// The tuner: what may race, and what is decided from the times.
#include <gtest/gtest.h>

#include <map>
#include <set>
#include <string>
#include <vector>

#include "harness/tune/candidates.h"
#include "harness/tune/choose.h"
#include "kernels/api/error.h"
#include "kernels/api/registry.h"

namespace tritbench {
namespace {

TEST(Candidates, AreExactRunHereAndAreNotScalar) {
    for (const tb_kernel* kernel : racing_kernels({})) {
        EXPECT_EQ(kernel->exactness, TB_EXACT) << kernel->id;
        EXPECT_EQ(kernel->weight_kind, TB_WEIGHT_TERNARY) << kernel->id;
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
