#include "harness/tune/workload.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <string_view>

#include "dummy_models/presets.h"
#include "kernels/api/error.h"
#include "kernels/api/half.h"
#include "model/config.h"
#include "model/printable.h"
#include "model/tensor_types.h"
#include "model/ternary_matrix.h"

namespace tritbench {

namespace {

bool is_half(float value) {
    return tb_half_to_float(tb_float_to_half(value)) == value;
}

// How many layers of a block read the same input as this one, itself among them.
double readers_of_input(std::string_view role) {
    if (role == "attn_q" || role == "attn_k" || role == "attn_v") return 3;
    return role == "ffn_gate" || role == "ffn_up" ? 2 : 1;
}

// What the values of the linear layers allow. Layouts that keep halves also round.
void read_scales(const GgufFile& file, const LoadOptions& options, const ModelConfig& config,
                 Workload& workload) {
    ThreadPool pool(static_cast<int>(allowed_cpus().size()), {}, false);
    workload.half_scales = true;
    for (int64_t i = 0; i < config.layers; ++i) {
        for (const LinearShape& linear : linear_shapes(config)) {
            const std::string name = fmt::format("blk.{}.{}.weight", i, linear.role);
            const GgufTensor* tensor = file.find_tensor(name);
            if (tensor == nullptr) {
                throw Error(fmt::format("{}: no tensor {}; expected that of a linear layer",
                                        printable(file.path().string(), 300), name));
            }
            const TernaryMatrix matrix(pool, StoredMatrix(file, *tensor, options),
                                       TernaryMatrix::Read::Scales);
            if (!matrix.one_scale()) workload.row_scales = true;
            if (!matrix.one_scale() || !is_half(matrix.scale())) workload.half_scales = false;
        }
    }
}

bool alike(const TuneLayer& layer, tb_shape shape, double zeros) {
    return layer.shape.n == shape.n && layer.shape.k == shape.k && layer.zeros == zeros;
}

TuneLayer& layer_for(std::vector<TuneLayer>& layers, tb_shape shape, double zeros) {
    for (TuneLayer& layer : layers) {
        if (alike(layer, shape, zeros)) return layer;
    }
    TuneLayer layer;
    layer.shape = shape;
    layer.zeros = zeros;
    layer.count = 0;
    layer.prepares = 0;
    layers.push_back(layer);
    return layers.back();
}

}  // namespace

std::string layer_name(const TuneLayer& layer) {
    const std::string shape = fmt::format("{}x{}", layer.shape.n, layer.shape.k);
    return layer.roles.empty() ? shape : fmt::format("{} {}", fmt::join(layer.roles, " "), shape);
}

Workload model_workload(const GgufFile& file, const LoadOptions& options, double zeros) {
    const ModelConfig config = read_config(file);
    Workload workload;
    read_scales(file, options, config, workload);
    for (const LinearShape& linear : linear_shapes(config)) {
        const bool sparse =
            config.activation == Activation::Relu2 && std::string_view(linear.role) == "ffn_down";
        TuneLayer& layer = layer_for(workload.layers, {linear.n, linear.k}, sparse ? zeros : 0.0);
        layer.roles.emplace_back(linear.role);
        layer.count += config.layers;
        layer.prepares += 1 / readers_of_input(linear.role);
        workload.weights += static_cast<uint64_t>(config.layers * linear.n * linear.k);
    }
    for (TuneLayer& layer : workload.layers) {
        layer.prepares /= static_cast<double>(layer.roles.size());
        layer.own_shape =
            std::count_if(
                workload.layers.begin(), workload.layers.end(), [&](const TuneLayer& other) {
                    return other.shape.n == layer.shape.n && other.shape.k == layer.shape.k;
                }) == 1;
    }
    const char* head = config.tied_head ? "token_embd.weight" : "output.weight";
    if (const GgufTensor* tensor = file.find_tensor(head)) workload.head_bytes = tensor->bytes;
    return workload;
}

Workload shapes_workload(const std::vector<tb_shape>& shapes, double zeros) {
    Workload workload;
    for (const tb_shape shape : shapes) {
        TuneLayer& layer = layer_for(workload.layers, shape, zeros);
        layer.count = 1;
        layer.prepares = 1;
    }
    return workload;
}

}  // namespace tritbench
