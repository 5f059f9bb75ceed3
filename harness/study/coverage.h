// How often the intervals and limits of a sweep hold the truth, on machines where it is known.
//
// A trial measures four cells of which three are equal: A, its twin (the A/A control), B equal to
// A, and C that takes 2% longer. Asked is how often the 95% interval of a paired ratio has the true
// ratio, how often B is told apart from A though nothing is different (by the medians of their
// times and the limit that the control sets, as tables do it), and how often C is.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "harness/stopping.h"
#include "harness/study/fake_machine.h"

namespace tritbench {

enum class Schedule {
    Interleaved,  // rounds in random order, as a sweep has them
    OneByOne      // all repetitions of a cell, then those of the next: what a sweep does not do
};
std::string_view schedule_name(Schedule schedule);  // "interleaved", "one_by_one"

struct CoverageCase {
    PlantedNoise noise;
    Schedule schedule = Schedule::Interleaved;
    int repetitions = 10;
    double precision = 0;  // as in StoppingRules; only interleaved
};

// Of C in a fake machine.
inline constexpr double kHandicap = 1.02;

// The samples of a trial.
struct TrialSamples {
    std::vector<double> a, twin, b, c, d;
};

// Sums over trials.
struct CoverageCounts {
    int trials = 0;
    int64_t repetitions = 0;   // of A
    int equal_covered = 0;     // the interval of B / A has 1
    int slower_covered = 0;    // that of C / A has its true ratio
    int false_claims = 0;      // B differs from D, by their ratios to the control
    int false_by_medians = 0;  // B differs from D, by their medians
    int found = 0;             // C is slower than B, by their ratios to the control
    double half_widths = 0;    // of the interval of C / A, over the ratio
    double limits = 0;

    // Trials with fewer than kSmallestIntervalSample pairs are an error.
    void add(const TrialSamples& samples, double true_ratio);
    double per_trial(double sum) const { return sum / trials; }
};

CoverageCounts study_case(const CoverageCase& one, int trials, uint64_t seed);

// Every noise, both schedules, 10, 30 and 100 repetitions, and a precision of 1%.
std::vector<CoverageCase> coverage_cases();

// "noise,schedule,rule,trials,...\n" and a line of it.
std::string coverage_header();
std::string coverage_line(const std::string& noise, const std::string& schedule,
                          const std::string& rule, const CoverageCounts& counts);
std::string rule_text(const CoverageCase& one);  // "10", "1%"

}  // namespace tritbench
