#include "harness/cell_filter.h"

#include <fmt/format.h>
#include <fnmatch.h>

#include <algorithm>
#include <iterator>

#include "kernels/api/registry.h"

namespace tritbench {
namespace {

using Value = std::optional<std::string>;

// Of cells of one level; `Of` is a function of the cell.
template <class Of>
Value at_level(const Cell& cell, Level level, Of&& of) {
    if (cell.level != level) return std::nullopt;
    return of();
}

// A phase's own number of tokens: 0 where the phase does not have it.
Value positive(int64_t count) {
    if (count <= 0) return std::nullopt;
    return fmt::format("{}", count);
}

struct AxisName {
    const char* name;
    Value (*value)(const Cell& cell);
};

// Kernel level.
Value shape_value(const Cell& c) {
    return at_level(c, Level::Kernel, [&] { return fmt::format("{}x{}", c.shape.n, c.shape.k); });
}
Value batch_value(const Cell& c) {
    return at_level(c, Level::Kernel, [&] { return fmt::format("{}", c.batch); });
}
Value zeros_value(const Cell& c) {
    return at_level(c, Level::Kernel, [&] { return share_text(c.zeros); });
}
Value cache_value(const Cell& c) {
    return at_level(c, Level::Kernel, [&] { return std::string(cache_name(c.cache)); });
}
Value tile_value(const Cell& c) {
    return at_level(c, Level::Kernel, [&] { return tile_name(c.kernel(), c.tile()); });
}

// Both. A model's cell that has several kernels is of none.
Value kernel_value(const Cell& c) {
    return kernel_text(c);
}
Value layout_value(const Cell& c) {
    const tb_kernel* kernel = find_kernel(kernel_text(c));
    // Kernels that are not in the registry exist in tests; at kernel level there is only one.
    if (kernel == nullptr && c.level == Level::Kernel) kernel = &c.kernel();
    return kernel == nullptr ? Value() : Value(kernel->layout);
}
Value isa_value(const Cell& c) {
    const tb_kernel* kernel = find_kernel(kernel_text(c));
    if (kernel == nullptr && c.level == Level::Kernel) kernel = &c.kernel();
    return kernel == nullptr ? Value() : Value(kernel->isa);
}
Value level_value(const Cell& c) {
    return std::string(level_name(c.level));
}
Value phase_value(const Cell& c) {
    return std::string(phase_name(c.phase));
}
Value threads_value(const Cell& c) {
    return fmt::format("{}", c.threads);
}

Value pins_value(const Cell& c) {
    return c.pins.empty() ? "default" : c.pins;
}

// Models.
Value model_value(const Cell& c) {
    return at_level(c, Level::EndToEnd,
                    [&] { return c.model.preset.empty() ? c.model.name : c.model.preset; });
}
Value mode_value(const Cell& c) {
    return at_level(c, Level::EndToEnd, [&] { return std::string(mode_name(c.mode)); });
}
Value plan_value(const Cell& c) {
    if (c.level != Level::EndToEnd || c.plan == nullptr) return std::nullopt;
    return c.plan->name;
}
Value head_value(const Cell& c) {
    return at_level(c, Level::EndToEnd, [&] { return c.model.head_type; });
}
Value kv_type_value(const Cell& c) {
    return at_level(c, Level::EndToEnd, [&] { return std::string(cache_type_name(c.cache_type)); });
}
Value prefill_value(const Cell& c) {
    return c.phase == Phase::Prefill ? positive(c.prompt) : std::nullopt;
}
Value decode_value(const Cell& c) {
    return c.phase == Phase::Decode ? positive(c.generated) : std::nullopt;
}
Value pair_value(const Cell& c) {
    if (c.phase != Phase::PrefillDecode) return std::nullopt;
    return fmt::format("{},{}", c.prompt, c.generated);
}
Value depth_value(const Cell& c) {
    return at_level(c, Level::EndToEnd, [&] { return fmt::format("{}", c.depth); });
}
Value sequences_value(const Cell& c) {
    return c.phase == Phase::Decode ? positive(c.sequences) : std::nullopt;
}
Value prefill_batch_value(const Cell& c) {
    if (c.level != Level::EndToEnd || c.phase == Phase::Decode) return std::nullopt;
    return positive(c.prefill_batch);
}

constexpr AxisName kAxes[] = {
    {"kernels", kernel_value},
    {"layouts", layout_value},
    {"isa", isa_value},
    {"level", level_value},
    {"phase", phase_value},
    {"threads", threads_value},
    {"pins", pins_value},
    {"shapes", shape_value},
    {"batch", batch_value},
    {"cache", cache_value},
    {"tile", tile_value},
    {"models", model_value},
    {"activation_zeros", zeros_value},
    {"modes", mode_value},
    {"plans", plan_value},
    {"heads", head_value},
    {"cache_types", kv_type_value},
    {"prefill", prefill_value},
    {"decode", decode_value},
    {"generate", pair_value},
    {"depth", depth_value},
    {"sequences", sequences_value},
    {"prefill_batch", prefill_batch_value},
};

bool matches_one(const std::vector<CellFilter>& filters, const Cell& cell) {
    return std::any_of(filters.begin(), filters.end(),
                       [&](const CellFilter& filter) { return filter.matches(cell); });
}

}  // namespace

std::string share_text(double share) {
    return fmt::format("{:.4f}", share);
}

const std::vector<std::string>& filter_axes() {
    static const std::vector<std::string> names = [] {
        std::vector<std::string> all;
        for (const AxisName& axis : kAxes) all.emplace_back(axis.name);
        return all;
    }();
    return names;
}

std::optional<std::string> axis_value(const Cell& cell, std::string_view axis) {
    const auto* const found = std::find_if(std::begin(kAxes), std::end(kAxes),
                                           [&](const AxisName& a) { return axis == a.name; });
    return found == std::end(kAxes) ? std::nullopt : found->value(cell);
}

bool CellFilter::matches(const Cell& cell) const {
    return std::all_of(conditions.begin(), conditions.end(), [&](const CellCondition& condition) {
        const auto value = axis_value(cell, condition.axis);
        if (!value) return false;
        return std::any_of(
            condition.values.begin(), condition.values.end(),
            [&](const std::string& glob) { return fnmatch(glob.c_str(), value->c_str(), 0) == 0; });
    });
}

bool CellSelection::keeps(const Cell& cell) const {
    return !matches_one(exclude, cell) &&
           std::all_of(only.begin(), only.end(),
                       [&](const auto& filters) { return matches_one(filters, cell); });
}

void CellSelection::apply(std::vector<Cell>& cells) const {
    if (empty()) return;
    std::erase_if(cells, [&](const Cell& cell) { return !keeps(cell); });
}

void CellSelection::add(const CellSelection& other) {
    exclude.insert(exclude.end(), other.exclude.begin(), other.exclude.end());
    only.insert(only.end(), other.only.begin(), other.only.end());
}

}  // namespace tritbench
