#include "harness/preset_models.h"

#include <fmt/format.h>

#include <algorithm>

#include "dummy_models/presets.h"
#include "harness/environment.h"
#include "harness/named_plan.h"
#include "kernels/api/error.h"

namespace tritbench {
namespace {

namespace fs = std::filesystem;

// Rough rates of an ordinary machine, a thread: enough to say what takes minutes.
constexpr double kReadBytesPerSecond = 12e9;
constexpr double kMacsPerSecond = 100e9;

uint64_t free_disk(fs::path folder) {
    std::error_code problem;
    while (!folder.empty() && !fs::exists(folder, problem)) folder = folder.parent_path();
    const fs::space_info space = fs::space(folder.empty() ? fs::path(".") : folder, problem);
    return problem ? 0 : space.available;
}

std::vector<Plan> plans_of_axes(const ModelAxes& axes, const ModelConfig& config) {
    std::vector<Plan> plans;
    for (const tb_kernel* kernel : axes.kernels) plans.push_back(plan_of_kernel(*kernel));
    for (const std::string& name : axes.plans) plans.push_back(plan_named(name, config));
    return plans;
}

// Of one plan, on one thread, one repetition.
double seconds_of_tests(const ModelAxes& axes, double step_bytes, double token_macs) {
    double seconds = 0;
    const auto prompt = [&](int64_t tokens) {
        seconds += static_cast<double>(tokens) * token_macs / kMacsPerSecond;
    };
    const auto decode = [&](int64_t tokens) {
        seconds += static_cast<double>(tokens) * step_bytes / kReadBytesPerSecond;
    };
    for (const int64_t depth : axes.depths) {
        for (const int64_t tokens : axes.prefill) prompt(depth + tokens);
        for (const int64_t tokens : axes.decode) {
            prompt(depth);
            decode(tokens);
        }
        for (const PromptAndTokens& pair : axes.pairs) {
            prompt(depth + pair.prompt);
            decode(pair.generated);
        }
    }
    return seconds;
}

ModelSource in_mode(const std::string& preset, ModelMode mode, const LayerWindow& window,
                    const PresetRequest& request) {
    if (mode == ModelMode::Full) return model_preset(preset, request.folder, request.format);
    LoadOptions load;
    load.window = window;
    return model_drawn(preset, mode, load);
}

}  // namespace

ModelNeeds needs_of(const ModelSource& drawn, const ModelSource& file, const ModelAxes& axes) {
    const ModelConfig& c = drawn.config;
    ModelNeeds needs;
    needs.layers = c.layers;
    const std::vector<Plan> plans = plans_of_axes(axes, c);
    for (const Plan& plan : plans) {
        needs.layer_bytes = std::max(needs.layer_bytes, layer_bytes(plan, c));
    }
    int64_t context = 1;
    for (const int64_t depth : axes.depths) {
        for (const int64_t tokens : axes.prefill) context = std::max(context, depth + tokens);
        for (const int64_t tokens : axes.decode) context = std::max(context, depth + tokens);
        for (const PromptAndTokens& pair : axes.pairs) {
            context = std::max(context, depth + pair.prompt + pair.generated);
        }
    }
    const int64_t sequences = *std::max_element(axes.sequences.begin(), axes.sequences.end());
    const auto u = [](int64_t value) { return static_cast<uint64_t>(value); };
    // Embedding and head as float16; keys and values of the longest cell as float32.
    needs.other_bytes = 2 * 2 * u(c.vocab) * u(c.hidden) +
                        2 * 4 * u(c.layers * c.kv_heads * c.head_dim) * u(context * sequences);
    needs.file_bytes = file.info.file_bytes;
    needs.has_file = file.preset.empty();
    const auto step_bytes = static_cast<double>(u(c.layers) * needs.layer_bytes) +
                            2.0 * static_cast<double>(c.vocab) * static_cast<double>(c.hidden);
    const auto macs = static_cast<double>(count_parameters(c).linear);
    for (const int threads : axes.threads) {
        needs.seconds += static_cast<double>(plans.size() * axes.heads.size() *
                                             axes.cache_types.size() * axes.sequences.size()) *
                         (axes.repetitions + 2) * seconds_of_tests(axes, step_bytes, macs) /
                         std::min(threads, 4);
    }
    return needs;
}

std::vector<ModelSource> preset_models(const std::string& preset, const PresetRequest& request,
                                       const ModelAxes& axes, const std::string& where) {
    std::vector<ModelSource> models;
    const ModelSource file = model_preset(preset, request.folder, request.format);
    const ModelSource drawn = model_drawn(preset, ModelMode::ShapeOnly, {});
    const ModelNeeds needs = needs_of(drawn, file, axes);
    for (const std::string& name : request.modes) {
        if (is_auto_mode(name)) {
            ModeChoice choice;
            try {
                choice = choose_mode(needs, {available_memory_bytes(), free_disk(request.folder),
                                             last_level_cache_bytes(), request.budget_s});
            } catch (const Error& e) {
                throw Error(fmt::format("{}: {}: {}", where, preset, e.what()));
            }
            models.push_back(in_mode(preset, choice.mode, choice.window, request));
            models.back().why_mode = choice.why;
            continue;
        }
        const ModelMode mode = parse_mode(name, where);
        LayerWindow window;
        if (mode == ModelMode::LayerWindow) {
            window = request.window;
            if (window.distinct == 0) {
                window.distinct = least_window(needs, last_level_cache_bytes());
            }
            const int64_t run = window.run == 0 ? needs.layers : window.run;
            if (run > needs.layers || window.distinct > run) {
                throw Error(
                    fmt::format("{}: {}: a window of {} layers, {} run; expected at most "
                                "the {} that the model has, and no fewer run than distinct",
                                where, preset, window.distinct, run, needs.layers));
            }
        }
        models.push_back(in_mode(preset, mode, window, request));
    }
    return models;
}

}  // namespace tritbench
