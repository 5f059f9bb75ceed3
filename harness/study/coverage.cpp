#include "harness/study/coverage.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "harness/statistics.h"

namespace tritbench {
namespace {

constexpr double kWorkSeconds = 0.0025;  // of a repetition, as kernel cells have them

double difference(double a, double b) {
    return std::max(a, b) / std::min(a, b) - 1;
}

Summary ratio_of(const std::vector<double>& slow, const std::vector<double>& fast) {
    const size_t both = std::min(slow.size(), fast.size());
    return paired_ratio(std::span(slow).first(both), std::span(fast).first(both));
}

bool covers(const Summary& summary, double truth) {
    return summary.ci95.value().first <= truth && truth <= summary.ci95.value().second;
}

TrialSamples trial(const CoverageCase& one, uint64_t seed) {
    constexpr double kWork[] = {kWorkSeconds, kWorkSeconds, kWorkSeconds, kWorkSeconds * kHandicap,
                                kWorkSeconds};
    FakeMachine machine(one.noise, seed);
    std::vector<std::vector<double>> samples(std::size(kWork));
    if (one.schedule == Schedule::OneByOne) {
        for (size_t item = 0; item < samples.size(); ++item) {
            for (int i = 0; i < one.repetitions; ++i) {
                samples[item].push_back(machine.run(kWork[item]));
            }
        }
    } else {
        Stopping stopping(std::vector<int>(samples.size(), one.repetitions), {one.precision, 0});
        stopping.control(0, 1);
        run_rounds(
            stopping, seed + 1, [&] { return static_cast<int64_t>(machine.now_s() * 1e9); },
            [&](size_t item, int) { return std::optional(machine.run(kWork[item])); });
        for (size_t item = 0; item < samples.size(); ++item) {
            samples[item] = stopping.samples(item);
        }
    }
    return {samples[0], samples[1], samples[2], samples[3], samples[4]};
}

}  // namespace

std::string_view schedule_name(Schedule schedule) {
    return schedule == Schedule::Interleaved ? "interleaved" : "one_by_one";
}

void CoverageCounts::add(const TrialSamples& samples, double true_ratio) {
    const Summary equal = ratio_of(samples.b, samples.a);
    const Summary slower = ratio_of(samples.c, samples.a);
    // Of the rounds that a cell has; of two, the larger counts.
    const auto limit_of = [&](const std::vector<double>& cell) {
        const std::vector<double> twin(samples.twin.begin(),
                                       samples.twin.begin() + static_cast<ptrdiff_t>(cell.size()));
        return claim_limit(ratio_of(twin, samples.a)).value();
    };
    const double limit_b = limit_of(samples.b);
    const double limit = std::max(limit_b, limit_of(samples.d));
    ++trials;
    repetitions += static_cast<int64_t>(samples.a.size());
    equal_covered += covers(equal, 1) ? 1 : 0;
    slower_covered += covers(slower, true_ratio) ? 1 : 0;
    const Summary other = ratio_of(samples.d, samples.a);
    false_claims += difference(equal.median, other.median) > limit ? 1 : 0;
    false_by_medians += difference(median(samples.b), median(samples.d)) > limit ? 1 : 0;
    found += slower.median / equal.median - 1 > std::max(limit_b, limit_of(samples.c)) ? 1 : 0;
    half_widths += relative_half_width(slower).value();
    limits += limit;
}

CoverageCounts study_case(const CoverageCase& one, int trials, uint64_t seed) {
    CoverageCounts counts;
    std::mt19937_64 seeds(seed);
    for (int i = 0; i < trials; ++i) counts.add(trial(one, seeds()), kHandicap);
    return counts;
}

std::vector<CoverageCase> coverage_cases() {
    std::vector<CoverageCase> cases;
    for (const PlantedNoise& noise : planted_noises()) {
        for (const Schedule schedule : {Schedule::Interleaved, Schedule::OneByOne}) {
            for (const int repetitions : {10, 30, 100}) {
                cases.push_back({noise, schedule, repetitions, 0});
            }
        }
        cases.push_back({noise, Schedule::Interleaved, 10, 0.01});
    }
    return cases;
}

std::string rule_text(const CoverageCase& one) {
    return one.precision > 0 ? fmt::format("{:.3g}%", 100 * one.precision)
                             : fmt::format("{}", one.repetitions);
}

std::string coverage_header() {
    return "noise,schedule,rule,trials,mean_repetitions,covered_equal_pct,covered_slower_pct,"
           "half_width_pct,aa_limit_pct,false_claims_pct,"
           "false_by_medians_pct,found_slower_pct\n";
}

std::string coverage_line(const std::string& noise, const std::string& schedule,
                          const std::string& rule, const CoverageCounts& counts) {
    const auto percent = [&](double sum) { return 100 * counts.per_trial(sum); };
    return fmt::format(
        "{},{},{},{},{:.1f},{:.2f},{:.2f},{:.3f},{:.3f},{:.2f},{:.2f},{:.2f}\n", noise, schedule,
        rule, counts.trials, counts.per_trial(static_cast<double>(counts.repetitions)),
        percent(counts.equal_covered), percent(counts.slower_covered), percent(counts.half_widths),
        percent(counts.limits), percent(counts.false_claims), percent(counts.false_by_medians),
        percent(counts.found));
}

}  // namespace tritbench
