// Measuring complete models: prefill and decode of every kernel asked for, their repetitions
// interleaved.
//
// Tokens are a seeded random sequence s. A prefill cell times s[depth, depth + tokens) at once, a
// decode cell the same tokens one by one. Logits are deterministic, so every exact kernel of a
// model must end with the same bits at the same position, whatever phase, threads or ISA.
#pragma once

#include <vector>

#include "harness/block.h"
#include "kernels/api/kernel.h"
#include "model/config.h"

namespace tritbench {

// Tokens of a prompt that are multiplied together; longer prompts are split.
inline constexpr int64_t kPrefillBatch = 512;

// Bytes that the linear layers take in the kernel's layout.
uint64_t packed_model_bytes(const ModelConfig& config, const tb_kernel& kernel);

// Measures the members (all of one model file) in this process (a child) and sends one row each.
void measure_model_block(const std::vector<Cell>& cells, const Members& members,
                         const MeasureOptions& options, ChildReporter& reporter);

}  // namespace tritbench
