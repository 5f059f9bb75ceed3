#include "harness/journal.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <ctime>
#include <fstream>
#include <random>
#include <sstream>

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

std::string read_all(const fs::path& path) {
    std::ifstream file(path, std::ios::binary);
    if (!file)
        throw Error(fmt::format("{}: cannot be read: {}", path.string(), std::strerror(errno)));
    std::ostringstream text;
    text << file.rdbuf();
    return text.str();
}

void write_fully(int fd, std::string_view text, const fs::path& path) {
    while (!text.empty()) {
        const ssize_t n = ::write(fd, text.data(), text.size());
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) {
            throw Error(
                fmt::format("{}: cannot be written: {}", path.string(), std::strerror(errno)));
        }
        text.remove_prefix(static_cast<size_t>(n));
    }
}

void sync_to_disk(int fd, const fs::path& path) {
    // Pipes and some file systems have nothing to sync (EINVAL); that is not a lost row.
    if (::fsync(fd) != 0 && errno != EINVAL && errno != EROFS) {
        throw Error(fmt::format("{}: cannot be synced: {}", path.string(), std::strerror(errno)));
    }
}

// Whole or not at all: written beside, synced, renamed.
void write_atomically(const fs::path& path, std::string_view text) {
    const fs::path partial = path.string() + ".partial";
    const int fd = ::open(partial.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (fd < 0) {
        throw Error(fmt::format("{}: cannot be written: {}", path.string(), std::strerror(errno)));
    }
    try {
        write_fully(fd, text, path);
        sync_to_disk(fd, path);
    } catch (...) {
        ::close(fd);
        ::unlink(partial.c_str());
        throw;
    }
    ::close(fd);
    std::error_code problem;
    fs::rename(partial, path, problem);
    if (!problem) return;
    ::unlink(partial.c_str());
    throw Error(fmt::format("{}: cannot be written: {}", path.string(), problem.message()));
}

struct Contents {
    std::vector<Row> rows;
    uint64_t good_bytes = 0;  // up to the end of the last whole line
};

// Rows of a file that begins with our header. A last line without its end is left out.
Contents parse_rows(const fs::path& path, const std::string& text) {
    Contents contents;
    contents.good_bytes = csv_header().size();
    int line_number = 1;
    for (size_t begin = contents.good_bytes, end;
         (end = text.find('\n', begin)) != std::string::npos; begin = end + 1) {
        ++line_number;
        const auto row = parse_csv_line(std::string_view(text).substr(begin, end - begin));
        if (!row) {
            throw Error(
                fmt::format("{}:{}: not a row of {} columns; mend or remove the line, or "
                            "write to another file",
                            path.string(), line_number, kColumnCount));
        }
        contents.rows.push_back(*row);
        contents.good_bytes = end + 1;
    }
    return contents;
}

// The list of numbers under a key; empty if there is none.
std::vector<double> numbers_of(const nlohmann::json& object, const char* key) {
    try {
        return object.at(key).get<std::vector<double>>();
    } catch (const nlohmann::json::exception&) {
        return {};
    }
}

}  // namespace

std::string utc_compact() {
    return utc("%Y%m%dT%H%M%SZ");
}
std::string utc_iso() {
    return utc("%Y-%m-%dT%H:%M:%SZ");
}

