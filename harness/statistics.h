// Summary of a sample of times: median, spread, and an interval for the median that assumes
// nothing about the distribution.
#pragma once

#include <optional>
#include <span>
#include <utility>
#include <vector>

namespace tritbench {

// Smallest sample for which order statistics give a 95% interval of the median.
inline constexpr int kSmallestIntervalSample = 6;

struct Summary {
    int count = 0;
    double median = 0;
    double mad = 0;  // median |x - median|, not scaled to a standard deviation
    double min = 0;
    // Order statistics that cover the median of the distribution with a probability of at least
    // 95%; nothing below kSmallestIntervalSample values.
    std::optional<std::pair<double, double>> ci95;
};

// Mean of the two middle values when their number is even. Throws Error on an empty sample.
double median(std::vector<double> values);

// The smallest value that at least this part (0 to 1) of the sample does not exceed: nearest rank,
// always a value of the sample. Throws Error on an empty sample.
double percentile(std::vector<double> values, double part);

// Throws Error on an empty sample.
Summary summarise(std::span<const double> values);

// The largest rank r (from 1) such that [x_(r), x_(n+1-r)] covers the median with a probability of
// at least `confidence`, whatever the distribution: P(Binomial(n, 1/2) < r) <= (1-confidence)/2.
// Nothing when even [min, max] does not.
std::optional<int> median_interval_rank(int n, double confidence);

}  // namespace tritbench
