// The result file of a run: one CSV line per finished cell, on the disk before the next begins.
//
// Beside NAME.csv lie NAME.samples.jsonl (raw samples, one object per row), NAME.machine.json (the
// machine card) and NAME.state.json (run id, what is being run, whether it is complete). A run
// that was interrupted, killed or lost its power is taken up where it stopped: a torn last line is
// cut off, finished cells are not run again. Rows of cells that are no longer asked for go to
// NAME.superseded.csv and NAME.superseded.samples.jsonl: no measurement is ever thrown away, and
// none stands beside one of newer code.
#pragma once

#include <sys/types.h>

#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "harness/result_file.h"
#include "harness/schema.h"

namespace tritbench {

// "20260131T120000Z" and "2026-01-31T12:00:00Z".
std::string utc_compact();
std::string utc_iso();

struct JournalRequest {
    std::filesystem::path csv;
    std::string spec;       // name of the experiment or command
    std::string spec_hash;  // of everything that decides which cells are run
    bool fresh = false;     // move a file that is there aside instead of resuming it
    nlohmann::json machine_card;
    bool resume = false;  // also a file that is complete, or of another text of the experiment
};

class Journal {
  public:
    // Creates or resumes. Throws Error, with nothing changed, when the file
    // - cannot be written, or another process is writing it;
    // - is not one of ours, or of another schema version;
    // - is complete, or of another text of the experiment (unless `fresh` or `resume`);
    // - is of another experiment, or of another machine (unless `fresh`).
    explicit Journal(const JournalRequest& request);
    ~Journal();
    Journal(const Journal&) = delete;
    Journal& operator=(const Journal&) = delete;

    const std::string& run_id() const { return run_id_; }
    bool resumed() const { return resumed_; }
    // Rows that were there when the file was opened, but for superseded ones.
    const std::vector<Row>& finished() const { return finished_; }
    // Of such a row; empty if there are none.
    std::vector<double> samples_of(const std::string& cell_key) const;
    bool has(const std::string& cell_key) const { return keys_.contains(cell_key); }
    const std::filesystem::path& csv_path() const { return csv_; }
    // Where an old file was moved to; empty if none was.
    const std::filesystem::path& moved_to() const { return moved_to_; }
    // Where superseded rows are.
    std::filesystem::path superseded_path() const { return beside(".superseded.csv"); }

    // Moves finished rows whose keys are not among these, with their samples, to the file of
    // superseded ones; returns how many. A kill at any moment neither loses nor doubles a row.
    size_t supersede_all_but(const std::set<std::string>& asked);

    // Writes samples, then the row, and syncs both. Throws Error when the disk is full: the file
    // then holds the rows before, and no part of this one.
    void append(const Row& row, std::span<const double> samples_ns);
    // Notes that every cell has its row.
    void complete();

  private:
    bool try_to_lock();
    void open_and_lock();
    void require_ours(const JournalRequest& request);
    nlohmann::json require_resumable(const JournalRequest& request) const;
    void create(const JournalRequest& request);
    void resume(const JournalRequest& request);
    void open_samples();
    void move_aside();
    void trim_samples();
    void write_state(bool complete);
    void replace_rows(const std::string& text);
    std::string sample_line(const std::string& key, std::span<const double> samples_ns) const;
    std::filesystem::path beside(const char* extension) const;

    std::filesystem::path csv_, moved_to_;
    std::string run_id_, spec_, spec_hash_;
    bool resumed_ = false;
    std::vector<Row> finished_;
    std::set<std::string> keys_;
    std::map<std::string, std::vector<double>> samples_;  // of the finished rows, by their keys
    int fd_ = -1, samples_fd_ = -1;
};

}  // namespace tritbench
