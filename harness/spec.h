// Sweep specs: experiments as TOML files. experiments/README.md documents every key.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "harness/axes.h"

namespace tritbench {

struct Spec {
    std::string name;
    std::string description;
    std::string hash;      // of the text: decides whether a result file may be resumed
    double precision = 0;  // as in MeasureOptions
    double budget_s = 0;
    std::vector<KernelAxes> kernel_axes;
    std::vector<ModelAxes> model_axes;

    std::vector<ModelSource> models() const;
    std::vector<Cell> cells() const;
};

struct SpecOptions {
    std::filesystem::path models_folder = "models";  // of generated presets
};

// Throws Error with file and line on anything that is not understood: TOML, a key (with the
// nearest known one), a value, a kernel glob, a preset, a model file. Generates nothing.
Spec read_spec(const std::filesystem::path& path, const SpecOptions& options = {});

}  // namespace tritbench
