// Which safetensors files make up a model.
#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "kernels/api/error.h"
#include "model/convert/json_file.h"
#include "model/convert/safetensors.h"
#include "model/printable.h"

namespace tritbench {
namespace {

namespace fs = std::filesystem;

std::vector<fs::path> safetensors_in(const fs::path& folder) {
    std::vector<fs::path> found;
    std::error_code problem;
    for (fs::directory_iterator at(folder, problem), end; !problem && at != end;
         at.increment(problem)) {
        if (at->path().extension() == ".safetensors") found.push_back(at->path());
    }
    if (problem) {
        throw Error(fmt::format("{}: cannot read the folder: {}", printable(folder.string(), 300),
                                problem.message()));
    }
    std::sort(found.begin(), found.end());
    return found;
}

}  // namespace

SafetensorsFolder::SafetensorsFolder(const fs::path& folder) : folder_(folder) {
    const fs::path single = folder / "model.safetensors";
    const fs::path index = folder / "model.safetensors.index.json";
    std::error_code ignored;
    if (fs::exists(single, ignored)) {
        add(single);
    } else if (fs::exists(index, ignored)) {
        open_index(index);
    } else {
        for (const fs::path& file : safetensors_in(folder)) add(file);
        if (files_.empty()) {
            throw Error(
                fmt::format("{}: holds no .safetensors file; expected a Hugging Face model "
                            "folder",
                            printable(folder.string(), 300)));
        }
    }
}

void SafetensorsFolder::open_index(const fs::path& index) {
    const std::string shown = printable(index.string(), 300);
    const nlohmann::json document = read_json(index);
    const JsonObject root(shown, document);
    const nlohmann::json* map = root.find("weight_map");
    if (!map || !map->is_object()) root.fail("weight_map", "an object of tensor: file");
    std::set<std::string> names;
    for (const auto& [tensor, file] : map->items()) {
        const std::string name = file.is_string() ? file.get<std::string>() : "";
        // Only files of this folder: an index is no reason to open others.
        if (!name.ends_with(".safetensors") || name.find('/') != std::string::npos) {
            throw Error(
                fmt::format("{}: tensor '{}' is said to be in '{}', expected the name of a "
                            ".safetensors file of the same folder",
                            shown, printable(tensor, 120), printable(name)));
        }
        names.insert(name);
    }
    for (const std::string& name : names) add(folder_ / name);
    for (const auto& [tensor, file] : map->items()) {
        const SafetensorsTensor* found = find(tensor);
        if (!found || found->file->filename() != file.get<std::string>()) {
            throw Error(
                fmt::format("{}: tensor '{}' is not in '{}'; the index or the shard is of "
                            "another model",
                            shown, printable(tensor, 120), printable(file.get<std::string>())));
        }
    }
}

void SafetensorsFolder::add(const fs::path& file) {
    files_.emplace_back(file);
    for (const SafetensorsTensor& tensor : files_.back().tensors()) {
        const auto [other, added] = by_name_.emplace(tensor.name, &tensor);
        if (!added) {
            throw Error(fmt::format("{}: is also in {}", describe(tensor),
                                    printable(other->second->file->string(), 300)));
        }
        tensors_.push_back(&tensor);
    }
}

const SafetensorsTensor* SafetensorsFolder::find(std::string_view name) const {
    const auto found = by_name_.find(name);
    return found == by_name_.end() ? nullptr : found->second;
}

}  // namespace tritbench
