// Measuring single matrix products: every kernel of one shape, batch, thread count and cache mode
// together, their repetitions interleaved.
#pragma once

#include <vector>

#include "harness/block.h"

namespace tritbench {

// A cold rotation is this many times the last-level cache; below kLeastColdFactor, for want of
// memory, the row is marked cold_capped.
inline constexpr uint64_t kColdFactor = 4;
inline constexpr uint64_t kLeastColdFactor = 2;

// Bytes of weight copies that a cell rotates over, for memory planning: one copy when hot, at
// least kColdFactor last-level caches when cold.
uint64_t weight_copies_bytes(const Cell& cell, uint64_t last_level_cache);

// Cells that may be in one block have equal keys.
std::string kernel_block_key(const Cell& cell);
// Cells of one block with equal keys share weight copies.
std::string weight_copies_key(const Cell& cell);

// Measures the members in this process (a child) and sends one row each: proof, warm-up and
// calibration, interleaved repetitions, proof again. Nothing is allocated in the timed loop.
void measure_kernel_block(const std::vector<Cell>& cells, const Members& members,
                          const MeasureOptions& options, ChildReporter& reporter);

}  // namespace tritbench
