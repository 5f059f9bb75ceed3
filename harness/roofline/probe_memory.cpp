#include "harness/roofline/probe_memory.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <string>

#include "harness/system_files.h"
#include "kernels/api/error.h"

namespace tritbench {

namespace {

constexpr size_t kHugePage = size_t{2} << 20;

// A file that exists only as pages in memory: no disk writes it back during a measurement. Where
// there are none, an unlinked temporary file.
int anonymous_file() {
    const int fd = memfd_create("tritbench-probe", MFD_CLOEXEC);
    if (fd >= 0) return fd;
    const char* folder = std::getenv("TMPDIR");
    std::string name = std::string(folder && *folder ? folder : "/var/tmp") + "/tritbench-XXXXXX";
    const int temporary = mkostemp(name.data(), O_CLOEXEC);
    if (temporary >= 0) unlink(name.c_str());
    return temporary;
}

}  // namespace

void ProbeMemory::map(AllocationKind kind) {
    // One page in front, to align to huge pages by hand.
    mapped_ = size_ + kHugePage;
    int fd = -1;
    int flags = MAP_PRIVATE | MAP_ANONYMOUS;
    if (kind == AllocationKind::MappedFile) {
        mapped_ = size_;
        flags = MAP_SHARED;
        fd = anonymous_file();
        if (fd < 0 || ftruncate(fd, static_cast<off_t>(size_)) != 0) {
            const int problem = errno;
            if (fd >= 0) close(fd);
            throw Error(fmt::format(
                "roofline: cannot make a file of {} MB to map: {}; set TMPDIR to a folder with "
                "room, or measure without mapped files",
                size_ >> 20, std::strerror(problem)));
        }
    }
    mapping_ = mmap(nullptr, mapped_, PROT_READ | PROT_WRITE, flags, fd, 0);
    const int problem = errno;
    if (fd >= 0) close(fd);
    if (mapping_ == MAP_FAILED) {
        mapping_ = nullptr;
        throw Error(
            fmt::format("roofline: cannot map {} MB of memory: {}; ask for a smaller "
                        "footprint",
                        size_ >> 20, std::strerror(problem)));
    }
    auto address = reinterpret_cast<uintptr_t>(mapping_);
    if (kind != AllocationKind::MappedFile) address = (address + kHugePage - 1) & ~(kHugePage - 1);
    data_ = reinterpret_cast<std::byte*>(address);
    // Failure means a system without huge pages: the note of the ceiling will say so.
    if (kind == AllocationKind::HugePages) (void)madvise(data_, size_, MADV_HUGEPAGE);
    if (kind == AllocationKind::SmallPages) (void)madvise(data_, size_, MADV_NOHUGEPAGE);
}

ProbeMemory::ProbeMemory(ThreadPool& pool, size_t bytes_per_worker, AllocationKind kind) {
    // Parts start on a page of their own, and not all on the same cache set.
    constexpr size_t kPage = 4096;
    stride_ = (bytes_per_worker + kPage - 1) / kPage * kPage + kPage;
    size_ = stride_ * static_cast<size_t>(pool.threads());
    if (kind == AllocationKind::HugePages) size_ = (size_ + kHugePage - 1) / kHugePage * kHugePage;
    map(kind);
    pool.for_each_worker([&](int worker, int workers) {
        const size_t begin = static_cast<size_t>(worker) * stride_;
        const size_t end = worker + 1 == workers ? size_ : begin + stride_;
        auto* words = reinterpret_cast<uint64_t*>(data_ + begin);
        // Never zero: pages of zeros may be shared or compressed.
        for (size_t i = 0; i < (end - begin) / 8; ++i)
            words[i] = (begin / 8 + i + 1) * 0x9e3779b97f4a7c15u;
    });
}

ProbeMemory::~ProbeMemory() {
    if (mapping_) munmap(mapping_, mapped_);
}

int64_t ProbeMemory::bytes_in_huge_pages() const {
    std::ifstream smaps("/proc/self/smaps");
    if (!smaps) return -1;
    const auto wanted = reinterpret_cast<uintptr_t>(data_);
    int64_t bytes = 0;
    bool ours = false, found = false;
    for (std::string line; std::getline(smaps, line);) {
        const size_t dash = line.find('-'), space = line.find(' ');
        if (dash != std::string::npos && space != std::string::npos && dash < space &&
            line.find(':') > space) {
            const uintptr_t begin = std::strtoull(line.c_str(), nullptr, 16);
            const uintptr_t end = std::strtoull(line.c_str() + dash + 1, nullptr, 16);
            ours = begin < wanted + size_ && wanted < end;
            found |= ours;
        } else if (ours &&
                   (line.starts_with("AnonHugePages:") || line.starts_with("ShmemPmdMapped:") ||
                    line.starts_with("FilePmdMapped:"))) {
            bytes += leading_integer(line.substr(line.find(':') + 1)).value_or(0) << 10;
        }
    }
    return found ? bytes : -1;
}

}  // namespace tritbench
