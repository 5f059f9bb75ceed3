// Plans as they are named on the command line and in specs.
#pragma once

#include <cstdint>
#include <string>

#include "model/config.h"
#include "model/gguf.h"
#include "model/load_options.h"
#include "model/plan.h"

namespace tritbench {

// "default" or "stored" (default_plan.h), with the last-level cache of this machine; else a plan's
// file. Throws Error. Where memory has no room for the default plan and the stored one takes less,
// it is that, and says so by its name.
Plan plan_named(const std::string& name, const GgufFile& file, const LoadOptions& options);
// Of a model that is drawn: "stored" is what its file would be stored in.
Plan plan_named(const std::string& name, const ModelConfig& config);

// Bytes of one layer as a plan has it packed.
uint64_t layer_bytes(const Plan& plan, const ModelConfig& config);

}  // namespace tritbench
