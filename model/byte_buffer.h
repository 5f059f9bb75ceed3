// Bytes put together piece by piece, as GGUF writes them: little-endian, texts after their length.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

namespace tritbench {

class ByteBuffer {
  public:
    template <class T>
    void value(T v) {
        const auto* at = reinterpret_cast<const std::byte*>(&v);
        data_.insert(data_.end(), at, at + sizeof(T));
    }
    void text(std::string_view t) {
        value(static_cast<uint64_t>(t.size()));
        const auto* at = reinterpret_cast<const std::byte*>(t.data());
        data_.insert(data_.end(), at, at + t.size());
    }
    void append(std::span<const std::byte> other) {
        data_.insert(data_.end(), other.begin(), other.end());
    }
    void pad_to(uint64_t size) { data_.resize(size); }
    uint64_t size() const { return data_.size(); }
    std::span<const std::byte> span() const { return data_; }

  private:
    std::vector<std::byte> data_;
};

}  // namespace tritbench
