// `gen --list`: what the presets are, and what they take.
#pragma once

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

// Bytes of weights, embedding, head and a KV cache for the whole context, run with the plan that
// default_plan_of_shapes gives this CPU. `layout` becomes that of the linear layers.
uint64_t memory_to_run(const ModelConfig& config, std::string* layout);

// A table, or JSON. What a format cannot hold has no size.
void print_presets(const std::vector<GenListColumn>& columns, bool as_json);

}  // namespace tritbench::cli
