// What to tell before a model runs from the disk: its weights are used as they lie in the mapped
// file, and memory cannot hold them. Nothing fails then; every token waits for the disk.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "model/config.h"
#include "model/plan.h"

namespace tritbench {

// Bytes of weights that every token needs in memory, linear layers and LM head, if the plan leaves
// any of the linear layers in `stored`, the layout of the file; 0 if it packs all of them anew.
// Of `layers` layers with weights of their own.
uint64_t weights_of_mapped(const Plan& plan, const ModelConfig& config, std::string_view stored,
                           int64_t layers);

// One sentence, or "" where memory holds the weights. Bytes of the file, of the above, and of
// memory before it is loaded.
std::string disk_note(const std::string& file, uint64_t file_bytes, uint64_t weights,
                      uint64_t available);

}  // namespace tritbench
