// The cases of the gate, as a list that can be counted, run one by one and shown as progress.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "harness/verify/gate_case.h"
#include "harness/verify/proof.h"

namespace tritbench {

enum class GateDepth {
    Sample,  // every seventh case of Quick
    Quick,
    Full
};

// How deep the tile at a place of all_tiles goes: the default as asked; the others too if Full, and
// with a sample of the cases if not.
inline GateDepth depth_of_tile(size_t place, GateDepth depth) {
    return place == 0 || depth == GateDepth::Full ? depth : GateDepth::Sample;
}

// Shapes are taken around the kernel's own granularity (K multiple, row step) and around the sizes
// that bit others: K % 128 in {0, 32, 64} and odd, one row, panels and chunks plus one.
std::vector<GateCase> gate_cases(const tb_kernel& kernel, GateDepth depth);

// Runs the cases and a threaded product; stops at the first that fails. `done` is told the number
// of cases finished.
ProofResult run_gate(const tb_kernel& kernel, const tb_tile& tile, GateDepth depth,
                     const std::function<void(size_t done, size_t total)>& done = {});

// Every combination of tile values that the kernel accepts for a common shape, default first.
std::vector<tb_tile> all_tiles(const tb_kernel& kernel);

}  // namespace tritbench
