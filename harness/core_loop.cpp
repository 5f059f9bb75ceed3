// The loop that keeps a core busy, on one CPU or on two at the same time.
#include <sys/resource.h>

#include <algorithm>
#include <array>
#include <atomic>

#include "harness/core_sharing.h"
#include "harness/measure.h"
#include "harness/system_files.h"
#include "model/thread_pool.h"

namespace tritbench {
namespace {

constexpr int64_t kWindowNs = 500'000;
constexpr int64_t kWarmUpNs = 5'000'000;
constexpr int64_t kMostProbeNs = 1'900'000'000;
// Of each other's windows that must be at the same time.
constexpr double kOverlap = 0.9;

// Eight independent chains: more than the latency of a multiplication times those that begin in a
// cycle, on any core. Some microseconds.
void spin_chunk() {
    std::array<uint64_t, 8> x{1, 3, 5, 7, 9, 11, 13, 15};
    for (int i = 0; i < 1000; ++i) {
        for (uint64_t& value : x) {
            value *= 0x9e3779b97f4a7c15ULL;
            __asm__ volatile("" : "+r"(value));
        }
    }
}

uint64_t switches_of_thread() {
    rusage usage{};
    getrusage(RUSAGE_THREAD, &usage);
    return static_cast<uint64_t>(usage.ru_nivcsw);
}

struct alignas(64) LoopWindow {
    int64_t begin = 0, end = 0;
    int64_t chunks = 0;
    bool switched = false;

    double speed() const { return static_cast<double>(chunks) / static_cast<double>(end - begin); }
};

LoopWindow run_window(int64_t length_ns) {
    LoopWindow window;
    const uint64_t switches = switches_of_thread();
    window.begin = window.end = now_ns();
    while (window.end - window.begin < length_ns) {
        spin_chunk();
        ++window.chunks;
        window.end = now_ns();
    }
    window.switched = switches_of_thread() != switches;
    return window;
}

double overlap(const LoopWindow& a, const LoopWindow& b) {
    const int64_t both = std::min(a.end, b.end) - std::max(a.begin, b.begin);
    const int64_t longer = std::max(a.end - a.begin, b.end - b.begin);
    return static_cast<double>(both) / static_cast<double>(longer);
}

// Pools are kept from window to window: a pair is measured several times in a row.
class HereRunner {
  public:
    std::optional<double> alone(int cpu) {
        const bool fresh = use({cpu});
        LoopWindow window;
        pool_->for_each_worker([&](int, int) {
            if (fresh) run_window(kWarmUpNs);
            window = run_window(kWindowNs);
        });
        return window.switched ? std::nullopt : std::optional(window.speed());
    }

    PairWindow together(int first, int second) {
        use({first, second});
        std::array<LoopWindow, 2> windows;
        std::atomic<int> arrived{0};
        pool_->for_each_worker([&](int worker, int workers) {
            arrived.fetch_add(1);
            while (arrived.load() < workers) {
            }
            windows[static_cast<size_t>(worker)] = run_window(kWindowNs);
        });
        const auto& [a, b] = windows;
        return {a.speed(), b.speed(), a.switched || b.switched || overlap(a, b) < kOverlap};
    }

  private:
    // True if these CPUs were not those of the window before.
    bool use(const std::vector<int>& cpus) {
        if (pool_ && pool_->pins() == cpus) return false;
        pool_.reset();
        pool_ = std::make_unique<ThreadPool>(static_cast<int>(cpus.size()), cpus);
        return true;
    }

    std::unique_ptr<ThreadPool> pool_;
};

std::optional<double> reported_mhz(int cpu) {
    const auto khz = SystemFiles("/").integer("sys/devices/system/cpu/cpu" + std::to_string(cpu) +
                                              "/cpufreq/scaling_cur_freq");
    if (!khz || *khz <= 0) return std::nullopt;
    return static_cast<double>(*khz) / 1000;
}

}  // namespace

CoreProbe probe_cores_here() {
    HereRunner runner;
    const int64_t deadline = now_ns() + kMostProbeNs;
    return probe_cores(topology_here(),
                       {[&](int cpu) { return runner.alone(cpu); },
                        [&](int first, int second) { return runner.together(first, second); },
                        reported_mhz, [&] { return now_ns() < deadline; }});
}

}  // namespace tritbench
