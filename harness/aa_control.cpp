#include "harness/aa_control.h"

#include <fmt/format.h>

#include <algorithm>

#include "harness/measure.h"
#include "kernels/api/error.h"

namespace tritbench {

namespace {

// In the first `rounds`, or as many as both have.
std::optional<Summary> ratio_by_rounds(const Stopping& stopping, size_t item, size_t to,
                                       size_t rounds, double confidence) {
    const std::span<const double> a = stopping.samples(item), b = stopping.samples(to);
    rounds = std::min({rounds, a.size(), b.size()});
    if (rounds == 0) return std::nullopt;
    return paired_ratio(a.first(rounds), b.first(rounds), confidence);
}

}  // namespace

size_t control_cell(std::span<const Cell* const> cells) {
    if (cells.empty()) throw Error("control: no cells; expected at least one");
    const auto better = [](const Cell* a, const Cell* b) {
        if (a->repetitions != b->repetitions) return a->repetitions > b->repetitions;
        return repetition_weight(*a) < repetition_weight(*b);
    };
    return static_cast<size_t>(std::min_element(cells.begin(), cells.end(), better) -
                               cells.begin());
}

StoppingRules stopping_rules(const MeasureOptions& options, double after_s) {
    StoppingRules rules{options.precision, 0};
    if (options.deadline_ns > 0) {
        const double left_s = static_cast<double>(options.deadline_ns - now_ns()) / 1e9;
        rules.budget_s = std::max(1e-9, left_s - after_s);  // 0 would be no limit
    }
    return rules;
}

Ending ending_of(const Stopping& stopping, size_t item,
                 const std::optional<ControlItems>& control) {
    Ending ending;
    const size_t rounds = stopping.samples(item).size();
    ending.repetitions = static_cast<int>(rounds);
    ending.reason = stopping.reason(item);
    ending.confidence = stopping.confidence(item);
    ending.half_width = stopping.half_width(item);
    if (!control) return ending;
    ending.control = control->label;
    const auto ratio = ratio_by_rounds(stopping, item, control->item, rounds, ending.confidence);
    if (ratio) ending.control_ratio = ratio->median;
    ending.twins =
        ratio_by_rounds(stopping, control->twin, control->item, rounds, ending.confidence);
    return ending;
}

void set_ending(Row& row, const Ending& ending) {
    row.set(Column::Repetitions, ending.repetitions);
    row.set(Column::StopReason, end_reason_name(ending.reason));
    if (ending.half_width) row.set(Column::Ci95Pct, 100 * *ending.half_width, 3);
    row.set(Column::Control, ending.control);
    if (ending.control_ratio) row.set(Column::ControlRatio, *ending.control_ratio, 5);
    if (!ending.twins || !ending.twins->ci95) return;
    row.set(Column::AaRatioLo, ending.twins->ci95->first, 5);
    row.set(Column::AaRatioHi, ending.twins->ci95->second, 5);
    row.set(Column::AaLimitPct, 100 * *claim_limit(*ending.twins), 3);
}

std::string control_note(const std::vector<Row>& rows) {
    std::optional<double> least, most;
    for (const Row& row : rows) {
        const auto limit = row.number(Column::AaLimitPct);
        if (!limit) continue;
        least = std::min(least.value_or(*limit), *limit);
        most = std::max(most.value_or(*limit), *limit);
    }
    if (!most) return "";
    const std::string each = *least < *most ? fmt::format("{:.1f} to {:.1f}%", *least, *most)
                                            : fmt::format("{:.1f}%", *most);
    return fmt::format(
        "A/A control: one cell measured twice; differences of less than {} are not claimed "
        "(aa_limit_pct)\n",
        each);
}

}  // namespace tritbench
