#include "harness/cell_filter.h"

#include <gtest/gtest.h>

#include "harness/axes.h"
#include "kernels/api/registry.h"
#include "tests/temporary_folder.h"

namespace tritbench {
namespace {

std::vector<Cell> products() {
    KernelAxes axes;
    axes.kernels = {find_kernel("i2s_scalar"), find_kernel("int8_scalar")};
    axes.shapes = {{256, 128}};
    axes.batches = {1, 8};
    axes.caches = {CacheMode::Hot, CacheMode::Cold};
    return kernel_cells(axes);
}

TEST(CellFilter, AllConditionsMustHoldAndOneValueOfEach) {
    const auto cells = products();
    const CellFilter filter{{{"kernels", {"i2s_*", "t5r_*"}}, {"batch", {"8"}}}};
    size_t matched = 0;
    for (const Cell& cell : cells) {
        const bool expected = cell.kernel().id == std::string("i2s_scalar") && cell.batch == 8;
        EXPECT_EQ(filter.matches(cell), expected) << cell_label(cell);
        matched += filter.matches(cell) ? 1 : 0;
    }
    EXPECT_EQ(matched, 2U);
}

TEST(CellFilter, AnAxisThatACellHasNotDoesNotMatch) {
    for (const Cell& cell : products()) {
        EXPECT_FALSE((CellFilter{{{"models", {"*"}}}}.matches(cell)));
        EXPECT_FALSE((CellFilter{{{"depth", {"0"}}}}.matches(cell)));
        EXPECT_FALSE((CellFilter{{{"no_such_axis", {"*"}}}}.matches(cell)));
        EXPECT_EQ(axis_value(cell, "shapes"), "256x128");
        EXPECT_EQ(axis_value(cell, "level"), "kernel");
        EXPECT_EQ(axis_value(cell, "layouts"), cell.kernel().layout);
        EXPECT_EQ(axis_value(cell, "isa"), "scalar");
        EXPECT_EQ(axis_value(cell, "activation_zeros"), share_text(0));
    }
}

TEST(CellFilter, EveryAxisIsOneThatSomeCellHas) {
    TemporaryFolder folder;
    ModelAxes axes;
    axes.models = {model_preset("125M", folder / "models")};
    axes.plans = {"default"};
    axes.kernels = {find_kernel("i2s_scalar")};
    axes.prefill = {8};
    axes.decode = {4};
    axes.pairs = {{8, 4}};
    std::vector<Cell> cells = model_cells(axes);
    for (const Cell& cell : products()) cells.push_back(cell);
    for (const std::string& axis : filter_axes()) {
        const bool known = std::any_of(cells.begin(), cells.end(), [&](const Cell& cell) {
            return axis_value(cell, axis).has_value();
        });
        EXPECT_TRUE(known) << axis;
    }
    const Cell& pair = *std::find_if(cells.begin(), cells.end(), [](const Cell& cell) {
        return cell.phase == Phase::PrefillDecode;
    });
    EXPECT_EQ(axis_value(pair, "generate"), "8,4");
    EXPECT_EQ(axis_value(pair, "models"), "125M");
    EXPECT_EQ(axis_value(pair, "modes"), "full");
    EXPECT_EQ(axis_value(pair, "cache_types"), "f16");
    EXPECT_EQ(axis_value(pair, "prefill"), std::nullopt);
}

TEST(CellSelection, ExclusionsAddUpAndEveryFilterMustHold) {
    CellSelection selection;
    EXPECT_TRUE(selection.empty());
    auto cells = products();
    selection.apply(cells);
    EXPECT_EQ(cells.size(), 8U);
    selection.exclude = {{{{"batch", {"8"}}, {"cache", {"cold"}}}}};
    selection.apply(cells);
    EXPECT_EQ(cells.size(), 6U);
    CellSelection more;
    more.only = {{{{{"batch", {"8"}}}}, {{{"cache", {"cold"}}}}}, {{{{"kernels", {"i2s_*"}}}}}};
    selection.add(more);
    selection.apply(cells);
    ASSERT_EQ(cells.size(), 2U);
    for (const Cell& cell : cells) {
        EXPECT_STREQ(cell.kernel().id, "i2s_scalar");
        EXPECT_TRUE((cell.batch == 8) != (cell.cache == CacheMode::Cold));
    }
}

}  // namespace
}  // namespace tritbench
