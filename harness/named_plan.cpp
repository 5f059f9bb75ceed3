#include "harness/named_plan.h"

#include "harness/environment.h"
#include "model/default_plan.h"

namespace tritbench {

Plan plan_named(const std::string& name, const GgufFile& file, const LoadOptions& options) {
    if (name == "stored") return stored_plan(file, options);
    if (name == "default") return default_plan(file, options, last_level_cache_bytes());
    return read_plan(name);
}

}  // namespace tritbench
