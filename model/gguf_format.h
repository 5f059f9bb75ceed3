// Constants of the GGUF format shared by reader and writer (ggml-org/ggml docs/gguf.md).
#pragma once

#include <cstdint>

namespace tritbench {

enum class GgufValueType : uint32_t {
    U8 = 0,
    I8 = 1,
    U16 = 2,
    I16 = 3,
    U32 = 4,
    I32 = 5,
    F32 = 6,
    Bool = 7,
    Text = 8,
    Array = 9,
    U64 = 10,
    I64 = 11,
    F64 = 12
};

constexpr uint64_t kGgufDefaultAlignment = 32;
constexpr uint32_t kGgufMaxDimensions = 4;

// Fewest bytes of a key (length, 1 character, type, 1-byte value) and of a tensor entry (length,
// 1 character, number of dimensions, 1 dimension, type, offset).
constexpr uint64_t kGgufSmallestKey = 8 + 1 + 4 + 1;
constexpr uint64_t kGgufSmallestTensor = 8 + 1 + 4 + 8 + 4 + 8;

// Bytes of a value; of a text the fewest (its length); 0 for arrays and unknown types.
constexpr uint64_t gguf_value_bytes(GgufValueType type) {
    switch (type) {
        case GgufValueType::U8:
        case GgufValueType::I8:
        case GgufValueType::Bool:
            return 1;
        case GgufValueType::U16:
        case GgufValueType::I16:
            return 2;
        case GgufValueType::U32:
        case GgufValueType::I32:
        case GgufValueType::F32:
            return 4;
        case GgufValueType::Text:
        case GgufValueType::U64:
        case GgufValueType::I64:
        case GgufValueType::F64:
            return 8;
        case GgufValueType::Array:
            break;
    }
    return 0;
}

// The next multiple of a power of two.
constexpr uint64_t gguf_align(uint64_t offset, uint64_t alignment) {
    return (offset + alignment - 1) & ~(alignment - 1);
}

}  // namespace tritbench
