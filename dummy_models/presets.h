// Model shapes by name, from dummy_models/presets.txt, and what follows from a shape.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "model/config.h"
#include "model/linear_shapes.h"

namespace tritbench {

struct Preset {
    std::string name;    // "125M", "BitNet-b1.58-2B-4T"
    std::string alias;   // "2B-4T"; empty for none
    std::string source;  // as in presets.txt
    ModelConfig config;  // name "dummy-<alias or name>"
};

// All presets, in the order of presets.txt.
const std::vector<Preset>& presets();

// By name or alias, in any case of letters. Throws Error suggesting the nearest name and listing
// all of them.
const Preset& find_preset(std::string_view name);

struct ParameterCounts {
    uint64_t linear = 0;  // ternary weights
    uint64_t embedding = 0;
    uint64_t head = 0;  // where it is a matrix of its own
    uint64_t norms = 0;
    uint64_t total() const { return linear + embedding + head + norms; }
};
ParameterCounts count_parameters(const ModelConfig& config);

// Throws Error (which number, what it is, what is allowed) unless a decoder of this shape exists.
// Whether a format can hold it is another question: check_formats.
void check_shape(const ModelConfig& config);

// The text of presets.txt, compiled in, and its parser (throws Error naming the line).
const char* presets_text();
std::vector<Preset> parse_presets(std::string_view text);

}  // namespace tritbench
