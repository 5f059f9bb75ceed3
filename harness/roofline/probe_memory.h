// Memory to measure read bandwidth on, of a stated kind, written once so that every page exists.
#pragma once

#include <cstddef>
#include <cstdint>

#include "harness/roofline/ceilings.h"
#include "model/thread_pool.h"

namespace tritbench {

class ProbeMemory {
  public:
    // `bytes` for each worker of the pool, each part filled by the worker that will read it: on a
    // machine with several memory nodes the page belongs to the node of the thread that wrote it.
    // Throws Error if the memory cannot be had.
    ProbeMemory(ThreadPool& pool, size_t bytes_per_worker, AllocationKind kind);
    ~ProbeMemory();
    ProbeMemory(const ProbeMemory&) = delete;
    ProbeMemory& operator=(const ProbeMemory&) = delete;

    std::byte* part(int worker) const { return data_ + static_cast<size_t>(worker) * stride_; }
    size_t stride() const { return stride_; }
    size_t size() const { return size_; }

    // Bytes of it that are in huge pages; negative if the system does not tell.
    int64_t bytes_in_huge_pages() const;

  private:
    void map(AllocationKind kind);
    std::byte* data_ = nullptr;
    size_t stride_ = 0, size_ = 0;
    void* mapping_ = nullptr;
    size_t mapped_ = 0;
};

}  // namespace tritbench
