// What follows from the windows; core_loop.cpp runs them.
#include "harness/core_sharing.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

namespace tritbench {
namespace {

constexpr size_t kMostPairs = 100;
// Undisturbed ones, and tries at them.
constexpr size_t kWindows = 9;
constexpr int kMostTries = 40;
constexpr double kMovingClock = 0.05;  // of what the loop took
constexpr double kMovingMhz = 1.03;    // most over least

void keep_least(std::optional<double>& least, double value) {
    least = least ? std::min(*least, value) : value;
}

void keep_most(std::optional<double>& most, double value) {
    most = most ? std::max(*most, value) : value;
}

// The best speed of a CPU alone; 0 if every window was disturbed.
double measure_alone(int cpu, const LoopRunner& runner, CoreProbe& probe) {
    std::vector<double> speeds;
    for (int i = 0; i < kMostTries && speeds.size() < kWindows && runner.time_left(); ++i) {
        if (const auto speed = runner.alone(cpu)) speeds.push_back(*speed);
        const auto mhz = runner.mhz(cpu);
        if (!mhz) continue;
        keep_least(probe.least_mhz, *mhz);
        keep_most(probe.most_mhz, *mhz);
    }
    if (speeds.empty()) return 0;
    std::sort(speeds.begin(), speeds.end());
    const double quarter = speeds[speeds.size() / 4];
    if (speeds.size() >= kLeastWindows) {
        keep_most(probe.slowest_quarter, 1 - quarter / speeds.back());
    }
    return speeds.back();
}

std::string pair_text(const CpuPair& pair) {
    return fmt::format("{}+{} ({:.2f}x)", pair.first, pair.second, *pair.slowdown);
}

}  // namespace

std::optional<double> pair_slowdown(std::span<const PairWindow> windows) {
    double most = 0;
    size_t clean = 0;
    for (const PairWindow& window : windows) {
        if (window.disturbed) continue;
        ++clean;
        most = std::max(most, window.first + window.second);
    }
    if (clean < kLeastWindows || most <= 0) return std::nullopt;
    return 2 / most;
}

CoreVerdict core_verdict(const std::optional<double>& slowdown) {
    if (!slowdown) return CoreVerdict::Unclear;
    return *slowdown > kSharedSlowdown ? CoreVerdict::Shared : CoreVerdict::Apart;
}

std::vector<CpuPair> pairs_to_measure(const CpuTopology& topology, size_t most) {
    CpuTopology threads = topology;
    std::sort(threads.begin(), threads.end(),
              [](const auto& a, const auto& b) { return a.cpu < b.cpu; });
    std::vector<CpuPair> siblings, neighbours, halves, others;
    const size_t count = threads.size();
    for (size_t i = 0; i < count; ++i) {
        for (size_t j = i + 1; j < count; ++j) {
            const bool one_core = threads[i].core == threads[j].core;
            const CpuPair pair{threads[i].cpu, threads[j].cpu, std::nullopt, one_core};
            auto& kind = one_core             ? siblings
                         : j == i + 1         ? neighbours
                         : j - i == count / 2 ? halves
                                              : others;
            kind.push_back(pair);
        }
    }
    for (const auto* more : {&neighbours, &halves, &others}) {
        siblings.insert(siblings.end(), more->begin(), more->end());
    }
    if (siblings.size() > most) siblings.resize(most);
    return siblings;
}

CoreProbe probe_cores(const CpuTopology& topology, const LoopRunner& runner) {
    CoreProbe probe;
    probe.pairs_in_all = topology.size() * (topology.size() - 1) / 2;
    std::map<int, double> alone;
    for (CpuPair pair : pairs_to_measure(topology, kMostPairs)) {
        for (const int cpu : {pair.first, pair.second}) {
            if (!alone.contains(cpu)) alone[cpu] = measure_alone(cpu, runner, probe);
        }
        const double first = alone[pair.first], second = alone[pair.second];
        if (!runner.time_left()) break;
        std::vector<PairWindow> windows;
        size_t clean = 0;
        for (int i = 0; i < kMostTries && clean < kWindows && first > 0 && second > 0; ++i) {
            if (!runner.time_left()) break;
            PairWindow window = runner.together(pair.first, pair.second);
            window.first /= first;
            window.second /= second;
            windows.push_back(window);
            clean += window.disturbed ? 0 : 1;
        }
        pair.slowdown = pair_slowdown(windows);
        probe.pairs.push_back(pair);
    }
    return probe;
}

std::vector<std::string> probe_reasons(const CoreProbe& probe) {
    std::vector<std::string> hidden, known, reasons;
    size_t unclear = 0;
    for (const CpuPair& pair : probe.pairs) {
        const CoreVerdict verdict = core_verdict(pair.slowdown);
        if (verdict == CoreVerdict::Shared)
            (pair.siblings ? known : hidden).push_back(pair_text(pair));
        if (verdict == CoreVerdict::Unclear) ++unclear;
    }
    if (!hidden.empty())
        reasons.push_back(fmt::format(
            "CPUs {} slow each other as the hardware threads of one physical core do, though the "
            "topology calls them cores: use one of each, as in '--pin {}', or a machine with cores "
            "of its own",
            fmt::join(hidden, ", "), probe.pairs.front().first));
    if (!known.empty())
        reasons.push_back(
            fmt::format("CPUs {} are hardware threads of one core and slow each other: use "
                        "'--pin cores'",
                        fmt::join(known, ", ")));
    if (unclear > 0)
        reasons.push_back(fmt::format(
            "{} of {} pairs of CPUs were too disturbed to say whether they share a core: stop "
            "other work, then run this again",
            unclear, probe.pairs.size()));
    if (probe.most_mhz && *probe.most_mhz > kMovingMhz * *probe.least_mhz)
        reasons.push_back(fmt::format(
            "the clock moved between {:.0f} and {:.0f} MHz in a loop of milliseconds: fix it with "
            "'cpupower frequency-set -d X -u X' and boost off (root)",
            *probe.least_mhz, *probe.most_mhz));
    if (probe.slowest_quarter.value_or(0) > kMovingClock)
        reasons.push_back(fmt::format(
            "one and the same loop was {:.0f}% slower in a quarter of its runs: the clock moves or "
            "others have part of the core; fix the clock, stop other work, take more repetitions",
            100 * *probe.slowest_quarter));
    return reasons;
}

}  // namespace tritbench
