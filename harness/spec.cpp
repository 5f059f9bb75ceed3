#include "harness/spec.h"

#include <fmt/format.h>

#include <toml++/toml.h>
#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <map>
#include <set>
#include <sstream>

#include "kernels/api/error.h"
#include "kernels/api/registry.h"

namespace tritbench {
namespace {

namespace fs = std::filesystem;

// One table of the file; every access names file and line when it goes wrong.
class Table {
  public:
    Table(const std::string& file, const toml::table& table, std::string name,
          std::vector<std::string> known)
        : file_(file), table_(table), name_(std::move(name)) {
        for (const auto& [key, node] : table) {
            const std::string found(key.str());
            if (std::find(known.begin(), known.end(), found) != known.end()) continue;
            throw Error(fmt::format("{}: unknown key '{}' in {}{}; known keys: {}", at(&node),
                                    found, name_, did_you_mean(found, known),
                                    fmt::join(known, ", ")));
        }
    }

    // "file:line", of a value or of the table.
    std::string at(const toml::node* node) const {
        const auto line =
            (node != nullptr ? *node : static_cast<const toml::node&>(table_)).source().begin.line;
        return fmt::format("{}:{}", file_, line);
    }
    std::string at(std::string_view key) const {
        return fmt::format("{}: {}", at(table_.get(key)), key);
    }

    bool has(std::string_view key) const { return table_.contains(key); }

    std::string text(std::string_view key, std::string_view fallback) const {
        const toml::node* node = table_.get(key);
        if (node == nullptr) return std::string(fallback);
        if (!node->is_string()) throw Error(fmt::format("{}: expected a text in quotes", at(key)));
        return node->as_string()->get();
    }

    // One text or whole number, or a list of them, as texts.
    std::vector<std::string> texts(std::string_view key, std::vector<std::string> fallback) const {
        const toml::node* node = table_.get(key);
        if (node == nullptr) return fallback;
        std::vector<std::string> values;
        if (const toml::array* array = node->as_array()) {
            for (const toml::node& element : *array) values.push_back(scalar(element, key));
        } else {
            values.push_back(scalar(*node, key));
        }
        if (values.empty()) throw Error(fmt::format("{}: the list is empty", at(key)));
        return values;
    }

    std::vector<std::string> required(std::string_view key) const {
        if (!has(key)) {
            throw Error(
                fmt::format("{}: {} has no key '{}', which it needs", at(nullptr), name_, key));
        }
        return texts(key, {});
    }

    std::vector<int64_t> counts(std::string_view key, int64_t least,
                                const std::vector<int64_t>& fallback) const {
        std::vector<int64_t> values;
        for (const std::string& value : texts(key, {})) {
            values.push_back(parse_count(value, least, at(key)));
        }
        return has(key) ? values : fallback;
    }

    // One share, 0 to 1, or a list of them.
    std::vector<double> shares(std::string_view key, const std::vector<double>& fallback) const {
        const toml::node* node = table_.get(key);
        if (node == nullptr) return fallback;
        std::vector<double> values;
        const auto add = [&](const toml::node& element) {
            const double value = element.value<double>().value_or(-1);
            if (!(value >= 0 && value <= 1)) {
                throw Error(fmt::format("{}: expected a share of 0 to 1, or a list", at(key)));
            }
            values.push_back(value);
        };
        if (const toml::array* array = node->as_array()) {
            for (const toml::node& element : *array) add(element);
        } else {
            add(*node);
        }
        if (values.empty()) throw Error(fmt::format("{}: the list is empty", at(key)));
        return values;
    }

    // Runs `parse` and puts file and line before what it complains about.
    template <class Parse>
    auto located(std::string_view key, Parse&& parse) const {
        try {
            return parse();
        } catch (const Error& e) {
            throw Error(fmt::format("{}: {}", at(key), e.what()));
        }
    }

  private:
    std::string scalar(const toml::node& node, std::string_view key) const {
        if (node.is_string()) return node.as_string()->get();
        if (node.is_integer()) return fmt::format("{}", node.as_integer()->get());
        throw Error(fmt::format("{}: expected texts in quotes or whole numbers", at(key)));
    }

