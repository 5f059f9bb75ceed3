// The printable alphabet in which byte-level vocabularies spell bytes.
//
// Source: bytes_to_unicode of GPT-2's encoder: the bytes 0x21-0x7E, 0xA1-0xAC and 0xAE-0xFF stand
// for themselves (as Latin-1 characters), the other 68 become U+0100, U+0101, ... in order.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace tritbench {

// The bytes that a spelling stands for; empty when a character is not of the alphabet.
std::optional<std::string> bytes_of_spelling(std::string_view spelling);

}  // namespace tritbench
