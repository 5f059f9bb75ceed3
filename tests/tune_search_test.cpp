// The tuner on real products and models: proofs decide who may win, and what follows from results.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "harness/tune/model_ab.h"
#include "harness/tune/product_bench.h"
#include "harness/tune/shape_race.h"
#include "harness/tune/tune_report.h"
#include "harness/tune/tuner.h"
#include "tests/model_fixture.h"

namespace tritbench {
namespace {

using test::Folder;
using test::small_config;

constexpr tb_shape kShape{96, 256};

TuneReport silent() {
    return [](const std::string&) { return true; };
}

Candidate candidate(const tb_kernel& kernel) {
    return {&kernel, default_tile(kernel)};
}

// A kernel of i2s that answers at once, and wrongly.
void answer_nothing(const tb_product* product) {
    product->y[0] = 1;
}
tb_kernel hasty_kernel() {
    tb_kernel kernel = *find_kernel("i2s_scalar");
    kernel.id = "i2s_hasty";
    kernel.gemv = kernel.gemm = answer_nothing;
    return kernel;
}

TEST(ShapeRace, AWrongKernelIsNamedAndCannotWin) {
    const tb_kernel hasty = hasty_kernel();
    const tb_kernel& right = *find_kernel("i2s_scalar");
    TuneLayer layer;
    layer.shape = kShape;
    const tb_tile tile = default_tile(right);
    PackedField field(
        kShape,
        {{"i2s", "i2s", right.packed_size(&kShape, &tile), {candidate(right), candidate(hasty)}}},
        random_ternary_rows(kShape, 1), [](const tb_kernel&) { return uint64_t{1} << 16; },
        uint64_t{1} << 24);
    ShapeRaceOptions options;
    options.buckets = buckets_of({1, 4});
    options.weights = {1, 0};
    options.rules.most_rounds = 10;
    ThreadPool pool(1, {}, false);
    const std::vector<Candidate> standard(2, candidate(right));
    ShapeRace race(layer, field, standard, options, pool);
    const LayerResult result = race.run(1, {}, silent());
    ASSERT_EQ(result.buckets.size(), 2U);
    for (const BucketResult& bucket : result.buckets) {
        EXPECT_EQ(bucket.choice.kernel, &right);
        EXPECT_GT(bucket.ns, 0);
    }
    ASSERT_EQ(result.notes.size(), 2U);
    for (const std::string& note : result.notes) {
        EXPECT_NE(note.find("i2s_hasty is wrong"), std::string::npos) << note;
    }
}

TEST(ShapeRace, OnlyWrongKernelsAreAnErrorAndStopping) {
    const tb_kernel hasty = hasty_kernel();
    TuneLayer layer;
    layer.shape = kShape;
    const tb_tile tile = default_tile(hasty);
    const auto field = [&] {
        return PackedField(
            kShape, {{"i2s", "i2s", hasty.packed_size(&kShape, &tile), {candidate(hasty)}}},
            random_ternary_rows(kShape, 1), [](const tb_kernel&) { return uint64_t{1} << 16; },
            uint64_t{1} << 24);
    };
    ShapeRaceOptions options;
    options.buckets = buckets_of({1});
    options.weights = {1};
    ThreadPool pool(1, {}, false);
    const std::vector<Candidate> standard = {candidate(hasty)};
    PackedField one = field(), two = field();
    ShapeRace wrong(layer, one, standard, options, pool);
    EXPECT_THROW(wrong.run(1, {}, silent()), Error);
    ShapeRace stopped(layer, two, standard, options, pool);
    EXPECT_THROW(stopped.run(1, {}, [](const std::string&) { return false; }), TuneInterrupted);
}

TEST(PackedField, CopiesHoldWhatWasAskedForWithinTheMemory) {
    const tb_kernel& kernel = *find_kernel("i2s_scalar");
    const tb_tile tile = default_tile(kernel);
    const uint64_t bytes = kernel.packed_size(&kShape, &tile);
    ThreadPool pool(1, {}, false);
    const auto make = [&](uint64_t memory) {
        return PackedField(
            kShape, {{"i2s", "i2s", bytes, {candidate(kernel)}}}, random_ternary_rows(kShape, 1),
            [&](const tb_kernel&) { return 5 * bytes - 1; }, memory);
    };
    PackedField field = make(uint64_t{1} << 30);
    EXPECT_EQ(field.packed(0, pool).count(), 1U);
    ASSERT_TRUE(field.make_copies(0, pool));
    WeightCopies& copies = field.packed(0, pool);
    ASSERT_EQ(copies.count(), 5U);
    EXPECT_TRUE(copies.intact(pool));
    for (size_t i = 1; i < 5; ++i) {
        EXPECT_NE(copies.views()[i].bytes.data(), copies.views()[i - 1].bytes.data());
    }
    field.drop(0);
    EXPECT_EQ(field.packed(0, pool).count(), 5U);
    PackedField poor = make(4 * bytes);
    EXPECT_FALSE(poor.make_copies(0, pool));
    EXPECT_EQ(poor.include(candidate(kernel)), 0U);
    EXPECT_EQ(poor.include(candidate(*find_kernel("i2r_scalar"))), 1U);
    EXPECT_TRUE(poor.variants()[1].candidates.empty());
}

TEST(ProductBench, SparseActivationsHaveTheirShareOfZeros) {
    TuneLayer layer;
    layer.shape = {16, 4096};
    for (const double zeros : {0.5, 0.9}) {
        layer.zeros = zeros;
        const TestActivations x = layer_activations(layer, 4, 3);
        const auto found = static_cast<double>(std::count(x.x.begin(), x.x.end(), 0.0F));
        EXPECT_NEAR(found / static_cast<double>(x.x.size()), zeros, 0.02);
    }
}

TEST(Workload, AModelsLayersByShapeAndInput) {
    const Folder folder;
    ModelConfig config = small_config();
    config.ffn = 160;  // ffn_down has the shape of attn_q, and another input
    const GgufFile file(test::generate(folder, config));
    const Workload workload = model_workload(file, {}, 0.5);
    ASSERT_EQ(workload.layers.size(), 3U);
    EXPECT_EQ(layer_name(workload.layers[0]), "attn_q attn_output ffn_gate ffn_up 160x160");
    EXPECT_EQ(workload.layers[0].count, 8);
    EXPECT_NEAR(workload.layers[0].prepares, (1.0 / 3 + 1 + 0.5 + 0.5) / 4, 1e-12);
    EXPECT_FALSE(workload.layers[0].own_shape);
    EXPECT_EQ(layer_name(workload.layers[1]), "attn_k attn_v 80x160");
    EXPECT_TRUE(workload.layers[1].own_shape);
    EXPECT_EQ(layer_name(workload.layers[2]), "ffn_down 160x160");
    EXPECT_EQ(workload.layers[2].zeros, 0.5);
    EXPECT_EQ(workload.weights, 2U * 160 * (160 * 2 + 80 * 2 + 160 * 3));
    EXPECT_FALSE(workload.row_scales);
    EXPECT_FALSE(workload.half_scales);
    EXPECT_TRUE(model_workload(GgufFile(test::generate_for_blocks(folder)), {}, 0.5).half_scales);
}

// A result as a search leaves it: i2s is the default everywhere.
ThreadsResult result_of(const Workload& workload, const tb_kernel& gemv, const tb_kernel& gemm) {
    const tb_kernel& i2s = *find_kernel("i2s_scalar");
    ThreadsResult result;
    result.threads = 2;
    for (size_t i = 0; i < workload.layers.size(); ++i) {
        LayerResult layer;
        for (const Bucket& bucket : buckets_of({1, 8, 32})) {
            BucketResult b;
            b.bucket = bucket;
            b.standard = candidate(i2s);
            b.winner = b.choice = candidate(bucket.most == 1 ? gemv : gemm);
            layer.buckets.push_back(b);
        }
        result.layers.push_back(layer);
    }
    return result;
}

TEST(Tuner, PlansNameRolesWhereShapesDoNotTell) {
    Workload workload;
    workload.layers = {{{160, 160}, {"attn_q", "attn_output"}, 4, 1, 0, false},
                       {{80, 160}, {"attn_k", "attn_v"}, 4, 1, 0, true}};
    const tb_kernel& i2s = *find_kernel("i2s_scalar");
    const tb_kernel other = hasty_kernel();
    const Plan plan = tuned_plan(workload, result_of(workload, other, i2s));
    EXPECT_EQ(plan.threads, 2);
    ASSERT_EQ(plan.layers.size(), 3U);
    EXPECT_EQ(plan.layers[0].role, "attn_q");
    EXPECT_EQ(plan.layers[1].role, "attn_output");
    EXPECT_EQ(plan.layers[2].role, "");
    for (const PlanLayer& layer : plan.layers) {
        EXPECT_EQ(layer.layout, "i2s");
        ASSERT_EQ(layer.calls.size(), 2U);
        EXPECT_EQ(layer.calls[0].batch, 1);
        EXPECT_EQ(layer.calls[0].kernel, &other);
        EXPECT_EQ(layer.calls[1].batch, 0);
        EXPECT_EQ(layer.calls[1].kernel, &i2s);
    }
}

TEST(Tuner, TheDefaultComesBackWhereAPhaseIsNotConfirmed) {
    Workload workload;
    workload.layers = {{{160, 160}, {"attn_q"}, 4, 1, 0, true}};
    const tb_kernel& i2s = *find_kernel("i2s_scalar");
    const tb_kernel other = hasty_kernel();
    const ThreadsResult result = result_of(workload, other, other);
    EXPECT_FALSE(all_default(result));
    EXPECT_TRUE(same_layouts(result));
    EXPECT_FALSE(same_layouts(result_of(workload, *find_kernel("i2r_scalar"), i2s)));
    const auto kernel_at = [](const ThreadsResult& r, size_t bucket) {
        return r.layers.front().buckets[bucket].choice.kernel;
    };
    ThreadsResult decode = result, prefill = result, both = result;
    fall_back(decode, true, false);
    EXPECT_EQ(kernel_at(decode, 0), &i2s);
    EXPECT_EQ(kernel_at(decode, 1), &other);
    fall_back(prefill, false, true);
    EXPECT_EQ(kernel_at(prefill, 0), &other);
    EXPECT_EQ(kernel_at(prefill, 2), &i2s);
    fall_back(both, true, true);
    EXPECT_TRUE(all_default(both));
}

TEST(Tuner, WhatTheGoalWantsConfirmsAChangedLayout) {
    AbResult result;
    result.decode.gain = {1.1, {{1.05, 1.15}}};
    result.prefill.gain = {0.8, {{0.75, 0.85}}};
    result.decode.ours_ns.assign(8, 100.0);
    result.decode.standard_ns.assign(8, 110.0);
    result.prefill.ours_ns.assign(8, 10.0);
    result.prefill.standard_ns.assign(8, 8.0);
    EXPECT_TRUE(confirmed(result, Goal::Decode, true).decode);
    EXPECT_FALSE(confirmed(result, Goal::Decode, true).prefill);
    EXPECT_TRUE(confirmed(result, Goal::Decode, false).prefill);
    EXPECT_FALSE(confirmed(result, Goal::Prefill, false).decode);
    // 128 * 100 + 512 * 10 = 17920 against 128 * 110 + 512 * 8 = 18176.
    EXPECT_NEAR(balanced_gain(result).ratio, 18176.0 / 17920, 1e-12);
    EXPECT_TRUE(confirmed(result, Goal::Balanced, false).decode);
    result.prefill.standard_ns.assign(8, 7.0);
    EXPECT_FALSE(confirmed(result, Goal::Balanced, false).decode);
}

TEST(Tuner, TwoPlansAreComparedInOneModel) {
    const Folder folder;
    const auto file = std::make_shared<const GgufFile>(test::generate(folder, small_config()));
    const Plan scalar = plan_of_kernel(*find_kernel("i2r_scalar"));
    const Plan stored = plan_of_kernel(*find_kernel("i2s_scalar"));
    AbOptions options;
    options.prompt = 12;
    options.decoded = 2;
    options.least_pairs = 6;
    options.seconds = 0.01;
    const AbResult result = compare_plans(file, {}, scalar, stored, false, options, silent());
    EXPECT_EQ(result.decode.ours_ns.size(), result.decode.standard_ns.size());
    EXPECT_GE(result.decode.ours_ns.size(), 6U);
    EXPECT_GE(result.prefill.ours_ns.size(), 6U);
    EXPECT_TRUE(result.decode.gain.interval);
    EXPECT_GT(result.prefill.ours, 0);
}

}  // namespace
}  // namespace tritbench
