// Where a model of an experiment comes from, and what is known of it before it is loaded.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "dummy_models/generator.h"
#include "harness/model_mode.h"
#include "model/config.h"
#include "model/load_options.h"

namespace tritbench {

// What is told of a model without loading it.
struct ModelInfo {
    std::string name;            // of the file without its extension, or of the preset
    std::filesystem::path path;  // empty: drawn
    std::string preset;          // of a dummy that an experiment made or drew
    uint64_t file_bytes = 0;
    std::string type;  // "bitnet-b1.58 2.41B i2_s"
    uint64_t parameters = 0;
    uint64_t tensor_bytes = 0;
    std::string head_type;  // that the LM head is multiplied in
};

// A model file, the preset that it will be generated from, or one that is drawn in memory.
struct ModelSource {
    ModelInfo info;
    std::string preset;  // not empty: generate info.path from `dummy` before measuring
    ModelConfig config;
    LoadOptions load;            // with the window of the mode
    std::string layout = "i2s";  // of the linear layers in the file: its kernels map them
    ModelMode mode = ModelMode::Full;
    std::string why_mode;                       // if it was chosen
    std::shared_ptr<const DummyOptions> dummy;  // of a preset

    bool drawn() const { return info.path.empty(); }
};

// Reads the file's header. Throws Error if it is no model that can be run.
ModelSource model_file(const std::filesystem::path& path, const LoadOptions& load = {});
// <folder>/<preset>-<format>.gguf, to be generated if it is not there; formats as `gen --format`
// has them. Throws Error on an unknown name.
ModelSource model_preset(const std::string& preset, const std::filesystem::path& folder,
                         const std::string& format = "i2_s");
// The same dummy in memory: shape_only, or the window in `load`.
ModelSource model_drawn(const std::string& preset, ModelMode mode, const LoadOptions& load);
// Generates what is missing, with progress. False when interrupted.
bool generate_missing(const std::vector<ModelSource>& models);

}  // namespace tritbench
