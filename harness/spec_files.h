// The files that a spec consists of: itself, and those that it includes.
#pragma once

#include <toml++/toml.h>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace tritbench {

struct SpecFile {
    std::string name;  // as errors name it
    std::string text;
    toml::table root;
    std::vector<SpecFile> included;  // in the order of `include`
};

// Reads a spec and what `include = ["base.toml", ...]` names, relative to the file that says so.
// Throws Error with file and line on what is not TOML, cannot be read, or includes itself.
SpecFile read_spec_files(const std::filesystem::path& path);

// The texts of all of them, the spec's own last.
std::string all_text(const SpecFile& file);

// The tables [[key]] of the root. Throws Error where the key holds anything else.
std::vector<const toml::table*> tables_of(const SpecFile& file, std::string_view key);

}  // namespace tritbench
