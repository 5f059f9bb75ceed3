#include "model/tokenizer/byte_alphabet.h"

#include <array>
#include <cstdint>

namespace tritbench {
namespace {

constexpr uint32_t kFirstShifted = 0x100;
constexpr size_t kShifted = 68;

constexpr bool stands_for_itself(uint32_t byte) {
    return (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte <= 0xAC) ||
           (byte >= 0xAE && byte <= 0xFF);
}

// The bytes that U+0100, U+0101, ... stand for.
constexpr std::array<char, kShifted> shifted_bytes() {
    std::array<char, kShifted> shifted{};
    size_t next = 0;
    for (uint32_t byte = 0; byte < 256; ++byte) {
        if (!stands_for_itself(byte)) shifted[next++] = static_cast<char>(byte);
    }
    return shifted;
}

constexpr std::array<char, kShifted> kShiftedBytes = shifted_bytes();

}  // namespace

std::optional<std::string> bytes_of_spelling(std::string_view spelling) {
    std::string bytes;
    bytes.reserve(spelling.size());
    for (size_t at = 0; at < spelling.size(); ++at) {
        uint32_t character = static_cast<unsigned char>(spelling[at]);
        // No character of the alphabet takes more than two bytes.
        if (character >= 0x80) {
            if (character < 0xC2 || character >= 0xE0 || ++at == spelling.size()) return {};
            const uint32_t second = static_cast<unsigned char>(spelling[at]);
            if ((second & 0xC0) != 0x80) return {};
            character = (character & 0x1F) << 6 | (second & 0x3F);
        }
        if (character < kFirstShifted && stands_for_itself(character)) {
            bytes += static_cast<char>(character);
        } else if (character >= kFirstShifted && character < kFirstShifted + kShifted) {
            bytes += kShiftedBytes[character - kFirstShifted];
        } else {
            return {};
        }
    }
    return bytes;
}

}  // namespace tritbench
