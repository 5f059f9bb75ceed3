#include "model/model_impl.h"

#include <fmt/format.h>

#include "kernels/api/error.h"
#include "kernels/api/registry.h"
#include "model/printable.h"

namespace tritbench {

void Model::Impl::make_layers() {
    const ModelConfig& c = config;
    // What the attention op relies on, whatever the config comes from.
    if (c.heads < 1 || c.kv_heads < 1 || c.heads % c.kv_heads != 0) {
        throw Error(fmt::format("{}: {} attention heads and {} KV heads; expected a multiple",
                                origin, c.heads, c.kv_heads));
    }
    if (c.head_dim < 2 || c.head_dim % 2 != 0) {
        throw Error(
            fmt::format("{}: heads of {} dimensions; expected an even number", origin, c.head_dim));
    }
    const LayerWindow& window = options.window;
    layers_run = window.run == 0 ? c.layers : window.run;
    const int64_t distinct = window.distinct == 0 ? layers_run : window.distinct;
    if (layers_run < 1 || layers_run > c.layers) {
        throw Error(fmt::format("{}: {} layers to run; expected 1 to {}, which the model has",
                                origin, layers_run, c.layers));
    }
    if (distinct < 1 || distinct > layers_run) {
        throw Error(fmt::format("{}: a window of {} layers; expected 1 to {}, which are run",
                                origin, distinct, layers_run));
    }
    layers.resize(static_cast<size_t>(distinct));
}

std::string_view Model::Impl::choose_head(std::string_view stored) {
    const std::string_view wanted = options.head.empty() ? stored : std::string_view(options.head);
    head_kernel = best_kernel_of_layout(wanted);  // there is one for every CPU
    if (head_kernel == nullptr || head_kernel->weight_kind == TB_WEIGHT_TERNARY) {
        throw Error(fmt::format("{}: LM head as '{}': expected a float or quantised layout", origin,
                                printable(wanted, 40)));
    }
    return wanted;
}

void Model::Impl::add_linear(const std::string& name, Linear& linear) {
    linear.index = linears.size();
    linears.push_back({name, linear.role, &linear.weights});
    sources.push_back(&linear);
}

const PlanCall& packer_of(const Plan& plan, const std::string& name, const std::string& role,
                          tb_shape shape) {
    const PlanLayer* layer = plan.find(role, shape);
    if (layer == nullptr) {
        throw Error(fmt::format("plan {}: no layer for {} ({}x{}); expected one for every layer",
                                printable(plan.name, 100), name, shape.n, shape.k));
    }
    const PlanCall& packer = layer->calls.back();
    const std::string why = why_not_here(*packer.kernel);
    if (why.empty()) return packer;
    throw Error(fmt::format("kernel {}: does not run here: {}", packer.kernel->id, why));
}

}  // namespace tritbench
