// `gen --list`: what the presets are, and what they take.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "dummy_models/generator.h"

namespace tritbench::cli {

struct GenListColumn {
    std::string name;
    DummyFormats formats;
};
// Sizes of files in the usual formats.
std::vector<GenListColumn> usual_formats();

// Bytes of weights as the default plan packs them on this CPU, of embedding and head in f16, and of
// an f16 KV cache for the whole context.
uint64_t memory_to_run(const ModelConfig& config);

// A table, or JSON. What a format cannot hold has no size.
void print_presets(const std::vector<GenListColumn>& columns, bool as_json);

}  // namespace tritbench::cli
