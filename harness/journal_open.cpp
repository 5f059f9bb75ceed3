// Opening a journal: the lock, what may be resumed, and mending what a kill left.
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <random>

#include "harness/durable_file.h"
#include "harness/journal.h"
#include "kernels/api/error.h"

namespace tritbench {
namespace {

namespace fs = std::filesystem;

[[noreturn]] void refuse_to_write(const fs::path& path) {
    throw Error(fmt::format("{}: cannot be written: {}", path.string(), std::strerror(errno)));
}

// An object, or null where there is none to be read.
nlohmann::json read_json(const fs::path& path) {
    if (!fs::exists(path)) return nullptr;
    nlohmann::json json = nlohmann::json::parse(read_whole_file(path), nullptr, false);
    return json.is_object() ? json : nlohmann::json(nullptr);
}

// The text under a key; "" if there is none.
std::string text_of(const nlohmann::json& object, const char* key) {
    if (!object.is_object() || !object.contains(key) || !object[key].is_string()) return "";
    return object[key].get<std::string>();
}

bool is_true(const nlohmann::json& object, const char* key) {
    return object.contains(key) && object[key] == true;
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
        open_samples();
    } catch (...) {
        if (fd_ >= 0) ::close(fd_);
        if (made_here) ::unlink(csv_.c_str());
        throw;
    }
}

// Anew where the file was replaced.
void Journal::open_samples() {
    if (samples_fd_ >= 0) ::close(samples_fd_);
    const fs::path path = beside(".samples.jsonl");
    samples_fd_ = ::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    if (samples_fd_ < 0) refuse_to_write(path);
}

// True when the lock is held on the file that has the name: another process may have moved aside
// or replaced, a moment ago, the one that was opened.
bool Journal::try_to_lock() {
    fd_ = ::open(csv_.c_str(), O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    if (fd_ < 0) refuse_to_write(csv_);
    if (::flock(fd_, LOCK_EX | LOCK_NB) == 0) {
        struct stat held {};
        struct stat named {};
        if (::fstat(fd_, &held) == 0 && ::stat(csv_.c_str(), &named) == 0 &&
            held.st_dev == named.st_dev && held.st_ino == named.st_ino) {
            return true;
        }
    }
    ::close(fd_);
    fd_ = -1;
    return false;
}

void Journal::open_and_lock() {
    // A child that measured for a parent just killed holds the lock for a moment longer.
    for (int tries = 0; tries < 20; ++tries) {
        if (tries > 0) ::usleep(100'000);
        if (try_to_lock()) return;
    }
    const nlohmann::json state = read_json(beside(".state.json"));
    const bool known = state.is_object() && state.contains("pid");
    throw Error(
        fmt::format("{}: another tritbench{} is writing it; wait for it or choose another file",
                    csv_.string(), known ? fmt::format(" (process {})", state["pid"].dump()) : ""));
}

void Journal::require_ours(const JournalRequest& request) {
    const std::string text = read_whole_file(csv_);
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
    if (::ftruncate(fd_, 0) != 0) refuse_to_write(csv_);
    write_fully(fd_, csv_header(), csv_);
    sync_to_disk(fd_, csv_);
    sync_entry(csv_);
}

// The state, where the file may be resumed.
nlohmann::json Journal::require_resumable(const JournalRequest& request) const {
    const fs::path state_path = beside(".state.json");
    nlohmann::json state = read_json(state_path);
    if (text_of(state, "run_id").empty()) {
        throw Error(
            fmt::format("{}: has no readable {} beside it, so it cannot be resumed; left "
                        "untouched, choose another name or move it aside with --fresh",
                        csv_.string(), state_path.filename().string()));
    }
    const std::string name = text_of(state, "spec");
    if (name != spec_) {
        throw Error(
            fmt::format("{}: holds rows of something else ('{}'); left untouched, choose another "
                        "name or move it aside with --fresh",
                        csv_.string(), name));
    }
    const std::string here = text_of(request.machine_card, "machine_id");
    const std::string there = text_of(read_json(beside(".machine.json")), "machine_id");
    if (!there.empty() && there != here) {
        throw Error(
            fmt::format("{}: was measured on another machine ({}, this is {}); left untouched, "
                        "choose another name or move it aside with --fresh",
                        csv_.string(), there, here));
    }
    if (request.resume) return state;
    if (text_of(state, "spec_hash") != spec_hash_) {
        throw Error(
            fmt::format("{}: holds rows of something else (an earlier text of '{}'); left "
                        "untouched: --resume measures only what has changed since, --fresh moves "
                        "it aside",
                        csv_.string(), name));
    }
    if (is_true(state, "complete")) {
        throw Error(
            fmt::format("{}: is complete; --resume measures only what has changed since, --fresh "
                        "moves it aside and starts anew",
                        csv_.string()));
    }
    return state;
}

void Journal::resume(const JournalRequest& request) {
    const std::string text = read_whole_file(csv_);
    if (text.size() < csv_header().size()) return create(request);
    const nlohmann::json state = require_resumable(request);
    ResultRows contents = parse_result_rows(csv_, text);
    if (contents.good_bytes < text.size() &&
        ::ftruncate(fd_, static_cast<off_t>(contents.good_bytes)) != 0) {
        refuse_to_write(csv_);
    }
    run_id_ = state["run_id"];
    resumed_ = true;
    finished_ = std::move(contents.rows);
    for (const Row& row : finished_) keys_.insert(row[Column::CellKey]);
    trim_samples();
    if (!fs::exists(beside(".machine.json"))) {
        write_atomically(beside(".machine.json"), request.machine_card.dump(2) + "\n");
    }
    write_state(false);
}

void Journal::move_aside() {
    const std::string stamp = utc_compact();
    for (const char* extension : {".samples.jsonl", ".superseded.samples.jsonl", ".superseded.csv",
                                  ".machine.json", ".state.json", ".csv"}) {
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
    const std::string text = read_whole_file(path);
    std::string kept;
    for (size_t begin = 0, end; (end = text.find('\n', begin)) != std::string::npos;
         begin = end + 1) {
        const std::string line = text.substr(begin, end - begin);
        const auto sample = nlohmann::json::parse(line, nullptr, false);
        const std::string key = text_of(sample, "cell_key");
        if (!keys_.contains(key)) continue;
        kept += line + '\n';
        samples_[key] = numbers_of(sample, "samples_ns");
    }
    if (kept != text) write_atomically(path, kept);
}

}  // namespace tritbench
