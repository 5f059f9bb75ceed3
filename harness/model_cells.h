// Measuring complete models: prefill and decode of every plan asked for, their repetitions
// interleaved.
//
// Tokens are a seeded random sequence s; those of the second sequence and more have seeds of their
// own. A prefill cell times s[depth, depth + prompt) at once, a decode cell the same tokens one by
// one. Logits are deterministic, so every exact kernel of a model must end with the same bits at
// the same position, whatever phase, threads, ISA or other sequences.
#pragma once

#include <vector>

#include "harness/block.h"

namespace tritbench {

// Measures the members (all of one model file) in this process (a child) and sends one row each.
void measure_model_block(const std::vector<Cell>& cells, const Members& members,
                         const MeasureOptions& options, ChildReporter& reporter);

}  // namespace tritbench
