// What bench, e2e and sweep have in common: where rows go, time limits, how a run ends.
#pragma once

#include <CLI/CLI.hpp>
#include <string>
#include <vector>

#include "harness/sweep.h"

namespace tritbench::cli {

struct RunFlags {
    std::string csv;
    bool fresh = false, resume = false;
    double timeout_s = 0;
    uint64_t seed = 1;
    bool quiet = false;
    std::string precision, budget;  // as given; empty: not asked for
    bool no_control = false;

    // Of the last three, for a command line: " --precision 1% ...".
    std::string stopping_flags() const;
};

// --resume, --fresh, --timeout, --seed, --quiet, --precision, --budget, --no-control, and the
// result file under `csv_option`.
void add_run_flags(CLI::App& command, RunFlags& flags, const std::string& csv_option);

// `identity` decides together with the name whether a result file may be resumed.
RunOptions run_options(const RunFlags& flags, const std::string& name, const std::string& identity);

// Handles Ctrl-C, runs (journal: null for no result file), prints the summary (always when a result
// file was asked for, else when something went wrong). `resume` is the command line that goes on.
RunResult run_and_summarise(const std::vector<Cell>& cells, const RunOptions& options,
                            Journal* journal, const std::string& resume);

// Adds --pin, which may be repeated.
void add_pin_flag(CLI::App& command, std::vector<std::string>& pins);
// As Cell::pins has them, the default where none is named.
std::vector<std::string> pin_policies(const std::vector<std::string>& pins);
// " --pin compact", or "" for none.
std::string pins_command_line(const std::vector<std::string>& pins);

// One word of a command line, quoted for a shell where it must be.
std::string shell_word(const std::string& word);

}  // namespace tritbench::cli
