#include "harness/spec.h"

#include <fmt/format.h>

#include <toml++/toml.h>
#include <algorithm>
#include <map>
#include <set>

#include "harness/budget.h"
#include "harness/pins.h"
#include "harness/preset_models.h"
#include "harness/spec_files.h"
#include "harness/spec_filters.h"
#include "harness/spec_table.h"
#include "kernels/api/error.h"
#include "kernels/api/registry.h"

namespace tritbench {
namespace {

namespace fs = std::filesystem;

std::vector<const tb_kernel*> read_kernels(const SpecTable& table) {
    const auto globs = table.texts("kernels", {"*"});
    auto kernels = table.located(
        "kernels", [&] { return match_kernels(fmt::format("{}", fmt::join(globs, ","))); });
    const std::string isa = table.text("isa", "all");
    if (isa != "all" && isa != "best") {
        throw Error(
            fmt::format("{}: '{}' is not known; expected all or best", table.at("isa"), isa));
    }
    if (isa == "all") return kernels;
    // The last of each layout that runs here, in the order of the registry.
    std::map<std::string_view, const tb_kernel*> best;
    for (const tb_kernel* kernel : kernels) {
        if (runs_here(*kernel)) best[kernel->layout] = kernel;
    }
    std::erase_if(kernels, [&](const tb_kernel* k) { return best[k->layout] != k; });
    if (kernels.empty()) {
        throw Error(fmt::format("{}: none of these kernels runs here", table.at("kernels")));
    }
    return kernels;
}

std::vector<int> read_threads(const SpecTable& table) {
    std::set<int> counts;
    for (const std::string& text : table.texts("threads", {"1"})) {
        const auto range = parse_threads(text, table.at("threads"));
        counts.insert(range.begin(), range.end());
    }
    return {counts.begin(), counts.end()};
}

std::vector<std::string> read_pins(const SpecTable& table) {
    std::vector<std::string> pins;
    for (const std::string& text : table.texts("pins", {"default"})) {
        pins.push_back(parse_pins(text, table.at("pins")));
    }
    return pins;
}

int read_repetitions(const SpecTable& table, int fallback) {
    return static_cast<int>(table.count("repetitions", 1, fallback));
}

KernelAxes read_kernel_axes(const std::string& file, const toml::table& toml,
                            const std::string& name) {
    const SpecTable table(file, toml, "[[kernel_cells]]",
                          {"shapes", "kernels", "isa", "batch", "activation_zeros", "threads",
                           "pins", "cache", "tile", "repetitions", "exclude", "filter"});
    KernelAxes axes;
    axes.spec = name;
    axes.selection = read_selection(file, toml);
    axes.kernels = read_kernels(table);
    for (const std::string& text : table.required("shapes")) {
        for (const tb_shape shape : parse_shapes(text, table.at("shapes"))) {
            axes.shapes.push_back(shape);
        }
    }
    axes.batches = table.counts("batch", 1, axes.batches);
    axes.zeros = table.shares("activation_zeros", axes.zeros);
    axes.threads = read_threads(table);
    axes.pins = read_pins(table);
    axes.caches.clear();
    for (const std::string& text : table.texts("cache", {"hot"})) {
        axes.caches.push_back(parse_cache(text, table.at("cache")));
    }
    axes.tiles.clear();
    for (const std::string& text : table.texts("tile", {"default"})) {
        axes.tiles.push_back(text == "default" ? "" : text);
        for (const tb_kernel* kernel : axes.kernels) {
            table.located("tile", [&] { return tiles_of(*kernel, {axes.tiles.back()}); });
        }
    }
    axes.repetitions = read_repetitions(table, axes.repetitions);
    return axes;
}

// A plan's file is looked for from where the command runs, as model files are.
std::vector<std::string> read_plans(const SpecTable& table) {
    std::vector<std::string> plans = table.texts("plans", {});
    for (const std::string& plan : plans) {
        if (plan == "default" || plan == "stored") continue;
        table.located("plans", [&] { return read_plan(plan); });
    }
    return plans;
}

LoadOptions read_load_options(const SpecTable& table) {
    LoadOptions load;
    const std::string layout = table.text("i2s_layout", i2s_layout_name(load.i2s));
    load.i2s = table.located("i2s_layout", [&] { return parse_i2s_layout(layout); });
    const std::string config = table.text("kernel_config", "");
    if (!config.empty()) {
        load.tl_tiles = table.located("kernel_config", [&] { return read_kernel_config(config); });
    }
    return load;
}

// After the other axes: a mode that is chosen depends on what is to be timed.
void read_presets(const SpecTable& table, const SpecOptions& options, ModelAxes& axes) {
    PresetRequest request;
    request.modes = table.texts("modes", request.modes);
    request.window.distinct = table.count("window", 1, 0);
    request.window.run = table.count("layers_run", 1, 0);
    const std::string budget = table.text("budget", "");
    if (!budget.empty()) request.budget_s = parse_duration(budget, table.at("budget"));
    request.format = table.text("format", request.format);
    request.folder = options.models_folder;
    for (const std::string& preset : table.texts("models", {})) {
        for (ModelSource& model : table.located(
                 "models", [&] { return preset_models(preset, request, axes, "modes"); })) {
            axes.models.push_back(std::move(model));
        }
    }
}

ModelAxes read_model_axes(const std::string& file, const toml::table& toml, const std::string& name,
                          const SpecOptions& options) {
    const SpecTable table(
        file, toml, "[[model_cells]]",
        {"models",        "files",         "kernels",  "isa",         "prefill",
         "decode",        "depth",         "threads",  "repetitions", "i2s_layout",
         "kernel_config", "plans",         "generate", "sequences",   "heads",
         "cache_types",   "prefill_batch", "modes",    "window",      "layers_run",
         "budget",        "format",        "pins",     "exclude",     "filter"});
    if (!table.has("models") && !table.has("files")) table.required("models");
    ModelAxes axes;
    axes.spec = name;
    axes.selection = read_selection(file, toml);
    axes.plans = read_plans(table);
    // Plans stand beside kernels where both are named.
    if (axes.plans.empty() || table.has("kernels")) axes.kernels = read_kernels(table);
    const LoadOptions load = read_load_options(table);
    for (const std::string& path : table.texts("files", {})) {
        axes.models.push_back(table.located("files", [&] { return model_file(path, load); }));
    }
    axes.prefill = table.counts("prefill", 1, {});
    axes.decode = table.counts("decode", 1, {});
    for (const std::string& pair : table.texts("generate", {})) {
        axes.pairs.push_back(parse_pair(pair, table.at("generate")));
    }
    if (axes.prefill.empty() && axes.decode.empty() && axes.pairs.empty()) table.required("decode");
    axes.sequences = table.counts("sequences", 1, axes.sequences);
    axes.prefill_batches = table.counts("prefill_batch", 1, axes.prefill_batches);
    axes.heads.clear();
    for (const std::string& head : table.texts("heads", {"stored"})) {
        axes.heads.push_back(table.located("heads", [&] { return parse_head(head); }));
    }
    axes.cache_types.clear();
    for (const std::string& type : table.texts("cache_types", {"f16"})) {
        axes.cache_types.push_back(parse_cache_type(type, table.at("cache_types")));
    }
    axes.depths = table.counts("depth", 0, axes.depths);
    axes.threads = read_threads(table);
    axes.pins = read_pins(table);
    axes.repetitions = read_repetitions(table, axes.repetitions);
    read_presets(table, options, axes);
    return axes;
}

void read_stopping(const SpecTable& table, Spec& spec) {
    if (table.has("precision")) {
        spec.precision = parse_precision(table.text("precision", ""), table.at("precision"));
    }
    if (table.has("budget")) {
        spec.budget_s = parse_duration(table.text("budget", ""), table.at("budget"));
    }
}

// The tables of a file after those that it includes. What a file excludes is left out of both.
void read_tables(const SpecFile& file, const SpecOptions& options, Spec& spec) {
    const SpecTable table(file.name, file.root, "the spec",
                          {"name", "description", "level", "precision", "budget", "include",
                           "exclude", "filter", "kernel_cells", "model_cells"});
    const size_t first_kernel = spec.kernel_axes.size(), first_model = spec.model_axes.size();
    for (const SpecFile& other : file.included) read_tables(other, options, spec);
    for (const toml::table* t : tables_of(file, "kernel_cells")) {
        spec.kernel_axes.push_back(read_kernel_axes(file.name, *t, spec.name));
    }
    for (const toml::table* t : tables_of(file, "model_cells")) {
        spec.model_axes.push_back(read_model_axes(file.name, *t, spec.name, options));
    }
    const CellSelection selection = read_selection(file.name, file.root);
    for (size_t i = first_kernel; i < spec.kernel_axes.size(); ++i) {
        spec.kernel_axes[i].selection.add(selection);
    }
    for (size_t i = first_model; i < spec.model_axes.size(); ++i) {
        spec.model_axes[i].selection.add(selection);
    }
}

void check_level(const std::string& file, const toml::table& root, const Spec& spec) {
    const SpecTable table(file, root);
    const std::string level = table.text("level", "");
    if (!level.empty() && level != "kernel" && level != "e2e" && level != "both") {
        throw Error(fmt::format("{}: '{}' is not a level; expected kernel, e2e or both",
                                table.at("level"), level));
    }
    if ((level == "kernel" && !spec.model_axes.empty()) ||
        (level == "e2e" && !spec.kernel_axes.empty())) {
        throw Error(fmt::format("{}: the level is '{}', but there are cells of the other one",
                                table.at("level"), level));
    }
}

}  // namespace

std::vector<ModelSource> Spec::models() const {
    std::vector<ModelSource> all;
    for (const ModelAxes& axes : model_axes) {
        if (axes.selection.empty()) {
            all.insert(all.end(), axes.models.begin(), axes.models.end());
            continue;
        }
        const std::vector<Cell> kept = model_cells(axes);
        for (const ModelSource& model : axes.models) {
            const bool wanted = std::any_of(kept.begin(), kept.end(), [&](const Cell& cell) {
                return cell.model.name == model.info.name && cell.model.path == model.info.path;
            });
            if (wanted) all.push_back(model);
        }
    }
    return all;
}

std::vector<Cell> Spec::cells() const {
    std::vector<Cell> all;
    for (const KernelAxes& axes : kernel_axes) {
        const auto cells = kernel_cells(axes);
        all.insert(all.end(), cells.begin(), cells.end());
    }
    for (const ModelAxes& axes : model_axes) {
        const auto cells = model_cells(axes);
        all.insert(all.end(), cells.begin(), cells.end());
    }
    return all;
}

Spec read_spec(const fs::path& path, const SpecOptions& options) {
    const SpecFile file = read_spec_files(path);
    const SpecTable table(file.name, file.root);
    Spec spec;
    spec.name = table.text("name", path.stem().string());
    spec.description = table.text("description", "");
    const std::string text = all_text(file);
    spec.hash = hex16(fnv1a64(text.data(), text.size()));
    read_stopping(table, spec);
    read_tables(file, options, spec);
    if (spec.kernel_axes.empty() && spec.model_axes.empty()) {
        throw Error(
            fmt::format("{}: has neither [[kernel_cells]] nor [[model_cells]]: nothing to "
                        "measure",
                        file.name));
    }
    check_level(file.name, file.root, spec);
    return spec;
}

}  // namespace tritbench
