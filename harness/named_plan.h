// Plans as they are named on the command line and in specs.
#pragma once

#include <string>

#include "model/gguf.h"
#include "model/load_options.h"
#include "model/plan.h"

namespace tritbench {

// "default" or "stored" (default_plan.h), with the last-level cache of this machine; else a plan's
// file. Throws Error.
Plan plan_named(const std::string& name, const GgufFile& file, const LoadOptions& options);

}  // namespace tritbench
