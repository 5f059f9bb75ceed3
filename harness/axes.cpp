#include "harness/axes.h"

#include <fmt/format.h>

#include "harness/axes_reasons.h"
#include "harness/pins.h"
#include "harness/verify/gate.h"
#include "kernels/api/registry.h"
#include "model/thread_pool.h"

namespace tritbench {

std::string too_many_threads(int threads) {
    const size_t cpus = allowed_cpus().size();
    if (static_cast<size_t>(threads) <= cpus) return "";
    return fmt::format("asks {} threads, {} CPUs allowed", threads, cpus);
}

std::string not_these_pins(const std::string& pins, int threads) {
    return pins.empty() ? "" : why_not_pins(topology_here(), pins, threads);
}

std::string not_accepted(const tb_kernel& kernel, const tb_shape& shape, const tb_tile& tile) {
    const tb_status status = kernel.accepts(&shape, &tile);
    if (status.code == TB_OK) return "";
    return fmt::format("does not take {}x{}: {}", shape.n, shape.k,
                       status.reason != nullptr ? status.reason : "no reason given");
}

std::string not_this_batch(const tb_kernel& kernel, int64_t batch) {
    if (batch == 1 || (batch >= kernel.min_m && (kernel.max_m == 0 || batch <= kernel.max_m))) {
        return "";
    }
    return fmt::format("multiplies {} to {} tokens at once, not {}", kernel.min_m, kernel.max_m,
                       batch);
}

std::vector<tb_tile> tiles_of(const tb_kernel& kernel, const std::vector<std::string>& texts) {
    std::vector<tb_tile> tiles;
    for (const std::string& text : texts) {
        if (text == kAllTiles) {
            const std::vector<tb_tile> all = all_tiles(kernel);
            tiles.insert(tiles.end(), all.begin(), all.end());
        } else {
            tiles.push_back(parse_tile(kernel, text));
        }
    }
    return tiles;
}

std::vector<Cell> kernel_cells(const KernelAxes& axes) {
    std::vector<Cell> cells;
    const auto add = [&](tb_shape shape, int64_t batch, double zeros, int threads,
                         const std::string& pins, CacheMode cache, const tb_kernel& kernel,
                         const tb_tile& tile) {
        Cell cell;
        cell.level = Level::Kernel;
        cell.kernels = {{&kernel, tile, 1}};
        cell.phase = batch == 1 ? Phase::Gemv : Phase::Gemm;
        cell.threads = threads;
        cell.pins = pins;
        cell.repetitions = axes.repetitions;
        cell.shape = shape;
        cell.batch = batch;
        cell.zeros = zeros;
        cell.cache = cache;
        cell.spec = axes.spec;
        cell.work_macs = static_cast<double>(shape.n) * static_cast<double>(shape.k) *
                         static_cast<double>(batch);
        cell.unavailable =
            first_of(why_not_here(kernel), too_many_threads(threads), not_these_pins(pins, threads),
                     not_accepted(kernel, shape, cell.tile()), not_this_batch(kernel, batch));
        cells.push_back(std::move(cell));
    };
    const auto add_kernels = [&](tb_shape shape, int64_t batch, double zeros, int threads,
                                 const std::string& pins) {
        for (const CacheMode cache : axes.caches) {
            for (const tb_kernel* kernel : axes.kernels) {
                for (const tb_tile& tile : tiles_of(*kernel, axes.tiles)) {
                    add(shape, batch, zeros, threads, pins, cache, *kernel, tile);
                }
            }
        }
    };
    const auto add_all = [&](tb_shape shape, int64_t batch, double zeros) {
        for (const int threads : axes.threads) {
            for (const std::string& pins : axes.pins) {
                add_kernels(shape, batch, zeros, threads, pins);
            }
        }
    };
    for (const tb_shape shape : axes.shapes) {
        for (const int64_t batch : axes.batches) {
            for (const double zeros : axes.zeros) add_all(shape, batch, zeros);
        }
    }
    axes.selection.apply(cells);
    return cells;
}

}  // namespace tritbench
