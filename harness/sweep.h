// Runs a list of cells: gate, blocks in child processes, rows to a journal, progress.
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "harness/block.h"
#include "harness/cell.h"
#include "harness/journal.h"
#include "harness/schema.h"

namespace tritbench {

struct RunOptions {
    std::string name;                          // of the experiment or command
    std::string spec_hash;                     // decides whether a file may be resumed
    std::optional<std::filesystem::path> csv;  // none: rows are only returned
    bool fresh = false, resume = false;        // see JournalRequest
    MeasureOptions measure;
    double gate_timeout_s = 300;
    bool show_progress = true;
};

struct RunResult {
    std::vector<Row> rows;                     // in file order, those of an earlier run included
    std::vector<std::vector<double>> samples;  // of each row, ns; empty where it was not measured
    std::map<std::string, int> by_status;
    size_t cells = 0;
    bool interrupted = false;
    bool resumed = false;
    size_t superseded = 0;           // rows of the file whose cells were not asked for any more
    std::filesystem::path moved_to;  // where an older result file went; empty if none was there

    // 130 when interrupted; 1 when a row failed, crashed, timed out or met an error; else 0.
    int exit_code() const;
};

// The result file that the options ask for, or null. Throws Error when it cannot be used.
std::unique_ptr<Journal> open_journal(const RunOptions& options);

// Measures every cell that has no row yet. `journal` may be null: rows are only returned.
RunResult run_cells(const std::vector<Cell>& cells, const RunOptions& options, Journal* journal);

// Blocks of cells that are measured together: at kernel level those of one shape, batch, thread
// count and cache mode, at model level those of one file; split so that the weights of a block fit
// half of the available memory.
std::vector<Members> make_blocks(const std::vector<Cell>& cells, const Members& members,
                                 uint64_t available_memory, uint64_t last_level_cache);

}  // namespace tritbench
