// What is tuned: the linear layers of a model, or bare shapes.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "kernels/api/kernel.h"
#include "model/gguf.h"
#include "model/load_options.h"

namespace tritbench {

// Layers whose products cost the same: of one shape, and one kind of input.
struct TuneLayer {
    tb_shape shape{};
    std::vector<std::string> roles;  // "attn_q", ...; empty: a bare shape
    int64_t count = 1;               // of them in the model
    // Preparations of an input per product: layers that share one (q, k, v; gate, up) share it.
    double prepares = 1;
    double zeros = 0;       // share of the input that is zero
    bool own_shape = true;  // no other layers of the model have this shape
};

// "attn_q attn_output 2560x2560".
std::string layer_name(const TuneLayer& layer);

struct Workload {
    std::vector<TuneLayer> layers;
    uint64_t weights = 0;      // of all layers together; 0: not a model
    uint64_t head_bytes = 0;   // of the LM head, read once a token
    bool half_scales = false;  // layouts that keep halves keep the scales of this model
    bool row_scales = false;   // rows have scales of their own
};

// zeros: of what goes into ffn_down, if the activation is a squared ReLU. Throws Error, naming file
// and tensor, if the file is no model or its linear layers are not ternary.
Workload model_workload(const GgufFile& file, const LoadOptions& options, double zeros);
Workload shapes_workload(const std::vector<tb_shape>& shapes, double zeros);

}  // namespace tritbench
