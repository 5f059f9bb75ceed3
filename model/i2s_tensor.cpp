#include "model/i2s_tensor.h"

namespace tritbench {
namespace {

unsigned arm_code(const std::byte* bytes, int64_t e) {
    const int64_t j = e % 64;
    return std::to_integer<unsigned>(bytes[e / 64 * 16 + j % 16]) >> (6 - 2 * (j / 16)) & 3U;
}

unsigned row4_code(const std::byte* bytes, int64_t k, int64_t row, int64_t column) {
    return std::to_integer<unsigned>(bytes[row / 4 * k + column]) >> (6 - 2 * (row % 4)) & 3U;
}

}  // namespace

bool i2s_decode(I2sLayout layout, tb_shape shape, std::span<const std::byte> bytes, int64_t begin,
                int64_t end, int8_t* trits) {
    unsigned wrong = 0;
    for (int64_t row = begin; row < end; ++row) {
        for (int64_t column = 0; column < shape.k; ++column) {
            const unsigned code = layout == I2sLayout::Arm
                                      ? arm_code(bytes.data(), row * shape.k + column)
                                      : row4_code(bytes.data(), shape.k, row, column);
            wrong |= code & code >> 1;
            *trits++ = static_cast<int8_t>(static_cast<int>(code) - 1);
        }
    }
    return wrong == 0;
}

}  // namespace tritbench
