// Rows of cells that are no longer asked for: a kernel was edited, the compiler or its flags
// changed, the experiment lost an axis.
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "harness/durable_file.h"
#include "harness/journal.h"
#include "kernels/api/error.h"

namespace tritbench {
namespace {

namespace fs = std::filesystem;

// Calls visit(line with its end) for every whole line.
template <class Visit>
void for_each_line(const std::string& text, size_t begin, Visit&& visit) {
    for (size_t end; (end = text.find('\n', begin)) != std::string::npos; begin = end + 1) {
        visit(text.substr(begin, end + 1 - begin));
    }
}

// Adds the lines that are not there yet: a kill may have come after this and before they were
// taken from where they are now.
void add_lines(const fs::path& path, const std::string& header,
               const std::vector<std::string>& lines) {
    std::string text = fs::exists(path) ? read_whole_file(path) : "";
    if (text.empty()) text = header;
    if (!text.starts_with(header)) {
        throw Error(
            fmt::format("{}: has the columns of another schema version than {}; move it away, it "
                        "is where superseded rows go",
                        path.string(), kSchemaVersion));
    }
    std::set<std::string> known;
    for_each_line(text, header.size(), [&](const std::string& line) { known.insert(line); });
    for (const std::string& line : lines) {
        if (!known.contains(line)) text += line;
    }
    write_atomically(path, text);
}

}  // namespace

// The lock belongs to the file, not to its name: the new one is locked before it gets the name.
void Journal::replace_rows(const std::string& text) {
    const fs::path partial = csv_.string() + ".partial";
    const int fd = ::open(partial.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0666);
    if (fd < 0) {
        throw Error(fmt::format("{}: cannot be written: {}", csv_.string(), std::strerror(errno)));
    }
    try {
        if (::flock(fd, LOCK_EX | LOCK_NB) != 0) {
            throw Error(
                fmt::format("{}: cannot be locked: {}", csv_.string(), std::strerror(errno)));
        }
        write_fully(fd, text, csv_);
        sync_to_disk(fd, csv_);
        fs::rename(partial, csv_);
    } catch (...) {
        ::close(fd);
        ::unlink(partial.c_str());
        throw;
    }
    sync_entry(csv_);
    ::close(fd_);
    fd_ = fd;
}

size_t Journal::supersede_all_but(const std::set<std::string>& asked) {
    std::vector<std::string> old_rows, old_samples;
    std::string kept_text = csv_header();
    std::vector<Row> kept;
    for (const Row& row : finished_) {
        const std::string& key = row[Column::CellKey];
        if (asked.contains(key)) {
            kept_text += csv_line(row);
            kept.push_back(row);
            continue;
        }
        old_rows.push_back(csv_line(row));
        if (const auto found = samples_.find(key); found != samples_.end()) {
            old_samples.push_back(sample_line(key, found->second));
        }
    }
    if (old_rows.empty()) return 0;
    add_lines(beside(".superseded.samples.jsonl"), "", old_samples);
    add_lines(superseded_path(), csv_header(), old_rows);
    replace_rows(kept_text);
    finished_ = std::move(kept);
    keys_.clear();
    samples_.clear();
    for (const Row& row : finished_) keys_.insert(row[Column::CellKey]);
    trim_samples();
    open_samples();
    return old_rows.size();
}

}  // namespace tritbench
