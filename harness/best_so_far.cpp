#include "harness/best_so_far.h"

#include <fmt/format.h>

#include "harness/cell.h"
#include "harness/report.h"

namespace tritbench {
namespace {

std::string threads_text(const Row& row) {
    return row[Column::Threads] + (row[Column::Threads] == "1" ? " thread" : " threads");
}

// What rows have in common that may be compared, as a person would say it.
std::string group_text(const Row& row) {
    if (row[Column::Level] != level_name(Level::Kernel)) {
        std::string text =
            fmt::format("{} {}, {}", row[Column::Model], test_text(row), threads_text(row));
        if (!row[Column::HeadType].empty()) text += ", head " + row[Column::HeadType];
        return text;
    }
    const std::string& zeros = row[Column::ActivationZeros];
    return fmt::format("{}x{} batch {}{}, {}, {}", row[Column::N], row[Column::K],
                       row[Column::Batch], zeros.empty() ? "" : ", zeros " + zeros,
                       threads_text(row), row[Column::CacheMode]);
}

// A model's row is its plan's, which may have several kernels.
std::string speed_text(const Row& row) {
    if (row[Column::Level] == level_name(Level::Kernel)) {
        return fmt::format("{} {}", row[Column::Kernel], time_text(row, Column::MedianNs));
    }
    return fmt::format("{} {:.4g} tokens/s",
                       row[Column::Plan].empty() ? row[Column::Kernel] : row[Column::Plan],
                       row.number(Column::TokensPerS).value_or(0));
}

}  // namespace

void BestSoFar::add(const Row& row) {
    const double ns = row.number(Column::MedianNs).value_or(0);
    if (row[Column::Status] != "ok" || ns <= 0) return;
    last_ = group_text(row);
    Best& best = groups_[last_];
    if (best.ns > 0 && best.ns <= ns) return;
    best = {ns, fmt::format("best {} ({})", speed_text(row), last_)};
}

std::string BestSoFar::text() const {
    const auto found = groups_.find(last_);
    return found == groups_.end() ? "" : found->second.text;
}

std::string BestSoFar::beside(const std::string& note) const {
    const std::string best = text();
    return best.empty() ? note : note + "; " + best;
}

}  // namespace tritbench
