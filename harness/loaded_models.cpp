#include "harness/loaded_models.h"

#include <fmt/format.h>

#include "dummy_models/source.h"
#include "harness/measure.h"
#include "harness/pins.h"
#include "model/tensor_types.h"

namespace tritbench {

std::string loaded_weights_key(const Cell& cell) {
    std::string key = fmt::format("head {}|window {} of {}", cell.load.head, cell.layers_distinct(),
                                  cell.layers_run());
    for (const PlanLayer& layer : cell.plan->layers) {
        const PlanCall& packer = layer.calls.back();
        key += fmt::format("|{} {}x{} {} {}", layer.role, layer.shape.n, layer.shape.k,
                           layer.layout, packed_tile_name(*packer.kernel, packer.tile));
    }
    return key;
}

LoadedModels load_models(const std::vector<Cell>& cells, const Members& members,
                         ChildReporter& reporter) {
    // Compact, so that consecutive rows are packed on one NUMA node: sessions with any number of
    // threads read rows in the same order.
    const int cpus = cpus_of_pins_here("compact");
    ThreadPool pool(cpus, pins_here(cpus, "compact"));
    LoadedModels models;
    for (const size_t position : members) {
        const Cell& cell = cells[position];
        LoadedModel& loaded = models[loaded_weights_key(cell)];
        if (loaded.model) continue;
        reporter.begin_loading(static_cast<int>(position), 300);
        const int64_t begin = now_ns();
        const auto alive = [&](uint64_t, uint64_t) { reporter.alive(); };
        if (cell.drawn) {
            loaded.model =
                Model::draw(dummy_source(*cell.drawn), *cell.plan, pool, alive, cell.load);
        } else {
            const auto file = std::make_shared<const GgufFile>(cell.model.path);
            loaded.model = Model::load(file, *cell.plan, pool, alive, cell.load);
        }
        loaded.load_ms = static_cast<double>(now_ns() - begin) / 1e6;
    }
    return models;
}

}  // namespace tritbench
