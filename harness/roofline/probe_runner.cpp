#include "harness/roofline/probe_runner.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cmath>

namespace tritbench {

namespace {

using Clock = std::chrono::steady_clock;

// What probes return ends here, so that their work is needed.
std::atomic<uint64_t> g_sink{0};

// One timed run of all workers; times are those of each worker inside the job.
struct WorkerTimes {
    alignas(64) Clock::time_point begin;
    Clock::time_point end;
};

// Seconds from the first worker's start to the last one's end of body(worker).
template <class Body>
double run_timed(ThreadPool& pool, Body&& body) {
    std::vector<WorkerTimes> times(static_cast<size_t>(pool.threads()));
    pool.for_each_worker([&](int worker, int) {
        WorkerTimes& mine = times[static_cast<size_t>(worker)];
        mine.begin = Clock::now();
        g_sink.fetch_xor(body(worker), std::memory_order_relaxed);
        mine.end = Clock::now();
    });
    Clock::time_point begin = times[0].begin, end = times[0].end;
    for (const WorkerTimes& t : times) {
        begin = std::min(begin, t.begin);
        end = std::max(end, t.end);
    }
    return std::max(std::chrono::duration<double>(end - begin).count(), 1e-9);
}

// Runs all workers once, keeps the rate if it is the best yet, and returns the seconds.
double measure_once(ThreadPool& pool, ProbeCandidate& candidate) {
    const double seconds =
        run_timed(pool, [&](int worker) { return candidate.repeat(worker, candidate.count); });
    const double work = candidate.work_per_unit * static_cast<double>(candidate.count);
    candidate.best = std::max(candidate.best, work / seconds * 1e-9);
    return seconds;
}

// Finds how many units last `seconds` by quadrupling: the cost of one unit is unknown by orders of
// magnitude, and the first runs also warm caches, pages and the clock. Rates of runs too short for
// the clock and the start of the workers to be negligible are forgotten.
void calibrate(ThreadPool& pool, ProbeCandidate& candidate, double seconds) {
    for (candidate.count = 1; candidate.count < (uint64_t{1} << 56); candidate.count *= 4) {
        candidate.best = 0;
        const double taken = measure_once(pool, candidate);
        if (taken >= seconds) return;
        if (taken >= seconds / 8) {
            const double wanted = static_cast<double>(candidate.count) * seconds / taken;
            candidate.count = static_cast<uint64_t>(std::ceil(wanted));
            candidate.best = 0;
            measure_once(pool, candidate);
            return;
        }
    }
}

}  // namespace

void measure_all(ThreadPool& pool, std::vector<ProbeCandidate>& candidates,
                 const CeilingOptions& options) {
    double best = 0;
    for (ProbeCandidate& candidate : candidates) {
        calibrate(pool, candidate, options.probe_seconds / 4);
        best = std::max(best, candidate.best);
    }
    std::vector<ProbeCandidate*> finalists;
    for (ProbeCandidate& candidate : candidates)
        if (candidate.best >= 0.85 * best) finalists.push_back(&candidate);
    std::sort(finalists.begin(), finalists.end(),
              [](const ProbeCandidate* a, const ProbeCandidate* b) { return a->best > b->best; });
    constexpr size_t kMostFinalists = 3;
    if (finalists.size() > kMostFinalists) finalists.resize(kMostFinalists);
    for (ProbeCandidate* candidate : finalists) {
        const double units =
            candidate->best * 1e9 * options.probe_seconds / candidate->work_per_unit;
        candidate->count = std::max<uint64_t>(1, static_cast<uint64_t>(std::ceil(units)));
    }
    for (int t = 0; t < options.tries; ++t)
        for (ProbeCandidate* candidate : finalists) measure_once(pool, *candidate);
}

}  // namespace tritbench
