// UTF-8 as the Unicode standard defines it: no overlong forms, no surrogates, nothing above
// U+10FFFF.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace tritbench {

// Bytes of the character at the start of `text`, 1 to 4; 0 when there is none that is valid.
size_t utf8_character(std::string_view text);

// Whether `text`, which is not a whole character, is the beginning of one.
bool utf8_beginning(std::string_view text);

// The text with each byte that is part of no character replaced by U+FFFD.
std::string with_replacements(std::string_view text);

}  // namespace tritbench