    const std::string& file_;
    const toml::table& table_;
    std::string name_;
};

std::vector<const tb_kernel*> read_kernels(const Table& table) {
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

std::vector<int> read_threads(const Table& table) {
    std::set<int> counts;
    for (const std::string& text : table.texts("threads", {"1"})) {
        const auto range = parse_threads(text, table.at("threads"));
        counts.insert(range.begin(), range.end());
    }
    return {counts.begin(), counts.end()};
}

int read_repetitions(const Table& table, int fallback) {
    return static_cast<int>(table.counts("repetitions", 1, {fallback}).front());
}

KernelAxes read_kernel_axes(const std::string& file, const toml::table& toml,
                            const std::string& name) {
    const Table table(file, toml, "[[kernel_cells]]",
                      {"shapes", "kernels", "isa", "batch", "activation_zeros", "threads", "cache",
                       "tile", "repetitions"});
    KernelAxes axes;
    axes.spec = name;
    axes.kernels = read_kernels(table);
    for (const std::string& text : table.required("shapes")) {
        axes.shapes.push_back(parse_shape(text, table.at("shapes")));
    }
    axes.batches = table.counts("batch", 1, axes.batches);
    axes.zeros = table.shares("activation_zeros", axes.zeros);
    axes.threads = read_threads(table);
    axes.caches.clear();
    for (const std::string& text : table.texts("cache", {"hot"})) {
        axes.caches.push_back(parse_cache(text, table.at("cache")));
    }
    axes.tiles.clear();
    for (const std::string& text : table.texts("tile", {"default"})) {
        axes.tiles.push_back(text == "default" ? "" : text);
        for (const tb_kernel* kernel : axes.kernels) {
            table.located("tile", [&] { return parse_tile(*kernel, axes.tiles.back()); });
        }
    }
    axes.repetitions = read_repetitions(table, axes.repetitions);
    return axes;
}

LoadOptions read_load_options(const Table& table) {
    LoadOptions load;
    const std::string layout = table.text("i2s_layout", i2s_layout_name(load.i2s));
    load.i2s = table.located("i2s_layout", [&] { return parse_i2s_layout(layout); });
    const std::string config = table.text("kernel_config", "");
    if (!config.empty()) {
        load.tl_tiles = table.located("kernel_config", [&] { return read_kernel_config(config); });
    }
    load.head = table.located("head", [&] { return parse_head(table.text("head", "")); });
    return load;
}

ModelAxes read_model_axes(const std::string& file, const toml::table& toml, const std::string& name,
                          const SpecOptions& options) {
    const Table table(file, toml, "[[model_cells]]",
                      {"models", "files", "kernels", "isa", "prefill", "decode", "depth", "threads",
                       "repetitions", "i2s_layout", "kernel_config", "head"});
    if (!table.has("models") && !table.has("files")) table.required("models");
    ModelAxes axes;
    axes.spec = name;
    axes.kernels = read_kernels(table);
    for (const std::string& preset : table.texts("models", {})) {
        axes.models.push_back(
            table.located("models", [&] { return model_preset(preset, options.models_folder); }));
    }
    const LoadOptions load = read_load_options(table);
    for (const std::string& path : table.texts("files", {})) {
        axes.models.push_back(table.located("files", [&] { return model_file(path, load); }));
    }
    for (ModelSource& model : axes.models) model.load.head = load.head;
    axes.prefill = table.counts("prefill", 1, {});
    axes.decode = table.counts("decode", 1, {});
    if (axes.prefill.empty() && axes.decode.empty()) table.required("decode");
    axes.depths = table.counts("depth", 0, axes.depths);
    axes.threads = read_threads(table);
    axes.repetitions = read_repetitions(table, axes.repetitions);
    return axes;
}

std::string read_text(const fs::path& path) {
    std::ifstream file(path, std::ios::binary);
    std::ostringstream text;
    if (!file || !(text << file.rdbuf())) {
        throw Error(fmt::format("{}: cannot be read: {}", path.string(), std::strerror(errno)));
    }
    return text.str();
}

toml::table parse(const std::string& text, const std::string& file) {
    try {
        return toml::parse(text, file);
    } catch (const toml::parse_error& e) {
        throw Error(
            fmt::format("{}:{}: not TOML: {}", file, e.source().begin.line, e.description()));
    }
}

// Calls read(table) for each element of the array of tables `key`.
template <class Read>
void for_each_table(const std::string& file, const toml::table& root, std::string_view key,
                    Read&& read) {
    const toml::node* node = root.get(key);
    if (node == nullptr) return;
    const toml::array* array = node->as_array();
    const bool tables = array != nullptr && std::all_of(array->begin(), array->end(),
                                                        [](const auto& e) { return e.is_table(); });
    if (!tables) {
        throw Error(fmt::format("{}:{}: {} must be a list of tables, each begun with [[{}]]", file,
                                node->source().begin.line, key, key));
    }
    for (const toml::node& element : *array) read(*element.as_table());
}

}  // namespace

std::vector<ModelSource> Spec::models() const {
    std::vector<ModelSource> all;
    for (const ModelAxes& axes : model_axes) {
        all.insert(all.end(), axes.models.begin(), axes.models.end());
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
    const std::string file = path.string();
    const std::string text = read_text(path);
    const toml::table root = parse(text, file);
    const Table table(file, root, "the spec",
                      {"name", "description", "level", "kernel_cells", "model_cells"});
    Spec spec;
    spec.name = table.text("name", path.stem().string());
    spec.description = table.text("description", "");
    spec.hash = hex16(fnv1a64(text.data(), text.size()));
    for_each_table(file, root, "kernel_cells", [&](const toml::table& t) {
        spec.kernel_axes.push_back(read_kernel_axes(file, t, spec.name));
    });
    for_each_table(file, root, "model_cells", [&](const toml::table& t) {
        spec.model_axes.push_back(read_model_axes(file, t, spec.name, options));
    });
    if (spec.kernel_axes.empty() && spec.model_axes.empty()) {
        throw Error(
            fmt::format("{}: has neither [[kernel_cells]] nor [[model_cells]]: nothing to "
                        "measure",
                        file));
    }
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
    return spec;
}

}  // namespace tritbench