Journal::Journal(const JournalRequest& request)
    : csv_(request.csv), spec_(request.spec), spec_hash_(request.spec_hash) {
    if (csv_.extension() != ".csv") {
        throw Error(fmt::format("{}: the name of a result file must end in .csv", csv_.string()));
    }
    bool made_here = false;
    try {
        open_and_lock();
        struct stat status {};
        ::fstat(fd_, &status);
        made_here = status.st_size == 0;
        if (!made_here) {
            require_ours(request);
            if (request.fresh) {
                move_aside();
                open_and_lock();
                create(request);
            } else {
                resume(request);
            }
        } else {
            create(request);
        }
        samples_fd_ = ::open(beside(".samples.jsonl").c_str(),
                             O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
        if (samples_fd_ < 0) {
            throw Error(fmt::format("{}: cannot be written: {}", beside(".samples.jsonl").string(),
                                    std::strerror(errno)));
        }
    } catch (...) {
        if (fd_ >= 0) ::close(fd_);
        if (made_here) ::unlink(csv_.c_str());
        throw;
    }
}

Journal::~Journal() {
    if (samples_fd_ >= 0) ::close(samples_fd_);
    if (fd_ >= 0) ::close(fd_);
}

fs::path Journal::beside(const char* extension) const {
    fs::path path = csv_;
    return path.replace_extension(extension);
}

void Journal::open_and_lock() {
    fd_ = ::open(csv_.c_str(), O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    if (fd_ < 0) {
        throw Error(fmt::format("{}: cannot be written: {}", csv_.string(), std::strerror(errno)));
    }
    // A child that measured for a parent just killed holds the lock for a moment longer.
    bool locked = false;
    for (int tries = 0; !locked && tries < 20; ++tries) {
        if (tries > 0) ::usleep(100'000);
        locked = ::flock(fd_, LOCK_EX | LOCK_NB) == 0;
    }
    if (!locked) {
        throw Error(
            fmt::format("{}: another tritbench is writing it; wait for it or choose "
                        "another file",
                        csv_.string()));
    }
}

void Journal::require_ours(const JournalRequest& request) {
    const std::string text = read_all(csv_);
    const std::string header = csv_header();
    if (header.starts_with(text)) return;  // killed while the header was written
    if (!text.starts_with("schema_version,")) {
        throw Error(
            fmt::format("{}: exists and is not a result file of tritbench; left untouched, "
                        "choose another name",
                        csv_.string()));
    }
    if (!text.starts_with(header) && !request.fresh) {
        throw Error(
            fmt::format("{}: has the columns of another schema version than {}; left "
                        "untouched, choose another name or move it aside with --fresh",
                        csv_.string(), kSchemaVersion));
    }
}

void Journal::create(const JournalRequest& request) {
    std::random_device entropy;
    run_id_ = fmt::format("{}-{:04x}", utc_compact(), entropy() & 0xffffU);
    write_state(false);
    write_atomically(beside(".machine.json"), request.machine_card.dump(2) + "\n");
    ::unlink(beside(".samples.jsonl").c_str());
    if (::ftruncate(fd_, 0) != 0) {
        throw Error(fmt::format("{}: cannot be written: {}", csv_.string(), std::strerror(errno)));
    }
    write_fully(fd_, csv_header(), csv_);
    sync_to_disk(fd_, csv_);
}

void Journal::resume(const JournalRequest& request) {
    const std::string text = read_all(csv_);
    if (text.size() < csv_header().size()) return create(request);
    const fs::path state_path = beside(".state.json");
    nlohmann::json state;
    if (fs::exists(state_path)) {
        state = nlohmann::json::parse(read_all(state_path), nullptr, false);
    }
    if (!state.is_object() || !state.contains("run_id") || !state["run_id"].is_string()) {
        throw Error(
            fmt::format("{}: has no readable {} beside it, so it cannot be resumed; left "
                        "untouched, choose another name or move it aside with --fresh",
                        csv_.string(), state_path.filename().string()));
    }
    if (state.value("spec_hash", "") != spec_hash_) {
        throw Error(
            fmt::format("{}: holds rows of something else ('{}', or an earlier text of "
                        "it); left untouched, choose another name or move it aside with "
                        "--fresh",
                        csv_.string(), state.value("spec", "?")));
    }
    if (state.value("complete", false)) {
        throw Error(
            fmt::format("{}: is complete, nothing is left to run; --fresh moves it aside "
                        "and starts anew",
                        csv_.string()));
    }
    Contents contents = parse_rows(csv_, text);
    if (contents.good_bytes < text.size() &&
        ::ftruncate(fd_, static_cast<off_t>(contents.good_bytes)) != 0) {
        throw Error(fmt::format("{}: cannot be written: {}", csv_.string(), std::strerror(errno)));
    }
    run_id_ = state["run_id"];
    resumed_ = true;
    finished_ = std::move(contents.rows);
    for (const Row& row : finished_) keys_.insert(row[Column::CellKey]);
    trim_samples();
}

void Journal::move_aside() {
    const std::string stamp = utc_compact();
    for (const char* extension : {".samples.jsonl", ".machine.json", ".state.json", ".csv"}) {
        const fs::path old = beside(extension);
        if (!fs::exists(old)) continue;
        fs::path to = beside(fmt::format(".{}{}", stamp, extension).c_str());
        for (int i = 2; fs::exists(to); ++i) {
            to = beside(fmt::format(".{}-{}{}", stamp, i, extension).c_str());
        }
        std::error_code problem;
        fs::rename(old, to, problem);
        if (problem) {
            throw Error(fmt::format("{}: cannot be moved to {}: {}", old.string(), to.string(),
                                    problem.message()));
        }
        moved_to_ = to;
    }
    ::close(fd_);
    fd_ = -1;
}

// Samples are written before their row: a kill in between leaves samples of a cell that will be
// measured again. They, and a torn last line, are dropped.
void Journal::trim_samples() {
    const fs::path path = beside(".samples.jsonl");
    if (!fs::exists(path)) return;
    const std::string text = read_all(path);
    std::string kept;
    for (size_t begin = 0, end; (end = text.find('\n', begin)) != std::string::npos;
         begin = end + 1) {
        const std::string line = text.substr(begin, end - begin);
        const auto sample = nlohmann::json::parse(line, nullptr, false);
        if (!sample.is_object()) continue;
        const std::string key = sample.value("cell_key", "");
        if (!keys_.contains(key)) continue;
        kept += line + '\n';
        samples_[key] = numbers_of(sample, "samples_ns");
    }
    if (kept != text) write_atomically(path, kept);
}

std::vector<double> Journal::samples_of(const std::string& cell_key) const {
    const auto found = samples_.find(cell_key);
    return found == samples_.end() ? std::vector<double>{} : found->second;
}

void Journal::write_state(bool complete) {
    const nlohmann::ordered_json state = {{"run_id", run_id_},
                                          {"schema_version", kSchemaVersion},
                                          {"spec", spec_},
                                          {"spec_hash", spec_hash_},
                                          {"complete", complete}};
    write_atomically(beside(".state.json"), state.dump(2) + "\n");
}

void Journal::append(const Row& row, std::span<const double> samples_ns) {
    if (!samples_ns.empty()) {
        nlohmann::ordered_json sample = {{"run_id", run_id_}, {"cell_key", row[Column::CellKey]}};
        sample["samples_ns"] = std::vector<double>(samples_ns.begin(), samples_ns.end());
        write_fully(samples_fd_, sample.dump() + "\n", beside(".samples.jsonl"));
        sync_to_disk(samples_fd_, beside(".samples.jsonl"));
    }
    write_fully(fd_, csv_line(row), csv_);
    sync_to_disk(fd_, csv_);
    keys_.insert(row[Column::CellKey]);
}

void Journal::complete() {
    write_state(true);
}

std::vector<Row> read_result_file(const fs::path& csv) {
    const std::string text = read_all(csv);
    if (!text.starts_with(csv_header())) {
        throw Error(fmt::format("{}: not a result file of schema version {}", csv.string(),
                                kSchemaVersion));
    }
    return parse_rows(csv, text).rows;
}

}  // namespace tritbench
