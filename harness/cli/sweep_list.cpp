#include "harness/cli/sweep_list.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <system_error>
#include <vector>

#include "harness/environment.h"
#include "kernels/api/error.h"

namespace tritbench::cli {
namespace {

namespace fs = std::filesystem;

std::string runnable_text(const std::vector<Cell>& cells) {
    const auto here = std::count_if(cells.begin(), cells.end(),
                                    [](const Cell& cell) { return cell.unavailable.empty(); });
    if (here == std::ssize(cells)) return "all";
    return here == 0 ? "none" : fmt::format("{} of {}", here, cells.size());
}

// What a run would generate first, in GB of disk.
std::string generated_text(const Spec& spec) {
    uint64_t bytes = 0;
    for (const ModelSource& model : spec.models()) {
        if (!model.preset.empty()) bytes += model.info.file_bytes;
    }
    return bytes == 0 ? "" : fmt::format("{:.1f} GB", static_cast<double>(bytes) / 1e9);
}

// File, name, cells, run here, generates, description.
using ExperimentLine = std::array<std::string, 6>;

ExperimentLine experiment_line(const fs::path& path, const SpecOptions& options) {
    const std::string file = path.filename().string();
    try {
        const Spec spec = read_spec(path, options);
        const std::vector<Cell> cells = spec.cells();
        return {file,
                spec.name,
                fmt::format("{}", cells.size()),
                runnable_text(cells),
                generated_text(spec),
                spec.description};
    } catch (const Error& e) {
        return {file, path.stem().string(), "", "no", "", e.what()};
    }
}

void print_experiments(const std::vector<ExperimentLine>& lines) {
    std::array<size_t, 5> width{};
    for (const ExperimentLine& line : lines) {
        for (size_t i = 0; i < width.size(); ++i) width[i] = std::max(width[i], line[i].size());
    }
    for (const ExperimentLine& l : lines) {
        fmt::print("{:<{}}  {:<{}}  {:>{}}  {:>{}}  {:>{}}  {}\n", l[0], width[0], l[1], width[1],
                   l[2], width[2], l[3], width[3], l[4], width[4], l[5]);
    }
}

}  // namespace

void list_experiments(const fs::path& folder, const SpecOptions& options) {
    std::error_code problem;
    std::vector<fs::path> files;
    for (const auto& entry : fs::directory_iterator(folder, problem)) {
        if (entry.path().extension() == ".toml") files.push_back(entry.path());
    }
    if (problem || files.empty()) {
        throw Error(
            fmt::format("{}: {}; name the folder of the experiments with --experiments-folder",
                        folder.string(), problem ? problem.message() : "has no .toml file"));
    }
    std::sort(files.begin(), files.end());
    std::vector<ExperimentLine> lines = {
        {"file", "name", "cells", "run here", "generates", "description"}};
    for (const fs::path& file : files) lines.push_back(experiment_line(file, options));
    print_experiments(lines);
}

void list_cells(const Spec& spec) {
    const std::string machine = machine_card().machine_id();
    const std::vector<Cell> cells = spec.cells();
    for (const Cell& cell : cells) {
        fmt::print("{}  {}{}\n", cell_key(cell, machine), cell_label(cell),
                   cell.unavailable.empty() ? "" : "  (unavailable: " + cell.unavailable + ")");
    }
    fmt::print("{} cells, run here: {}\n", cells.size(), runnable_text(cells));
}

std::vector<Cell> selected_cells(const Spec& spec, const std::string& file) {
    std::vector<Cell> cells = spec.cells();
    if (cells.empty()) {
        throw Error(
            fmt::format("{}: no cell is left: `exclude` and `filter` leave out all of them", file));
    }
    return cells;
}

}  // namespace tritbench::cli
