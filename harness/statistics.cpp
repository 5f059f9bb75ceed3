#include "harness/statistics.h"

#include <algorithm>
#include <cmath>

#include "kernels/api/error.h"

namespace tritbench {

double median(std::vector<double> values) {
    if (values.empty()) throw Error("median of an empty sample");
    std::sort(values.begin(), values.end());
    const size_t half = values.size() / 2;
    return values.size() % 2 == 1 ? values[half] : (values[half - 1] + values[half]) / 2;
}

double percentile(std::vector<double> values, double part) {
    if (values.empty()) throw Error("percentile of an empty sample");
    // A product such as 0.9 * 10 may come out a little above the whole number that it is.
    const double rank = std::ceil(part * static_cast<double>(values.size()) - 1e-9);
    const auto place = static_cast<size_t>(
        std::clamp<double>(rank - 1, 0, static_cast<double>(values.size() - 1)));
    std::nth_element(values.begin(), values.begin() + static_cast<ptrdiff_t>(place), values.end());
    return values[place];
}

std::optional<int> median_interval_rank(int n, double confidence) {
    const double tail = (1 - confidence) / 2;
    double below = 0;  // P(Binomial(n, 1/2) < rank)
    int rank = 0;
    for (int i = 0; i < n / 2; ++i) {
        const double log_term = std::lgamma(n + 1.0) - std::lgamma(i + 1.0) -
                                std::lgamma(n - i + 1.0) - n * std::log(2.0);
        below += std::exp(log_term);
        if (below > tail) break;
        rank = i + 1;
    }
    if (rank == 0) return std::nullopt;
    return rank;
}

std::optional<std::pair<double, double>> median_interval(std::vector<double> values,
                                                         double confidence) {
    const auto rank = median_interval_rank(static_cast<int>(values.size()), confidence);
    if (!rank) return std::nullopt;
    std::sort(values.begin(), values.end());
    const auto r = static_cast<size_t>(*rank);
    return std::pair(values[r - 1], values[values.size() - r]);
}

Summary summarise(std::span<const double> values, double confidence) {
    std::vector<double> sorted(values.begin(), values.end());
    std::sort(sorted.begin(), sorted.end());
    Summary summary;
    summary.median = median(sorted);
    summary.count = static_cast<int>(sorted.size());
    summary.min = sorted.front();
    std::vector<double> deviations;
    deviations.reserve(sorted.size());
    for (const double value : sorted) deviations.push_back(std::abs(value - summary.median));
    summary.mad = median(std::move(deviations));
    summary.ci95 = median_interval(std::move(sorted), confidence);
    return summary;
}

std::optional<double> relative_half_width(const Summary& summary) {
    if (!summary.ci95) return std::nullopt;
    return (summary.ci95->second - summary.ci95->first) / 2 / summary.median;
}

Summary paired_ratio(std::span<const double> slow, std::span<const double> fast,
                     double confidence) {
    if (slow.size() != fast.size()) throw Error("ratio of pairs: samples of different sizes");
    std::vector<double> ratios(slow.size());
    for (size_t i = 0; i < slow.size(); ++i) ratios[i] = slow[i] / fast[i];
    return summarise(ratios, confidence);
}

std::optional<double> claim_limit(const Summary& ratio_of_equals) {
    if (!ratio_of_equals.ci95) return std::nullopt;
    const auto [low, high] = *ratio_of_equals.ci95;
    return std::max(std::abs(low - 1), std::abs(high - 1));
}

}  // namespace tritbench
