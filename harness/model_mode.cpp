#include "harness/model_mode.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "kernels/api/error.h"

namespace tritbench {
namespace {

// A file is written at this rate on an ordinary disk, and weights are drawn as fast.
constexpr double kWriteBytesPerSecond = 0.5e9;

double gb(uint64_t bytes) {
    return static_cast<double>(bytes) / 1e9;
}

uint64_t packed(const ModelNeeds& needs, int64_t layers) {
    return static_cast<uint64_t>(layers) * needs.layer_bytes + needs.other_bytes;
}

// As many layers as the budget allows, in whole turns of the window where it is more than one.
LayerWindow shortened(const ModelNeeds& needs, const ModelLimits& limits, int64_t distinct) {
    LayerWindow window{distinct, needs.layers};
    if (limits.budget_s <= 0 || needs.seconds <= limits.budget_s) return window;
    const auto affordable =
        static_cast<int64_t>(static_cast<double>(needs.layers) * limits.budget_s / needs.seconds);
    window.run = std::clamp(affordable / distinct * distinct, distinct, needs.layers);
    return window;
}

}  // namespace

uint64_t usable_bytes(uint64_t available) {
    return available / 100 * 85;
}

std::string_view mode_name(ModelMode mode) {
    switch (mode) {
        case ModelMode::ShapeOnly:
            return "shape_only";
        case ModelMode::LayerWindow:
            return "layer_window";
        case ModelMode::Full:
            break;
    }
    return "full";
}

bool is_auto_mode(std::string_view text) {
    return text == "auto";
}

ModelMode parse_mode(std::string_view text, const std::string& where) {
    for (const ModelMode mode : {ModelMode::Full, ModelMode::ShapeOnly, ModelMode::LayerWindow}) {
        if (text == mode_name(mode)) return mode;
    }
    throw Error(fmt::format("{}: '{}' is no mode; expected auto, full, shape_only or layer_window",
                            where, text));
}

int64_t least_window(const ModelNeeds& needs, uint64_t last_level_cache) {
    const uint64_t layer = std::max<uint64_t>(1, needs.layer_bytes);
    const auto enough = static_cast<int64_t>((4 * last_level_cache + layer - 1) / layer);
    return std::min(std::max<int64_t>(2, enough), needs.layers);
}

ModeChoice choose_mode(const ModelNeeds& needs, const ModelLimits& limits) {
    const uint64_t memory = usable_bytes(limits.memory);
    const uint64_t whole = packed(needs, needs.layers);
    const int64_t distinct = least_window(needs, limits.last_level_cache);
    const bool in_time = limits.budget_s <= 0 || needs.seconds <= limits.budget_s;
    if (packed(needs, distinct) > memory) {
        throw Error(
            fmt::format("needs {:.1f} GB for {} of its {} layers, {:.1f} GB of memory are "
                        "available; no mode fits",
                        gb(packed(needs, distinct)), distinct, needs.layers, gb(memory)));
    }
    if (whole > memory) {
        const LayerWindow window = shortened(needs, limits, distinct);
        return {ModelMode::LayerWindow, window,
                fmt::format("{} of {} layers: all need {:.1f} GB, {:.1f} GB of memory are "
                            "available",
                            distinct, needs.layers, gb(whole), gb(memory))};
    }
    if (!in_time) {
        const LayerWindow window = shortened(needs, limits, distinct);
        return {ModelMode::LayerWindow, window,
                fmt::format("{} of {} layers are run: all would take {:.0f} s, the budget is "
                            "{:.0f} s",
                            window.run, needs.layers, needs.seconds, limits.budget_s)};
    }
    if (needs.has_file) return {ModelMode::Full, {}, "its file is there and fits memory"};
    if (needs.file_bytes > limits.disk) {
        return {ModelMode::ShapeOnly,
                {},
                fmt::format("its file needs {:.1f} GB, {:.1f} GB of disk are free",
                            gb(needs.file_bytes), gb(limits.disk))};
    }
    const double writing = static_cast<double>(needs.file_bytes) / kWriteBytesPerSecond;
    if (limits.budget_s > 0 && needs.seconds + writing > limits.budget_s) {
        return {ModelMode::ShapeOnly,
                {},
                fmt::format("writing its file would take {:.0f} s, of a budget of {:.0f} s",
                            writing, limits.budget_s)};
    }
    return {ModelMode::Full, {}, "it fits memory, disk and time"};
}

}  // namespace tritbench
