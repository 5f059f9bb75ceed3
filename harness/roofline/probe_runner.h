// Timing of probes on all workers of a pool: calibrates, screens, and keeps the best try of each.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "harness/roofline/ceilings.h"
#include "model/thread_pool.h"

namespace tritbench {

// A probe ready to run: `repeat(worker, count)` does `count` units of work.
struct ProbeCandidate {
    std::string name;
    std::function<uint64_t(int worker, uint64_t count)> repeat;
    double work_per_unit = 0;  // of all workers together: bytes, multiply-accumulates
    uint64_t count = 1;        // calibrated
    double best = 0;           // 1e9 per second
};

// Screens all candidates with one short try, then gives those near the best their full tries,
// interleaved, so that a quiet moment of the machine is seen by each.
void measure_all(ThreadPool& pool, std::vector<ProbeCandidate>& candidates,
                 const CeilingOptions& options);

}  // namespace tritbench
