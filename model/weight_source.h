// Weights that come from no file: rows of any tensor on demand, to be packed straight into the
// layouts that a model runs with.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "model/bitlinear.h"
#include "model/config.h"

namespace tritbench {

// Tensors are named as in GGUF files.
struct WeightSource {
    std::string name;  // for messages: "dummy-7B, seed 1"
    ModelConfig config;
    // Canonical rows of a linear layer (trits and one scale), of token_embd and of output (values
    // that float16 holds exactly).
    std::function<RowProvider(const std::string& tensor)> rows;
    std::function<std::vector<float>(const std::string& tensor, int64_t size)> vector;
};

}  // namespace tritbench
