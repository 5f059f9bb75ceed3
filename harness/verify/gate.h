// The cases of the gate, as a list that can be counted, run one by one and shown as progress.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "harness/verify/gate_case.h"
#include "harness/verify/proof.h"

namespace tritbench {

enum class GateDepth { Quick, Full };

// Shapes are taken around the kernel's own granularity (K multiple, row step) and around the sizes
// that bit others: K % 128 in {0, 32, 64} and odd, one row, panels and chunks plus one.
std::vector<GateCase> gate_cases(const tb_kernel& kernel, GateDepth depth);

// The part of them for the tile at a place of all_tiles. The default (place 0) takes all. The
// others share them out, so that many tiles cost no more than a few: each takes at most a seventh
// of the quick ones, and together about as many as there are; of the full ones eight times as many.
// The same-sign sums of 4096 columns, on which a tile that is too wide wraps, go to every tile.
std::vector<GateCase> gate_cases_of_tile(const tb_kernel& kernel, const tb_tile& tile,
                                         GateDepth depth, size_t place, size_t tiles);

// Runs the cases and a threaded product; stops at the first that fails. Cases whose shape the
// kernel refuses with TB_BAD_TILE are left out, unless that is all of them. `done` is told the
// number of cases finished.
ProofResult run_gate(const tb_kernel& kernel, const tb_tile& tile,
                     const std::vector<GateCase>& cases,
                     const std::function<void(size_t done, size_t total)>& done = {});

// All cases of a depth.
ProofResult run_gate(const tb_kernel& kernel, const tb_tile& tile, GateDepth depth);

// The shape, or the next larger one that the kernel can hold: its multiple of columns, and where it
// stores rows only in groups, of rows.
tb_shape held_shape(const tb_kernel& kernel, tb_shape shape);

// Every combination of tile values that the kernel accepts for a common shape, default first.
std::vector<tb_tile> all_tiles(const tb_kernel& kernel);

}  // namespace tritbench
