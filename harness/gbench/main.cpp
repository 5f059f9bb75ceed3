// tritbench_gbench: every kernel of the registry under Google Benchmark, so that its flags, its
// JSON and its compare.py work on them. Exit codes: 0 right, 1 a product was refused, 2 bad usage.
#include <benchmark/benchmark.h>
#include <fmt/format.h>

#include <exception>

#include "harness/gbench/gbench_flags.h"
#include "harness/gbench/gbench_register.h"

namespace {

void print_gbench_help() {
    fmt::print("tritbench_gbench: ternary products, each proved before it is timed\n\n{}",
               tritbench::gbench_help());
    benchmark::PrintDefaultHelp();
}

int run(int argc, char** argv) {
    const tritbench::GbenchFlags flags = tritbench::take_gbench_flags(&argc, argv);
    benchmark::Initialize(&argc, argv, print_gbench_help);
    if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
    const std::vector<tritbench::Cell> cells = tritbench::gbench_cells(flags);
    tritbench::GbenchProducts products(flags.seed);
    tritbench::GbenchOutcome outcome;
    tritbench::register_products(cells, products, outcome);
    tritbench::add_gbench_context(flags.seed);
    benchmark::RunSpecifiedBenchmarks();
    benchmark::Shutdown();
    return outcome.refused > 0 ? 1 : 0;
}

}  // namespace

int main(int argc, char** argv) {
    try {
        return run(argc, argv);
    } catch (const std::exception& e) {
        fmt::print(stderr, "tritbench_gbench: {}\n", e.what());
        return 2;
    }
}
