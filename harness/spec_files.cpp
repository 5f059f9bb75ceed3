#include "harness/spec_files.h"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <sstream>

#include "harness/spec_table.h"
#include "kernels/api/error.h"

namespace tritbench {
namespace {

namespace fs = std::filesystem;

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

fs::path identity(const fs::path& path) {
    std::error_code ignored;
    const fs::path canonical = fs::weakly_canonical(path, ignored);
    return ignored ? path : canonical;
}

// `open`: the files that include each other on the way here, the spec first.
SpecFile read_one(const fs::path& path, std::vector<fs::path> open) {
    SpecFile file;
    file.name = path.string();
    file.text = read_text(path);
    file.root = parse(file.text, file.name);
    open.push_back(identity(path));
    const toml::node* include = file.root.get("include");
    if (include == nullptr) return file;
    const std::string where =
        fmt::format("{}:{}: include", file.name, include->source().begin.line);
    std::vector<std::string> names;
    const auto add = [&](const toml::node& node) {
        if (!node.is_string()) throw Error(fmt::format("{}: expected file names in quotes", where));
        names.push_back(node.as_string()->get());
    };
    if (const toml::array* list = include->as_array()) {
        for (const toml::node& node : *list) add(node);
    } else {
        add(*include);
    }
    for (const std::string& name : names) {
        const fs::path next = path.parent_path() / name;
        if (std::find(open.begin(), open.end(), identity(next)) != open.end()) {
            throw Error(
                fmt::format("{}: '{}' is being read already: files include each other in a "
                            "circle",
                            where, name));
        }
        if (!fs::is_regular_file(next)) {
            throw Error(fmt::format("{}: '{}': no such file; names are relative to {}", where, name,
                                    path.has_parent_path() ? path.parent_path().string() : "."));
        }
        file.included.push_back(read_one(next, open));
    }
    return file;
}

}  // namespace

SpecFile read_spec_files(const fs::path& path) {
    return read_one(path, {});
}

std::string all_text(const SpecFile& file) {
    std::string text;
    for (const SpecFile& other : file.included) text += all_text(other) + '\n';
    return text + file.text;
}

std::vector<const toml::table*> tables_of(const SpecFile& file, std::string_view key) {
    const toml::node* node = file.root.get(key);
    if (node == nullptr) return {};
    const toml::array* array = node->as_array();
    const bool tables = array != nullptr && std::all_of(array->begin(), array->end(),
                                                        [](const auto& e) { return e.is_table(); });
    if (!tables) {
        throw Error(fmt::format("{}:{}: {} must be a list of tables, each begun with [[{}]]",
                                file.name, node->source().begin.line, key, key));
    }
    std::vector<const toml::table*> found;
    for (const toml::node& element : *array) found.push_back(element.as_table());
    return found;
}

}  // namespace tritbench
