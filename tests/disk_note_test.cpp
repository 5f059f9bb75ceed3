// What is told of models that memory cannot hold.
#include "harness/disk_note.h"

#include <gtest/gtest.h>

#include "dummy_models/presets.h"
#include "harness/named_plan.h"
#include "kernels/api/registry.h"
#include "tests/gguf_bytes.h"

namespace tritbench {
namespace {

constexpr uint64_t kGb = 1'000'000'000;

TEST(DiskNote, SaysWhatIsTooLargeAndWhatToDo) {
    const std::string note = disk_note("a/b.gguf", 26 * kGb, 25 * kGb, 22 * kGb);
    EXPECT_HAS(note, "a/b.gguf: 26.0 GB");
    EXPECT_HAS(note, "22.0 GB of memory are available");
    EXPECT_HAS(note, "read from the disk at every token");
    EXPECT_HAS(note, "a smaller format");
    EXPECT_HAS(note, "layer_window");
    EXPECT_EQ(note.find('\n'), std::string::npos);
}

TEST(DiskNote, IsNotGivenWhereTheWeightsFit) {
    EXPECT_EQ(disk_note("m", 26 * kGb, 22 * kGb, 22 * kGb), "");
    EXPECT_NE(disk_note("m", 26 * kGb, 22 * kGb + 1, 22 * kGb), "");
    // Nothing mapped: what is packed anew is refused elsewhere.
    EXPECT_EQ(disk_note("m", 26 * kGb, 0, 22 * kGb), "");
}

TEST(DiskNote, CountsTheWeightsThatAPlanLeavesInTheFile) {
    const ModelConfig& c = find_preset("125M").config;
    const uint64_t head = 2 * static_cast<uint64_t>(c.vocab * c.hidden);
    Plan plan = plan_of_kernel(*find_kernel("i2s_scalar"));
    EXPECT_EQ(weights_of_mapped(plan, c, "t5r", c.layers), 0U);
    EXPECT_EQ(weights_of_mapped(plan, c, "", c.layers), 0U);
    const auto layers = static_cast<uint64_t>(c.layers);
    EXPECT_EQ(weights_of_mapped(plan, c, "i2s", c.layers), layers * layer_bytes(plan, c) + head);
    EXPECT_EQ(weights_of_mapped(plan, c, "i2s", 2), 2 * layer_bytes(plan, c) + head);
    // One role packed anew: it takes memory beside what is mapped.
    const Plan other = plan_of_kernel(*find_kernel("int8_scalar"));
    plan.layers.insert(plan.layers.begin(), other.layers.front());
    plan.layers.front().role = "ffn_down";
    const uint64_t mixed = weights_of_mapped(plan, c, "i2s", c.layers);
    EXPECT_EQ(mixed, layers * layer_bytes(plan, c) + head);
    EXPECT_GT(mixed, weights_of_mapped(plan, c, "i2s", 1));
    EXPECT_EQ(weights_of_mapped(plan, c, "int8", c.layers), mixed);
}

}  // namespace
}  // namespace tritbench
