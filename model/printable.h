// Text from files and command lines, made fit for one line of a message.
#pragma once

#include <string>
#include <string_view>

namespace tritbench {

// Control characters become \xNN, and what exceeds max_length is cut and ends in "...". A name in
// a hostile file must not break a message into several lines or flood the terminal.
std::string printable(std::string_view text, size_t max_length = 80);

}  // namespace tritbench
