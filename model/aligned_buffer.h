// Memory for weights and activations: page aligned, huge pages asked for, zeroed by the kernel.
#pragma once

#include <cstddef>
#include <span>

namespace tritbench {

// Owns an anonymous mapping. Sizes of 2 MiB and more are aligned to it and advised as huge pages
// unless told otherwise. Throws Error naming the size when there is no memory.
class AlignedBuffer {
  public:
    AlignedBuffer() = default;
    explicit AlignedBuffer(size_t bytes, bool huge_pages = true);
    ~AlignedBuffer();
    AlignedBuffer(AlignedBuffer&& other) noexcept;
    AlignedBuffer& operator=(AlignedBuffer&& other) noexcept;

    std::byte* data() const { return data_; }
    size_t size() const { return size_; }
    template <class T>
    T* as() const {
        return reinterpret_cast<T*>(data_);
    }
    std::span<const std::byte> span() const { return {data_, size_}; }

  private:
    std::byte* data_ = nullptr;
    size_t size_ = 0;
    void* mapping_ = nullptr;
    size_t mapped_ = 0;
};

}  // namespace tritbench
