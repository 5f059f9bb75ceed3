#include "harness/budget.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <numeric>

#include "harness/aa_control.h"
#include "harness/environment.h"
#include "harness/sweep.h"
#include "kernels/api/error.h"
#include "model/printable.h"

namespace tritbench {
namespace {

// repetition_weight() counts these.
constexpr double kStepSeconds = 0.01;

std::string duration(double seconds) {
    const auto s = static_cast<int64_t>(std::max(1.0, seconds + 0.5));
    if (s < 60) return fmt::format("{}s", s);
    if (s < 3600) return fmt::format("{}m{:02}s", s / 60, s % 60);
    return fmt::format("{}h{:02}m", s / 3600, s / 60 % 60);
}

double predicted_s(const Cell& cell) {
    return kStepSeconds * static_cast<double>(progress_steps(cell));
}

}  // namespace

uint64_t progress_steps(const Cell& cell) {
    return (static_cast<uint64_t>(cell.repetitions) + 2) * repetition_weight(cell);
}

double predicted_block_s(const std::vector<Cell>& cells, const Members& block,
                         const MeasureOptions& options) {
    double seconds = 0;
    std::map<std::pair<int, std::string>, std::vector<const Cell*>> passes;  // each has a control
    for (const size_t position : block) {
        seconds += predicted_s(cells[position]);
        passes[{cells[position].threads, cells[position].pins}].push_back(&cells[position]);
    }
    if (!options.control) return seconds;
    for (const auto& [threads, pass] : passes) seconds += predicted_s(*pass[control_cell(pass)]);
    return seconds;
}

std::string plan_text(const std::vector<Cell>& cells, const MeasureOptions& options) {
    Members all;
    for (size_t i = 0; i < cells.size(); ++i) {
        if (cells[i].unavailable.empty()) all.push_back(i);
    }
    const auto blocks = make_blocks(cells, all, available_memory_bytes(), last_level_cache_bytes());
    double seconds = 0;
    for (const Members& block : blocks) seconds += predicted_block_s(cells, block, options);
    const double most = seconds * (1 << kMostDoublings);
    std::string text =
        fmt::format("{} cell{} in {} block{}{}: about {} with the repetitions asked", all.size(),
                    all.size() == 1 ? "" : "s", blocks.size(), blocks.size() == 1 ? "" : "s",
                    options.control ? ", each with an A/A control" : "", duration(seconds));
    if (options.precision > 0) {
        text += fmt::format(", up to {} for a precision of {:.3g}%", duration(most),
                            100 * options.precision);
    }
    if (options.budget_s > 0) text += fmt::format("; ends after {}", duration(options.budget_s));
    const bool models = std::any_of(cells.begin(), cells.end(),
                                    [](const Cell& cell) { return cell.level == Level::EndToEnd; });
    return text + (models ? "; loading models comes on top" : "");
}

double parse_precision(const std::string& text, const std::string& where) {
    size_t used = 0;
    double value = 0;
    try {
        value = std::stod(text, &used);
    } catch (const std::exception&) {
        used = 0;
    }
    if (used == 0 || text.substr(used) != "%" || !(value > 0) || !(value <= 50)) {
        throw Error(fmt::format("{} '{}': expected percent above 0 and up to 50, such as 1%", where,
                                printable(text, 40)));
    }
    return value / 100;
}

BudgetShares::BudgetShares(const std::vector<Cell>& cells, const std::vector<Members>& blocks,
                           const MeasureOptions& options, int64_t begin_ns) {
    for (const Members& block : blocks) {
        predicted_s_.push_back(predicted_block_s(cells, block, options));
    }
    if (options.budget_s > 0) end_ns_ = begin_ns + static_cast<int64_t>(options.budget_s * 1e9);
}

int64_t BudgetShares::next_deadline(int64_t now_ns) {
    const double mine = predicted_s_[next_];
    const double left = std::accumulate(predicted_s_.begin() + static_cast<ptrdiff_t>(next_),
                                        predicted_s_.end(), 0.0);
    ++next_;
    if (end_ns_ == 0) return 0;
    const auto time_left = static_cast<double>(std::max<int64_t>(0, end_ns_ - now_ns));
    return now_ns + static_cast<int64_t>(time_left * mine / left);
}

}  // namespace tritbench
