// The flags of tritbench_gbench that are not Google Benchmark's, and the products they ask for.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "harness/cell.h"

namespace tritbench {

struct GbenchFlags {
    std::string kernels = "*";  // globs, as match_kernels takes them
    std::string shapes = "2B-4T";
    std::string batches = "1";
    std::string threads = "1";
    std::string caches = "hot";
    std::vector<std::string> tiles = {""};  // each as parse_tile takes it; "" is the default
    uint64_t seed = 1;                      // of weights and activations
};

// Takes the words that begin with --tritbench_ out of argv. Throws Error on an unknown one (with
// the nearest known one) and on one without a value.
GbenchFlags take_gbench_flags(int* argc, char** argv);

// One line for each of them, for --help.
std::string gbench_help();

// Every kernel x tile x shape x batch x thread count x cache state that runs here. Throws Error on
// wrong values, and if nothing is left.
std::vector<Cell> gbench_cells(const GbenchFlags& flags);

// "i2r_avx2/2560x6912/batch:1/threads:1/cold", with "/BM=256,BK=128" where the tile is not the
// default: the name that --benchmark_filter is held against (Google Benchmark adds /real_time).
std::string gbench_name(const Cell& cell);

}  // namespace tritbench
