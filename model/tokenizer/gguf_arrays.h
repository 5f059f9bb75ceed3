// Arrays of a GGUF file, read where they lie: a vocabulary has hundreds of thousands of elements.
#pragma once

#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>

#include "model/gguf.h"
#include "model/gguf_format.h"

namespace tritbench {

// The array at `key`; null when the key is absent. Error when it is no array of this element type
// or has more than `most` elements.
const GgufArray* find_array(const GgufFile& file, std::string_view key, GgufValueType element_type,
                            uint64_t most);

// The elements of a text array, in order.
class TextCursor {
  public:
    explicit TextCursor(const GgufArray& array) : rest_(array.bytes) {}

    std::string_view next() {
        uint64_t length = 0;
        std::memcpy(&length, rest_.data(), sizeof length);
        const auto* text = reinterpret_cast<const char*>(rest_.data() + sizeof length);
        rest_ = rest_.subspan(sizeof length + length);
        return {text, length};
    }

  private:
    std::span<const std::byte> rest_;
};

// Element `at` of an array whose elements have the size of T.
template <class T>
T array_element(const GgufArray& array, uint64_t at) {
    T value;
    std::memcpy(&value, array.bytes.data() + at * sizeof(T), sizeof(T));
    return value;
}

}  // namespace tritbench
