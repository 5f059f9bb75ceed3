#include "model/file_mapping.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "kernels/api/error.h"
#include "model/printable.h"

namespace tritbench {

FileMapping::FileMapping(const std::string& path, const char* expected) {
    // O_NONBLOCK: opening a FIFO must fail below, not wait for a writer.
    const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        throw Error(fmt::format("{}: cannot open: {}", printable(path, 300), std::strerror(errno)));
    struct stat info {};
    std::string problem;
    if (::fstat(fd, &info) != 0) {
        problem = std::strerror(errno);
    } else if (!S_ISREG(info.st_mode)) {
        problem =
            fmt::format("is {}, expected {}",
                        S_ISDIR(info.st_mode) ? "a directory" : "not a regular file", expected);
    } else if (info.st_size == 0) {
        problem = fmt::format("is empty, expected {}", expected);
    } else {
        size_ = static_cast<uint64_t>(info.st_size);
        void* at = ::mmap(nullptr, size_, PROT_READ, MAP_SHARED, fd, 0);
        if (at == MAP_FAILED) {
            problem = fmt::format("cannot map {} bytes: {}", size_, std::strerror(errno));
        } else {
            data_ = static_cast<std::byte*>(at);
        }
    }
    ::close(fd);
    if (!problem.empty()) throw Error(fmt::format("{}: {}", printable(path, 300), problem));
}

FileMapping::~FileMapping() {
    ::munmap(data_, size_);
}

}  // namespace tritbench
