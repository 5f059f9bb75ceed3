// The study of coverage on this machine, with a real kernel and real noise.
#pragma once

#include "harness/cell.h"
#include "harness/study/coverage.h"

namespace tritbench {

struct RealCoverageOptions {
    double seconds = 600;
    uint64_t seed = 1;
    bool (*stop)() = nullptr;  // asked between trials; null: never
};

struct RealCoverageResult {
    CoverageCounts counts;
    tb_shape slower{};      // of C: about 2% more rows
    double true_ratio = 0;  // of C / A: the median over the pairs of all trials
};

// Trials with the kernel, shape, threads, cache mode and repetitions of a cell, until the time is
// over; at least one. A, its twin, B and D are the same cell as four items. C is the same
// kernel on a matrix with about 2% more rows; what that costs is known from all trials together.
// Throws Error where the kernel does not take such a shape.
RealCoverageResult real_coverage(const Cell& cell, const RealCoverageOptions& options);

}  // namespace tritbench
