// Which mode a model is measured in.
#include "harness/model_mode.h"

#include <gtest/gtest.h>

#include "kernels/api/error.h"

namespace tritbench {
namespace {

constexpr uint64_t kGb = 1'000'000'000;

// 80 layers of 0.25 GB, 1 GB beside them.
ModelNeeds large() {
    ModelNeeds needs;
    needs.layers = 80;
    needs.layer_bytes = kGb / 4;
    needs.other_bytes = kGb;
    needs.file_bytes = 26 * kGb;
    needs.seconds = 600;
    return needs;
}

ModelLimits plenty() {
    return {100 * kGb, 100 * kGb, 32 << 20, 0};
}

TEST(ModelMode, IsFullWhereEverythingFits) {
    const ModeChoice choice = choose_mode(large(), plenty());
    EXPECT_EQ(choice.mode, ModelMode::Full);
    EXPECT_EQ(choice.window.distinct, 0);
    EXPECT_EQ(choice.window.run, 0);
}

TEST(ModelMode, NeedsNoDiskForAFileThatIsThere) {
    ModelNeeds needs = large();
    ModelLimits limits = plenty();
    limits.disk = 0;
    EXPECT_EQ(choose_mode(needs, limits).mode, ModelMode::ShapeOnly);
    needs.has_file = true;
    EXPECT_EQ(choose_mode(needs, limits).mode, ModelMode::Full);
}

TEST(ModelMode, SavesTheTimeOfWritingAFile) {
    ModelLimits limits = plenty();
    limits.budget_s = 610;  // 52 s more for the file
    const ModeChoice choice = choose_mode(large(), limits);
    EXPECT_EQ(choice.mode, ModelMode::ShapeOnly);
    EXPECT_NE(choice.why.find("budget"), std::string::npos);
    limits.budget_s = 660;
    EXPECT_EQ(choose_mode(large(), limits).mode, ModelMode::Full);
}

TEST(ModelMode, IsAWindowOfFourCachesWhereMemoryIsShort) {
    ModelLimits limits = plenty();
    limits.memory = 20 * kGb;  // 21 are needed
    ModeChoice choice = choose_mode(large(), limits);
    EXPECT_EQ(choice.mode, ModelMode::LayerWindow);
    EXPECT_EQ(choice.window.distinct, 2);
    EXPECT_EQ(choice.window.run, 80);
    EXPECT_NE(choice.why.find("21.0 GB"), std::string::npos) << choice.why;
    limits.last_level_cache = kGb / 2;
    choice = choose_mode(large(), limits);
    EXPECT_EQ(choice.window.distinct, 8);
    EXPECT_EQ(choice.window.run, 80);
}

TEST(ModelMode, RunsFewerLayersWhereTimeIsShortInWholeTurns) {
    ModelLimits limits = plenty();
    limits.last_level_cache = kGb / 2;  // a window of 8
    limits.budget_s = 200;
    const ModeChoice choice = choose_mode(large(), limits);
    EXPECT_EQ(choice.mode, ModelMode::LayerWindow);
    EXPECT_EQ(choice.window.distinct, 8);
    EXPECT_EQ(choice.window.run, 24);  // of 26 that 200 s pay for
    limits.budget_s = 1;
    EXPECT_EQ(choose_mode(large(), limits).window.run, 8);
    limits.memory = 10 * kGb;
    limits.budget_s = 200;
    EXPECT_EQ(choose_mode(large(), limits).window.run, 24);
}

TEST(ModelMode, IsRefusedWhereNotEvenAWindowFits) {
    ModelLimits limits = plenty();
    limits.memory = kGb;
    try {
        choose_mode(large(), limits);
        FAIL() << "no error";
    } catch (const Error& e) {
        EXPECT_NE(std::string(e.what()).find("1.5 GB"), std::string::npos) << e.what();
    }
}

TEST(ModelMode, WindowHasNoMoreLayersThanTheModel) {
    ModelNeeds needs = large();
    EXPECT_EQ(least_window(needs, 100 * kGb), 80);
    needs.layers = 1;
    EXPECT_EQ(least_window(needs, 1), 1);
}

TEST(ModelMode, IsNamedInOneWay) {
    for (const ModelMode mode : {ModelMode::Full, ModelMode::ShapeOnly, ModelMode::LayerWindow}) {
        EXPECT_EQ(parse_mode(mode_name(mode), "--mode"), mode);
    }
    EXPECT_THROW(parse_mode("half", "--mode"), Error);
    EXPECT_TRUE(is_auto_mode("auto"));
    EXPECT_FALSE(is_auto_mode("full"));
}

}  // namespace
}  // namespace tritbench
