// Presets as models of an experiment, each in the mode that was asked for or that fits this
// machine.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "harness/axes.h"

namespace tritbench {

struct PresetRequest {
    std::vector<std::string> modes = {"full"};  // or "auto": choose_mode of model_mode.h
    LayerWindow window;                         // of layer_window; 0: the least window, all run
    double budget_s = 0;                        // of all that is timed; 0: no limit
    std::string format = "i2_s";                // of generated files, as `gen --format` has it
    std::filesystem::path folder;               // where they are
};

// The preset once in each mode. `axes` has all but the models: what is timed, and with which plans.
// Throws Error naming `where` on an unknown preset or mode, a window that the model does not have,
// or an "auto" that nothing fits.
std::vector<ModelSource> preset_models(const std::string& preset, const PresetRequest& request,
                                       const ModelAxes& axes, const std::string& where);

// What measuring a preset takes, with a file in `folder`.
ModelNeeds needs_of(const ModelSource& drawn, const ModelSource& file, const ModelAxes& axes);

}  // namespace tritbench
