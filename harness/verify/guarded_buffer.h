// Memory with an unreadable page on both sides: an access outside it is a fault, not luck.
#pragma once

#include <cstddef>
#include <cstdint>

namespace tritbench {

class GuardedBuffer {
  public:
    // AtEnd: the last byte touches the guard page (reads past the end fault); AtStart: the first
    // does. `alignment` is kept in both (AtEnd may leave up to alignment - 1 bytes before the
    // guard). The bytes are filled with `fill`. Throws Error without memory.
    enum class Place { AtStart, AtEnd };
    GuardedBuffer(size_t bytes, size_t alignment, Place place, uint8_t fill);
    ~GuardedBuffer();
    GuardedBuffer(const GuardedBuffer&) = delete;
    GuardedBuffer& operator=(const GuardedBuffer&) = delete;

    template <class T>
    T* as() const {
        return reinterpret_cast<T*>(data_);
    }
    size_t size() const { return bytes_; }

  private:
    std::byte* data_ = nullptr;
    size_t bytes_ = 0;
    void* mapping_ = nullptr;
    size_t mapped_ = 0;
};

}  // namespace tritbench
