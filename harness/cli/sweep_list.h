// sweep --list: the experiments of a folder, or the cells of one.
#pragma once

#include <filesystem>
#include <string>

#include "harness/spec.h"

namespace tritbench::cli {

// A table of the folder's *.toml: file, cells, how many of them run here, what is generated first,
// description. A file that cannot be read is listed with its error. Throws Error without a folder.
void list_experiments(const std::filesystem::path& folder, const SpecOptions& options);

// Every cell with its key, by which a result file knows it, and why it cannot be run here.
void list_cells(const Spec& spec);

// Throws Error if exclusions and filters have left nothing.
std::vector<Cell> selected_cells(const Spec& spec, const std::string& file);

}  // namespace tritbench::cli
