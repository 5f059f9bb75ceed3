#include "harness/durable_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <sstream>

#include "kernels/api/error.h"

namespace tritbench {
namespace {

namespace fs = std::filesystem;

[[noreturn]] void refuse(const fs::path& path, const char* what, const std::string& why) {
    throw Error(fmt::format("{}: cannot be {}: {}", path.string(), what, why));
}

}  // namespace

std::string read_whole_file(const fs::path& path) {
    std::ifstream file(path, std::ios::binary);
    if (!file) refuse(path, "read", std::strerror(errno));
    std::ostringstream text;
    text << file.rdbuf();
    return text.str();
}

void write_fully(int fd, std::string_view text, const fs::path& path) {
    while (!text.empty()) {
        const ssize_t n = ::write(fd, text.data(), text.size());
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) refuse(path, "written", std::strerror(errno));
        text.remove_prefix(static_cast<size_t>(n));
    }
}

void sync_to_disk(int fd, const fs::path& path) {
    // Pipes and some file systems have nothing to sync (EINVAL); that is not a lost row.
    if (::fsync(fd) != 0 && errno != EINVAL && errno != EROFS) {
        refuse(path, "synced", std::strerror(errno));
    }
}

void sync_entry(const fs::path& path) {
    const fs::path folder = path.has_parent_path() ? path.parent_path() : fs::path(".");
    const int fd = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return;
    ::fsync(fd);
    ::close(fd);
}

void write_atomically(const fs::path& path, std::string_view text, std::string_view suffix) {
    const fs::path partial = path.string().append(suffix);
    const int fd = ::open(partial.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (fd < 0) refuse(path, "written", std::strerror(errno));
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
    if (problem) {
        ::unlink(partial.c_str());
        refuse(path, "written", problem.message());
    }
    sync_entry(path);
}

}  // namespace tritbench
