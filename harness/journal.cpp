// What a journal does while cells are measured. Opening it: journal_open.cpp; what happens to rows
// that are no longer asked for: journal_superseded.cpp.
#include "harness/journal.h"

#include <fmt/format.h>
#include <unistd.h>

#include <ctime>

#include "harness/durable_file.h"
#include "kernels/api/error.h"

namespace tritbench {
namespace {

namespace fs = std::filesystem;

std::string utc(const char* format) {
    const std::time_t now = std::time(nullptr);
    std::tm parts{};
    gmtime_r(&now, &parts);
    char text[32];
    return {text, std::strftime(text, sizeof text, format, &parts)};
}

void append_line(int fd, const std::string& line, const fs::path& path) {
    write_fully(fd, line, path);
    sync_to_disk(fd, path);
}

off_t size_of(int fd) {
    return ::lseek(fd, 0, SEEK_END);
}

// Best effort: where even that fails, the next opening cuts off the torn line.
void cut_back(int fd, off_t size) {
    if (size >= 0 && ::ftruncate(fd, size) != 0) ::fsync(fd);
}

}  // namespace

std::string utc_compact() {
    return utc("%Y%m%dT%H%M%SZ");
}
std::string utc_iso() {
    return utc("%Y-%m-%dT%H:%M:%SZ");
}

Journal::~Journal() {
    if (samples_fd_ >= 0) ::close(samples_fd_);
    if (fd_ >= 0) ::close(fd_);
}

fs::path Journal::beside(const char* extension) const {
    fs::path path = csv_;
    return path.replace_extension(extension);
}

std::vector<double> Journal::samples_of(const std::string& cell_key) const {
    const auto found = samples_.find(cell_key);
    return found == samples_.end() ? std::vector<double>{} : found->second;
}

// The process id is for the message to another process that wants the file meanwhile.
void Journal::write_state(bool complete) {
    nlohmann::ordered_json state = {{"run_id", run_id_},
                                    {"schema_version", kSchemaVersion},
                                    {"spec", spec_},
                                    {"spec_hash", spec_hash_},
                                    {"complete", complete}};
    if (!complete) state["pid"] = ::getpid();
    write_atomically(beside(".state.json"), state.dump(2) + "\n");
}

std::string Journal::sample_line(const std::string& key, std::span<const double> samples_ns) const {
    nlohmann::ordered_json sample = {{"run_id", run_id_}, {"cell_key", key}};
    sample["samples_ns"] = std::vector<double>(samples_ns.begin(), samples_ns.end());
    return sample.dump() + "\n";
}

void Journal::append(const Row& row, std::span<const double> samples_ns) {
    const std::string& key = row[Column::CellKey];
    const off_t samples_before = size_of(samples_fd_), rows_before = size_of(fd_);
    try {
        if (!samples_ns.empty()) {
            append_line(samples_fd_, sample_line(key, samples_ns), beside(".samples.jsonl"));
        }
        append_line(fd_, csv_line(row), csv_);
    } catch (const Error& e) {
        cut_back(fd_, rows_before);
        cut_back(samples_fd_, samples_before);
        throw Error(
            fmt::format("{}; the rows before it are kept: make room, then run the same command "
                        "again",
                        e.what()));
    }
    keys_.insert(key);
}

void Journal::complete() {
    write_state(true);
}

}  // namespace tritbench
