#include "harness/gbench/gbench_register.h"

#include <benchmark/benchmark.h>
#include <fmt/format.h>

#include "harness/environment.h"
#include "harness/gbench/gbench_flags.h"
#include "harness/version.h"
#include "kernels/api/error.h"
#include "kernels/api/registry.h"

namespace tritbench {
namespace {

constexpr double kGiga = 1e9;

std::string label_of(const Cell& cell, Proof proof) {
    const std::string tile = tile_name(cell.kernel(), cell.tile());
    return fmt::format("{}{}{} {}", cell.kernel().layout, tile.empty() ? "" : " ", tile,
                       proof_name(proof));
}

void skip(benchmark::State& state, GbenchOutcome& outcome, const std::string& why) {
    ++outcome.refused;
    state.SkipWithError(why.c_str());
}

void time_product(benchmark::State& state, const Cell& cell, GbenchProduct& product,
                  GbenchOutcome& outcome) {
    const ProofResult before = product.prove();
    if (!before.ok()) return skip(state, outcome, "before timing: " + before.reason);
    // What ran before this call left its own data in the caches.
    if (cell.cache == CacheMode::Hot) product.multiply_next();
    for ([[maybe_unused]] auto _ : state) product.multiply_next();
    const ProofResult after = product.prove();
    if (!after.ok()) return skip(state, outcome, "after timing: " + after.reason);
    const tb_work work = product.work();
    const double bytes =
        work.weight_bytes + work.activation_bytes + work.table_bytes + work.output_bytes;
    const auto rate = benchmark::Counter::kIsIterationInvariantRate;
    state.counters["GMAC/s"] = benchmark::Counter(work.macs / kGiga, rate);
    state.counters["GB/s"] = benchmark::Counter(bytes / kGiga, rate);
    state.SetLabel(label_of(cell, after.proof));
}

void run_product(benchmark::State& state, const Cell& cell, GbenchProducts& products,
                 GbenchOutcome& outcome) {
    try {
        const std::string& refused = products.refused(cell);
        if (!refused.empty()) return skip(state, outcome, refused);
        time_product(state, cell, products.of(cell), outcome);
    } catch (const std::exception& e) {
        skip(state, outcome, e.what());
    }
}

}  // namespace

void register_products(const std::vector<Cell>& cells, GbenchProducts& products,
                       GbenchOutcome& outcome) {
    for (const Cell& cell : cells) {
        benchmark::RegisterBenchmark(gbench_name(cell).c_str(), [&cell, &products, &outcome](
                                                                    benchmark::State& state) {
            run_product(state, cell, products, outcome);
        })->UseRealTime();
    }
}

void add_gbench_context(uint64_t seed) {
    const BuildInfo& build = build_info();
    benchmark::AddCustomContext("tritbench_version", build.version);
    benchmark::AddCustomContext("tritbench_revision",
                                fmt::format("{}{}", build.revision, build.dirty ? "+dirty" : ""));
    benchmark::AddCustomContext("tritbench_compiler", build.compiler);
    benchmark::AddCustomContext("tritbench_build_type", build.build_type);
    benchmark::AddCustomContext("tritbench_seed", fmt::format("{}", seed));
    const MachineCard card = machine_card();
    benchmark::AddCustomContext("machine_id", card.machine_id());
    benchmark::AddCustomContext("cpu", card.cpu_model);
}

}  // namespace tritbench
