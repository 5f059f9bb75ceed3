// Which cells of an experiment are left out, or are the only ones: conditions on their axes.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "harness/cell.h"

namespace tritbench {

// One axis and the values that are meant, as shell globs: "kernels", {"i2s_*"}; "batch", {"8"}.
struct CellCondition {
    std::string axis;
    std::vector<std::string> values;
};

// Conditions that must all hold.
struct CellFilter {
    std::vector<CellCondition> conditions;

    bool matches(const Cell& cell) const;
};

// What becomes of the cells of one table of axes.
struct CellSelection {
    std::vector<CellFilter> exclude;            // a cell that one of these matches is left out
    std::vector<std::vector<CellFilter>> only;  // of each of these lists one must match

    bool empty() const { return exclude.empty() && only.empty(); }
    bool keeps(const Cell& cell) const;
    // Cells that are not kept are removed.
    void apply(std::vector<Cell>& cells) const;
    // Takes over the conditions of `other` as well.
    void add(const CellSelection& other);
};

// The names that a condition may have, those of the keys of a spec: "kernels", "batch", "depth" ...
const std::vector<std::string>& filter_axes();

// The cell's value on an axis of filter_axes(), as a condition's values have it: "i2s_avx2",
// "2560x6912", "8". Nothing where the cell has no such axis: the batch of a model's cell.
std::optional<std::string> axis_value(const Cell& cell, std::string_view axis);

// "0.83", as activation_zeros are compared.
std::string share_text(double share);

}  // namespace tritbench
