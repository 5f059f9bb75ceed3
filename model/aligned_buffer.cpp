#include "model/aligned_buffer.h"

#include <fmt/format.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <utility>

#include "kernels/api/error.h"

namespace tritbench {

namespace {

constexpr size_t kHugePage = size_t{2} << 20;

size_t round_up(size_t value, size_t step) {
    return (value + step - 1) / step * step;
}

}  // namespace

AlignedBuffer::AlignedBuffer(size_t bytes, bool huge_pages) {
    if (bytes == 0) return;
    const auto page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
    const bool huge = bytes >= kHugePage;
    const size_t slack = huge ? kHugePage : 0;  // to move the start up to a huge page boundary
    if (bytes > SIZE_MAX - slack - page) {
        throw Error(
            fmt::format("out of memory: a buffer of {} bytes is larger than the address "
                        "space",
                        bytes));
    }
    const size_t mapped = round_up(bytes, page) + slack;
    void* mapping =
        mmap(nullptr, mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (mapping == MAP_FAILED) {
        throw Error(fmt::format("out of memory: cannot reserve {} bytes ({:.2f} GiB)", bytes,
                                static_cast<double>(bytes) / (1U << 30)));
    }
    auto address = reinterpret_cast<uintptr_t>(mapping);
    if (huge) address = round_up(address, kHugePage);
    mapping_ = mapping;
    mapped_ = mapped;
    data_ = reinterpret_cast<std::byte*>(address);
    size_ = bytes;
    if (huge) {
        // Only advice: a system without transparent huge pages refuses it, and that is fine.
        madvise(data_, round_up(bytes, page), huge_pages ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
    }
}

AlignedBuffer::~AlignedBuffer() {
    if (mapping_ != nullptr) munmap(mapping_, mapped_);
}

AlignedBuffer::AlignedBuffer(AlignedBuffer&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)),
      size_(std::exchange(other.size_, 0)),
      mapping_(std::exchange(other.mapping_, nullptr)),
      mapped_(std::exchange(other.mapped_, 0)) {}

AlignedBuffer& AlignedBuffer::operator=(AlignedBuffer&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    std::swap(mapping_, other.mapping_);
    std::swap(mapped_, other.mapped_);
    return *this;
}

}  // namespace tritbench
