#include "harness/study/real_coverage.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <random>

#include "harness/cell_bench.h"
#include "harness/environment.h"
#include "harness/kernel_cells.h"
#include "harness/measure.h"
#include "kernels/api/error.h"

namespace tritbench {
namespace {

// The nearest shape from 2% more rows on that the kernel takes.
tb_shape with_more_rows(const Cell& cell) {
    const auto from = static_cast<int64_t>(std::ceil(static_cast<double>(cell.shape.n) * 1.02));
    for (tb_shape shape{from, cell.shape.k}; shape.n < 2 * from; ++shape.n) {
        if (cell.kernel().accepts(&shape, &cell.tile()).code == TB_OK) return shape;
    }
    throw Error(fmt::format("{} takes no shape of a few more rows than {}x{}; give another shape",
                            cell.kernel().id, cell.shape.n, cell.shape.k));
}

// One item with what it does not share.
struct RealItem {
    RealItem(ThreadPool& pool, const Cell& cell, const RowProvider& rows, const TestActivations& x,
             WeightCopies* shared, size_t copies, uint64_t seed)
        : own(shared != nullptr ? nullptr
                                : std::make_unique<WeightCopies>(
                                      pool, cell.kernel(), cell.tile(), cell.shape, rows, copies,
                                      static_cast<size_t>(cell.kernel().packed_overread))),
          bench(pool, cell, 0, shared != nullptr ? *shared : *own, rows, x, seed) {
        bench.proved = bench.prove([] {});
        if (!bench.proved.ok()) {
            throw Error(fmt::format("{}: {}", cell_label(cell), bench.proved.reason));
        }
        bench.warm_up();
    }
    std::unique_ptr<WeightCopies> own;
    CellBench bench;
};

}  // namespace

RealCoverageResult real_coverage(const Cell& cell, const RealCoverageOptions& options) {
    const int64_t end = now_ns() + static_cast<int64_t>(options.seconds * 1e9);
    Cell slower = cell;
    slower.shape = with_more_rows(cell);
    ThreadPool pool(cell.threads);
    const RowProvider rows = random_ternary_rows(cell.shape, options.seed);
    const RowProvider more_rows = random_ternary_rows(slower.shape, options.seed);
    const TestActivations x = random_activations(cell.batch, cell.shape.k, options.seed + 1);
    const uint64_t bytes = cell.kernel().packed_size(&cell.shape, &cell.tile());
    const uint64_t wanted = weight_copies_bytes(cell, last_level_cache_bytes());
    const uint64_t possible = available_memory_bytes() / 2 / 5 / (bytes + 4096);
    const auto copies = static_cast<size_t>(
        std::clamp<uint64_t>((wanted + bytes - 1) / bytes, 1, std::max<uint64_t>(1, possible)));

    std::vector<std::unique_ptr<RealItem>> items;
    for (int i = 0; i < 4; ++i) {
        // A hot cell has one copy of the weights, which its twin shares.
        WeightCopies* shared = copies == 1 && i > 0 ? items.front()->own.get() : nullptr;
        items.push_back(
            std::make_unique<RealItem>(pool, cell, rows, x, shared, copies, options.seed));
    }
    items.insert(items.begin() + 3, std::make_unique<RealItem>(pool, slower, more_rows, x, nullptr,
                                                               copies, options.seed));

    // A machine that takes the core away disturbs long repetitions more often than short ones:
    // equal cells must have equally many calls.
    for (const auto& item : items) item->bench.calls = items.front()->bench.calls;

    std::vector<TrialSamples> trials;
    std::vector<double> ratios;
    std::mt19937_64 seeds(options.seed);
    while (trials.empty() || (now_ns() < end && !(options.stop != nullptr && options.stop()))) {
        Stopping stopping(std::vector<int>(items.size(), cell.repetitions), {});
        run_rounds(stopping, seeds(), now_ns,
                   [&](size_t i, int) { return std::optional(items[i]->bench.repeat()); });
        trials.push_back({stopping.samples(0), stopping.samples(1), stopping.samples(2),
                          stopping.samples(3), stopping.samples(4)});
        for (size_t i = 0; i < trials.back().a.size(); ++i) {
            ratios.push_back(trials.back().c[i] / trials.back().a[i]);
        }
    }
    RealCoverageResult result;
    result.slower = slower.shape;
    result.true_ratio = median(std::move(ratios));
    for (const TrialSamples& trial : trials) result.counts.add(trial, result.true_ratio);
    return result;
}

}  // namespace tritbench
