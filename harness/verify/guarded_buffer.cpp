#include "harness/verify/guarded_buffer.h"

#include <fmt/format.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstring>

#include "kernels/api/error.h"

namespace tritbench {

GuardedBuffer::GuardedBuffer(size_t bytes, size_t alignment, Place place, uint8_t fill)
    : bytes_(bytes) {
    const auto page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
    const size_t inner = (bytes + alignment + page - 1) / page * page;
    mapped_ = inner + 2 * page;
    mapping_ = mmap(nullptr, mapped_, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (mapping_ == MAP_FAILED) {
        throw Error(fmt::format("no memory for a test buffer of {} bytes", bytes));
    }
    auto* first = static_cast<std::byte*>(mapping_) + page;
    if (mprotect(first, inner, PROT_READ | PROT_WRITE) != 0) {
        munmap(mapping_, mapped_);
        throw Error(fmt::format("no memory for a test buffer of {} bytes", bytes));
    }
    data_ = first;
    if (place == Place::AtEnd) data_ = first + (inner - bytes) / alignment * alignment;
    std::memset(first, fill, inner);
}

GuardedBuffer::~GuardedBuffer() {
    munmap(mapping_, mapped_);
}

}  // namespace tritbench
