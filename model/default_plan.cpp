#include "model/default_plan.h"

#include <string_view>

#include "kernels/api/registry.h"
#include "model/config.h"
#include "model/transformer.h"

namespace tritbench {
namespace {

uint64_t linear_weights(const ModelConfig& c) {
    const int64_t q = c.heads * c.head_dim, kv = c.kv_heads * c.head_dim;
    const int64_t layer = c.hidden * (2 * q + 2 * kv + 3 * c.ffn);
    return static_cast<uint64_t>(layer) * static_cast<uint64_t>(c.layers);
}

// The first of these that runs here.
const tb_kernel* first_here(std::initializer_list<std::string_view> ids) {
    for (const std::string_view id : ids) {
        const tb_kernel* kernel = find_kernel(id);
        if (kernel != nullptr && runs_here(*kernel)) return kernel;
    }
    return nullptr;
}

bool holds_every_layer(const tb_kernel& kernel, const ModelConfig& c) {
    const tb_tile tile = default_tile(kernel);
    const int64_t q = c.heads * c.head_dim, kv = c.kv_heads * c.head_dim;
    for (const tb_shape shape :
         {tb_shape{q, c.hidden}, tb_shape{kv, c.hidden}, tb_shape{c.hidden, q},
          tb_shape{c.ffn, c.hidden}, tb_shape{c.hidden, c.ffn}}) {
        if (kernel.accepts(&shape, &tile).code != TB_OK) return false;
    }
    return true;
}

}  // namespace

Plan stored_plan(const GgufFile& file, const LoadOptions& options) {
    Plan plan = plan_of_kernel(default_kernel(file, options));
    plan.name = "stored";
    return plan;
}

Plan default_plan(const GgufFile& file, const LoadOptions& options, uint64_t cache_bytes) {
    Plan plan = stored_plan(file, options);
    plan.name = "default";
    const tb_kernel& stored = *plan.layers.front().calls.front().kernel;
    if (stored.weight_kind != TB_WEIGHT_TERNARY) return plan;
    const ModelConfig config = read_config(file);
    const bool cached = linear_weights(config) / 4 <= cache_bytes / 2;
    const tb_kernel* best =
        cached ? first_here({"i2r_avx512vnni", "i2r_avxvnni", "i2r_avx2"})
               : first_here({"t5r_avx512vbmi", "i2r_avx512vnni", "i2r_avxvnni", "i2r_avx2"});
    if (best == nullptr || !holds_every_layer(*best, config)) return plan;
    plan = plan_of_kernel(*best);
    plan.name = "default";
    return plan;
}

}  // namespace tritbench
