#include "harness/decode_ceiling.h"

#include <algorithm>
#include <numeric>

#include "harness/block.h"
#include "harness/environment.h"

namespace tritbench {

uint64_t resident_bytes(const Model& model) {
    return model.linear_bytes() / static_cast<uint64_t>(model.layers_run()) *
               static_cast<uint64_t>(model.layers_distinct()) +
           model.head_bytes();
}

WeightReader& DecodeReaders::reader(const Model& model, uint64_t steps, uint64_t bytes_per_step) {
    auto& turns = turns_[&model];
    auto& reader = readers_[{&model, steps}];
    if (!turns) turns = std::make_unique<ModelTurns>(model);
    if (!reader) {
        const uint64_t least = std::max(2 * last_level_cache_bytes(), steps * bytes_per_step / 20);
        reader = std::make_unique<WeightReader>(pool_, *turns, least);
    }
    return *reader;
}

void read_beside(ModelMeasurement& measured, size_t first, WeightReader& reader) {
    const auto begin = measured.samples_ns.begin() + static_cast<std::ptrdiff_t>(first);
    const double ns = std::accumulate(begin, measured.samples_ns.end(), 0.0);
    const auto steps = static_cast<double>(measured.samples_ns.end() - begin);
    measured.gb_per_s.push_back(steps * static_cast<double>(measured.bytes_per_step) / ns);
    measured.read_gb_per_s.push_back(reader.read());
}

void set_decode_ceiling(Row& row, const ModelMeasurement& measured, const WeightReader& reader,
                        std::set<std::string>& marks) {
    const double touched = touched_bytes(measured) / static_cast<double>(measured.bytes_per_step);
    std::vector<double> rates = measured.gb_per_s;
    for (double& rate : rates) rate *= touched;
    set_paired_ceiling(row, rates, measured.read_gb_per_s, reader.loop(), marks);
}

}  // namespace tritbench
