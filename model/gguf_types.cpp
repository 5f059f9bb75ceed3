// Names and sizes of ggml tensor types.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <limits>

#include "model/gguf.h"

namespace tritbench {
namespace {

// A row holds blocks of `elements` values in `bytes` bytes (ggml-common.h of ggml), after
// `row_bytes` of its own (ik_llama.cpp's row meta).
struct BlockType {
    GgmlType type;
    const char* name;
    uint32_t elements;  // 0: not stored in blocks along a row
    uint32_t bytes;
    uint32_t row_bytes = 0;
    uint32_t rows_multiple = 1;
};

constexpr std::array<BlockType, 19> kTypes{{
    {GgmlType::F32, "f32", 1, 4},
    {GgmlType::F16, "f16", 1, 2},
    {GgmlType::Q4_0, "q4_0", 32, 18},
    {GgmlType::Q8_0, "q8_0", 32, 34},
    {GgmlType::Q6_K, "q6_k", 256, 210},
    {GgmlType::I8, "i8", 1, 1},
    {GgmlType::I16, "i16", 1, 2},
    {GgmlType::I32, "i32", 1, 4},
    {GgmlType::I64, "i64", 1, 8},
    {GgmlType::F64, "f64", 1, 8},
    {GgmlType::BF16, "bf16", 1, 2},
    {GgmlType::TQ1_0, "tq1_0", 256, 54},
    {GgmlType::TQ2_0, "tq2_0", 256, 66},
    {GgmlType::I2_S, "i2_s", 0, 0},
    {GgmlType::TL1, "tl1", 0, 0},
    {GgmlType::TL2, "tl2", 0, 0},
    {GgmlType::IQ1_BN, "iq1_bn", 64, 13, 2},
    {GgmlType::IQ2_BN, "iq2_bn", 64, 16, 4},
    {GgmlType::IQ2_BN_R4, "iq2_bn_r4", 64, 16, 4, 4},
}};

const BlockType* find_type(GgmlType type) {
    const auto* found = std::find_if(kTypes.begin(), kTypes.end(),
                                     [type](const BlockType& t) { return t.type == type; });
    return found == kTypes.end() ? nullptr : found;
}

// The product of positive extents, or empty when one is not positive or it exceeds int64.
std::optional<uint64_t> checked_elements(std::span<const int64_t> ne) {
    constexpr auto limit = static_cast<uint64_t>(std::numeric_limits<int64_t>::max());
    uint64_t elements = 1;
    for (int64_t extent : ne) {
        if (extent <= 0 || elements > limit / static_cast<uint64_t>(extent)) return std::nullopt;
        elements *= static_cast<uint64_t>(extent);
    }
    return elements;
}

// bitnet.cpp's ggml_nbytes, in its integer arithmetic: planes of a row whose last 256 columns are
// pairs, padded to 32, then the scale. Larger than the data of any tile.
std::optional<uint64_t> tl2_bytes(uint64_t k, uint64_t elements) {
    const uint64_t n = elements / k;
    if (k < 256 || elements > uint64_t{1} << 56) return std::nullopt;
    const uint64_t planes = (k - 256) * n / 3 * 5 / 8 + 256 * n / 2 * 4 / 8;
    return (planes + 31) / 32 * 32 + 32;
}

// Types whose scale follows the codes of the whole tensor.
std::optional<uint64_t> bitnet_bytes(GgmlType type, uint64_t k, uint64_t elements) {
    if (type == GgmlType::TL2) return tl2_bytes(k, elements);
    if (elements % (type == GgmlType::I2_S ? 128 : 4) != 0) return std::nullopt;
    return elements / 4 + 32;
}

}  // namespace

std::string ggml_type_name(GgmlType type) {
    const BlockType* known = find_type(type);
    return known ? known->name : fmt::format("type {}", static_cast<uint32_t>(type));
}

std::optional<uint64_t> ggml_tensor_bytes(GgmlType type, std::span<const int64_t> ne) {
    if (ne.empty()) return std::nullopt;
    const auto elements = checked_elements(ne);
    const BlockType* known = find_type(type);
    if (!elements || !known) return std::nullopt;
    const auto k = static_cast<uint64_t>(ne[0]);
    if (known->elements == 0) return bitnet_bytes(type, k, *elements);
    const uint64_t rows = *elements / k;
    if (k % known->elements != 0 || rows % known->rows_multiple != 0) return std::nullopt;
    constexpr uint64_t limit = std::numeric_limits<uint64_t>::max() / 2;
    const uint64_t blocks = *elements / known->elements;
    if (blocks > limit / known->bytes || rows > limit / 8) return std::nullopt;
    return blocks * known->bytes + rows * known->row_bytes;
}

std::string extents_text(std::span<const int64_t> ne) {
    std::string text;
    for (int64_t extent : ne) {
        if (!text.empty()) text += " x ";
        text += std::to_string(extent);
    }
    return text;
}

int64_t GgufTensor::elements() const {
    int64_t product = 1;
    for (int64_t extent : ne) product *= extent;  // checked when the file was opened
    return product;
}

}  // namespace tritbench
