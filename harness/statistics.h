// Summary of a sample of times: median, spread, and an interval for the median that assumes
// nothing about the distribution; ratios by pairs; the smallest difference that may be claimed.
#pragma once

#include <optional>
#include <span>
#include <utility>
#include <vector>

namespace tritbench {

// Smallest sample for which order statistics give a 95% interval of the median.
inline constexpr int kSmallestIntervalSample = 6;
inline constexpr double kUsualConfidence = 0.95;

struct Summary {
    int count = 0;
    double median = 0;
    double mad = 0;  // median |x - median|, not scaled to a standard deviation
    double min = 0;
    // Order statistics that cover the median of the distribution with a probability of at least
    // 95%, or as was asked; nothing below kSmallestIntervalSample values.
    std::optional<std::pair<double, double>> ci95;
};

// Mean of the two middle values when their number is even. Throws Error on an empty sample.
double median(std::vector<double> values);

// The smallest value that at least this part (0 to 1) of the sample does not exceed: nearest rank,
// always a value of the sample. Throws Error on an empty sample.
double percentile(std::vector<double> values, double part);

// Throws Error on an empty sample.
Summary summarise(std::span<const double> values, double confidence = kUsualConfidence);

// The largest rank r (from 1) such that [x_(r), x_(n+1-r)] covers the median with a probability of
// at least `confidence`, whatever the distribution: P(Binomial(n, 1/2) < r) <= (1-confidence)/2.
// Nothing when even [min, max] does not.
std::optional<int> median_interval_rank(int n, double confidence);

// The order statistics of these ranks; nothing where there are too few values.
std::optional<std::pair<double, double>> median_interval(std::vector<double> values,
                                                         double confidence = kUsualConfidence);

// Half the width of the interval over the median; nothing without an interval.
std::optional<double> relative_half_width(const Summary& summary);

// How many times as long `slow` took as `fast`, by pairs: the median of slow[i] / fast[i], and its
// interval. Pairs of one round share what the machine did in it, so that drift cancels; with the
// order within rounds random, the ratio is as often too high as too low, whatever the noise, and
// the interval covers the true ratio as it promises. Throws Error unless both have the same,
// positive, number of values.
Summary paired_ratio(std::span<const double> slow, std::span<const double> fast,
                     double confidence = kUsualConfidence);

// The smallest relative difference (0.01: one percent) that may be claimed between two things
// measured as the two of this ratio were, which are one thing in truth: how far the farther end of
// the ratio's interval is from 1. Noise widens the interval, what differs though it should not
// (place in memory, neighbours in the caches) moves it: both count. Nothing without an interval.
std::optional<double> claim_limit(const Summary& ratio_of_equals);

}  // namespace tritbench
