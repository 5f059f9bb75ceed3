#include "model/default_plan.h"

#include <fmt/format.h>

#include <string_view>
#include <vector>

#include "kernels/api/registry.h"
#include "model/config.h"
#include "model/linear_shapes.h"
#include "model/tensor_table.h"
#include "model/ternary_matrix.h"
#include "model/transformer.h"

namespace tritbench {
namespace {

uint64_t linear_weights(const ModelConfig& c) {
    uint64_t layer = 0;
    for (const LinearShape& s : linear_shapes(c)) layer += static_cast<uint64_t>(s.n * s.k);
    return layer * static_cast<uint64_t>(c.layers);
}

// The first of these that runs here.
const tb_kernel* first_here(std::initializer_list<std::string_view> ids) {
    for (const std::string_view id : ids) {
        const tb_kernel* kernel = find_kernel(id);
        if (kernel != nullptr && runs_here(*kernel)) return kernel;
    }
    return nullptr;
}

// The fastest of ours that holds every shape, or null.
const tb_kernel* fastest(bool cached, std::span<const tb_shape> shapes) {
    const tb_kernel* best =
        cached ? first_here({"i2r_avx512vnni", "i2r_avxvnni", "i2r_avx2"})
               : first_here({"t5r_avx512vbmi", "i2r_avx512vnni", "i2r_avxvnni", "i2r_avx2"});
    if (best == nullptr) return nullptr;
    const tb_tile tile = default_tile(*best);
    for (const tb_shape shape : shapes) {
        if (best->accepts(&shape, &tile).code != TB_OK) return nullptr;
    }
    return best;
}

// Of each tensor: the first layer stands for all. Our own layouts hold no scales of rows.
bool has_one_scale(const GgufFile& file, const LoadOptions& options) {
    const ModelConfig c = read_config(file);
    TensorTable table(file, options);
    ThreadPool caller(1, {}, false);
    for (const LinearShape& linear : linear_shapes(c)) {
        const StoredMatrix stored =
            table.matrix(fmt::format("blk.0.{}.weight", linear.role), linear.shape());
        if (!TernaryMatrix(caller, stored).one_scale()) return false;
    }
    return true;
}

bool is_cached(const ModelConfig& c, uint64_t cache_bytes) {
    return linear_weights(c) / 4 <= cache_bytes / 2;
}

std::vector<tb_shape> shapes_of(const ModelConfig& c) {
    std::vector<tb_shape> shapes;
    for (const LinearShape& linear : linear_shapes(c)) shapes.push_back(linear.shape());
    return shapes;
}

Plan named_default(const tb_kernel& kernel) {
    Plan plan = plan_of_kernel(kernel);
    plan.name = "default";
    return plan;
}

// Two thirds or more of what squared ReLU lets through are zeros, also where weights are random.
// The kernel for AVX2 gains in decoding what it loses with prompts.
void skip_zeros(Plan& plan, tb_shape down) {
    const tb_kernel* kernel = first_here({"i2c_avx512vnni"});
    if (kernel == nullptr) return;
    const tb_tile tile = default_tile(*kernel);
    if (kernel->accepts(&down, &tile).code != TB_OK) return;
    plan.layers.insert(plan.layers.begin(), {"ffn_down", {}, kernel->layout, {{0, kernel, tile}}});
}

}  // namespace

Plan stored_plan(const GgufFile& file, const LoadOptions& options) {
    Plan plan = plan_of_kernel(default_kernel(file, options));
    plan.name = "stored";
    return plan;
}

Plan default_plan(const GgufFile& file, const LoadOptions& options, uint64_t cache_bytes) {
    Plan kept = stored_plan(file, options);
    kept.name = "default";
    const tb_kernel& stored = *kept.layers.front().calls.front().kernel;
    if (stored.weight_kind != TB_WEIGHT_TERNARY) return kept;
    if (stored.scale_granularity != TB_SCALE_TENSOR && !has_one_scale(file, options)) return kept;
    const ModelConfig c = read_config(file);
    return fastest(is_cached(c, cache_bytes), shapes_of(c)) == nullptr
               ? kept
               : default_plan_of_config(c, cache_bytes);
}

Plan default_plan_of_config(const ModelConfig& c, uint64_t cache_bytes) {
    const tb_kernel* best = fastest(is_cached(c, cache_bytes), shapes_of(c));
    Plan plan = named_default(best == nullptr ? *best_kernel_of_layout("i2s") : *best);
    if (c.activation == Activation::Relu2) skip_zeros(plan, {c.hidden, c.ffn});
    return plan;
}

Plan default_plan_of_shapes(std::span<const tb_shape> shapes) {
    const tb_kernel* best = fastest(false, shapes);
    return named_default(best == nullptr ? *best_kernel_of_layout("i2s") : *best);
}

}  // namespace tritbench
