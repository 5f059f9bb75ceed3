// How much of a model is there when it is measured, and which of the ways to choose.
//
//   full          every layer has its own weights, from a GGUF file
//   shape_only    the same weights, drawn straight into the packed layouts in memory: no file
//   layer_window  fewer layers have weights of their own, together four times the last-level cache
//                 or more; a forward pass visits them in turn, as often as the model has layers.
//                 Its results are another model's, its work and its memory traffic are not.
//
// Where time is short a window may also run fewer layers than the model has: the time of those that
// are missing is extrapolated from the time of those that ran, and rows say how much of it is
// (extrapolated_pct).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "model/load_options.h"

namespace tritbench {

enum class ModelMode { Full, ShapeOnly, LayerWindow };

std::string_view mode_name(ModelMode mode);  // "full", "shape_only", "layer_window"
// "auto" or a mode's name. Throws Error naming `where`.
bool is_auto_mode(std::string_view text);
ModelMode parse_mode(std::string_view text, const std::string& where);

// What measuring a model takes.
struct ModelNeeds {
    int64_t layers = 0;
    uint64_t layer_bytes = 0;  // one layer, packed
    uint64_t other_bytes = 0;  // embedding, LM head, KV cache
    uint64_t file_bytes = 0;   // of the file that `full` reads
    bool has_file = false;     // it is there
    double seconds = 0;        // predicted, of all that is timed with all layers
};

// What there is.
struct ModelLimits {
    uint64_t memory = 0;
    uint64_t disk = 0;  // where the file would be written
    uint64_t last_level_cache = 0;
    double budget_s = 0;  // 0: no limit
};

// Of the memory that is available; the rest is for buffers and for what others take meanwhile.
uint64_t usable_bytes(uint64_t available);

struct ModeChoice {
    ModelMode mode = ModelMode::Full;
    LayerWindow window;
    std::string why;  // one sentence
};

// The fewest layers that together are four times the last-level cache; at least 2, or all.
int64_t least_window(const ModelNeeds& needs, uint64_t last_level_cache);

// The richest mode that fits memory and budget: full, else shape_only, else layer_window; with
// fewer layers run where the budget asks for it. Throws Error where not even a window fits.
ModeChoice choose_mode(const ModelNeeds& needs, const ModelLimits& limits);

}  // namespace tritbench
