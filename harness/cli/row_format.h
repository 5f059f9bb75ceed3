// --format of bench, e2e and sweep: how rows are printed.
#pragma once

#include <CLI/CLI.hpp>
#include <string>
#include <vector>

#include "harness/cell.h"
#include "harness/sweep.h"

namespace tritbench::cli {

// Adds `names` ("--format", with older names of the same option) for csv, json, jsonl, md and
// llama-bench; `format` holds the default, which may be empty or another word.
CLI::Option* add_format_flag(CLI::App& command, const std::string& names, std::string& format);

// Throws Error if cells like these have no rows in the format. Before anything is measured.
void check_row_format(const std::string& format, const std::vector<Cell>& cells);

// Prints the rows on standard output; nothing for an empty format.
void print_rows(const RunResult& result, const std::string& format);

}  // namespace tritbench::cli
