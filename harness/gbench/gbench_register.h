// Products as Google Benchmark's benchmarks.
#pragma once

#include <memory>
#include <vector>

#include "harness/gbench/gbench_product.h"

namespace tritbench {

// What a run found out, after RunSpecifiedBenchmarks.
struct GbenchOutcome {
    int refused = 0;  // calls of benchmarks that a proof stopped, or that could not be set up
};

// Registers one benchmark for each cell under gbench_name, timed by wall clock, since the threads
// are tritbench's own. Before its first timing a kernel goes through the quick gate, and every
// call proves the product on its own packed bytes before and after: what is wrong is skipped with
// an error and has no time. Counters: GMAC/s and GB/s (10^9), as `tritbench bench` has them; label:
// layout, tile, proof. Both must outlive the run.
void register_products(const std::vector<Cell>& cells, GbenchProducts& products,
                       GbenchOutcome& outcome);

// Machine, revision and compiler into the context of the report.
void add_gbench_context(uint64_t seed);

}  // namespace tritbench
