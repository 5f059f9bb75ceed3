// Where a model of an experiment comes from, and what is known of it before it is loaded.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "model/config.h"
#include "model/load_options.h"

namespace tritbench {

// What is told of a model without loading it.
struct ModelInfo {
    std::filesystem::path path;
    uint64_t file_bytes = 0;
    std::string type;  // "bitnet-b1.58 2.41B i2_s"
    uint64_t parameters = 0;
    uint64_t tensor_bytes = 0;
    std::string head_type;  // that the LM head is multiplied in
};

// A model file, or the preset that it will be generated from.
struct ModelSource {
    ModelInfo info;
    std::string preset;  // not empty: generate info.path from it before measuring
    ModelConfig config;
    LoadOptions load;
    std::string layout = "i2s";  // of the linear layers in the file: its kernels map them
};

// Reads the file's header. Throws Error if it is no model that can be run.
ModelSource model_file(const std::filesystem::path& path, const LoadOptions& load = {});
// <folder>/<preset>-i2_s.gguf, to be generated if it is not there. Throws Error on an unknown name.
ModelSource model_preset(const std::string& preset, const std::filesystem::path& folder);
// Generates what is missing, with progress. False when interrupted.
bool generate_missing(const std::vector<ModelSource>& models);

}  // namespace tritbench
