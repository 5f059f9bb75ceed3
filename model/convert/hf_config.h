// config.json of a Hugging Face folder as the configuration of a b1.58 decoder.
//
// Sources: huggingface/transformers models/bitnet, models/llama and integrations/bitnet.py;
// microsoft/BitNet utils/convert-hf-to-gguf-bitnet.py for the GGUF names.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "model/config.h"

namespace tritbench {

// Which way a packed checkpoint's weight_scale points: w = trit * scale, or w = trit / scale.
enum class WeightScale { Direct, Inverse };

// rope_scaling of Llama 3.1 and later: the turn of slow features is slowed down further.
struct Llama3Rope {
    double factor = 8, low_freq_factor = 1, high_freq_factor = 4;
    int64_t original_context = 8192;
};

struct HfConfig {
    ModelConfig model;  // architecture: "bitnet-b1.58", "bitnet" or "llama"; no name
    std::optional<Llama3Rope> llama3_rope;
    // From quantization_config.linear_class: autobitlinear is direct, bitlinear is inverse. Empty
    // when the file does not say.
    std::optional<WeightScale> weight_scale;
    std::string linear_class;  // as found, for messages
    // Fraction of zeros among the eight-bit activations that enter ffn_down, layer by layer, as
    // trained: a field of ours (model/train/export.py). Empty when absent.
    std::vector<float> ffn_down_zeros;
};

// Throws Error, naming the file and the field, on an architecture that is not a b1.58 decoder, and
// on anything that the graph could not compute: biases, extra norms, other rope_scaling.
HfConfig read_hf_config(const std::filesystem::path& config_json);

}  // namespace tritbench
