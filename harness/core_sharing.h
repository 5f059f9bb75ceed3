// Which CPUs share one physical core, and whether the clock holds still: found by measuring.
//
// Virtual machines often hide that two of their CPUs are the hardware threads of one core, or take
// turns on one. A loop of independent multiplications keeps a core's multiplier busy in every
// cycle. On two cores it runs as fast twice as it does alone; on one core the two get half of it
// each.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "harness/topology.h"

namespace tritbench {

// A short time in which two CPUs ran the loop together.
struct PairWindow {
    double first = 0, second = 0;  // speed of each, as a part of the best it reached alone
    bool disturbed = false;        // a thread lost its CPU, or they did not run at the same time
};

enum class CoreVerdict { Apart, Shared, Unclear };

// How much longer the loop takes when both run it, 1 for separate cores and 2 for half a core each;
// empty with fewer than kLeastWindows undisturbed windows. Whatever disturbs a window only makes it
// slower, so that the fastest tells.
inline constexpr size_t kLeastWindows = 3;
inline constexpr double kSharedSlowdown = 1.25;
std::optional<double> pair_slowdown(std::span<const PairWindow> windows);
// Shared above kSharedSlowdown.
CoreVerdict core_verdict(const std::optional<double>& slowdown);

// One pair of CPUs as measured.
struct CpuPair {
    int first = 0, second = 0;
    std::optional<double> slowdown;
    bool siblings = false;  // the topology says that they share a core
};

struct CoreProbe {
    std::vector<CpuPair> pairs;
    size_t pairs_in_all = 0;  // of the allowed CPUs; more than `pairs` on large machines
    // The loop alone: how much slower than the best a quarter of the windows was, at least, on the
    // CPU where that is most; and the frequencies that the system reported meanwhile.
    std::optional<double> slowest_quarter;  // 0.05: 5%
    std::optional<double> least_mhz, most_mhz;
};

// Pairs in the order in which they are worth measuring, at most `most`: those of the topology's
// cores, then neighbours by number, then those half the machine apart, where numbering puts the
// hardware threads of a core, then all others.
std::vector<CpuPair> pairs_to_measure(const CpuTopology& topology, size_t most);

// Runs one or two CPUs for a window; replaced by tests.
struct LoopRunner {
    // Speed of the loop alone on a CPU, any unit; empty: disturbed.
    std::function<std::optional<double>(int cpu)> alone;
    // Speeds of both together, in the same unit.
    std::function<PairWindow(int first, int second)> together;
    std::function<std::optional<double>(int cpu)> mhz;  // that the system reports
    std::function<bool()> time_left;                    // false: what is not measured by now is not
};
CoreProbe probe_cores(const CpuTopology& topology, const LoopRunner& runner);

// On this machine, in some 10 ms a pair, and 2 s in all.
CoreProbe probe_cores_here();

// Reasons to distrust timings, each with what to do: "what: what to do".
std::vector<std::string> probe_reasons(const CoreProbe& probe);

}  // namespace tritbench
