#include "harness/named_plan.h"

#include "harness/environment.h"
#include "harness/model_mode.h"
#include "kernels/api/registry.h"
#include "model/default_plan.h"
#include "model/linear_shapes.h"

namespace tritbench {

uint64_t layer_bytes(const Plan& plan, const ModelConfig& config) {
    uint64_t bytes = 0;
    for (const LinearShape& linear : linear_shapes(config)) {
        const tb_shape shape = linear.shape();
        const PlanLayer* layer = plan.find(linear.role, shape);
        if (layer == nullptr) continue;
        const PlanCall& packer = layer->calls.back();
        bytes += packer.kernel->packed_size(&shape, &packer.tile);
    }
    return bytes;
}

namespace {

// Weights that are read for a token, mapped or repacked, must stay in memory together.
bool fits_memory(const Plan& plan, const ModelConfig& c, const LoadOptions& options) {
    const int64_t layers = options.window.distinct > 0 ? options.window.distinct : c.layers;
    const auto head = 2 * static_cast<uint64_t>(c.vocab) * static_cast<uint64_t>(c.hidden);
    return layer_bytes(plan, c) * static_cast<uint64_t>(layers) + head <=
           usable_bytes(available_memory_bytes());
}

}  // namespace

Plan plan_named(const std::string& name, const GgufFile& file, const LoadOptions& options) {
    if (name == "stored") return stored_plan(file, options);
    if (name != "default") return read_plan(name);
    Plan plan = default_plan(file, options, last_level_cache_bytes());
    const ModelConfig config = read_config(file);
    if (fits_memory(plan, config, options)) return plan;
    Plan stored = stored_plan(file, options);
    return layer_bytes(stored, config) < layer_bytes(plan, config) ? stored : plan;
}

Plan plan_named(const std::string& name, const ModelConfig& config) {
    if (name == "default") return default_plan_of_config(config, last_level_cache_bytes());
    if (name != "stored") return read_plan(name);
    Plan plan = plan_of_kernel(*best_kernel_of_layout("i2s"));
    plan.name = name;
    return plan;
}

}  // namespace tritbench
