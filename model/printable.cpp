#include "model/printable.h"

#include <fmt/format.h>

namespace tritbench {

std::string printable(std::string_view text, size_t max_length) {
    const bool cut = text.size() > max_length;
    std::string out;
    for (const char c : text.substr(0, max_length)) {
        const auto byte = static_cast<unsigned char>(c);
        if (byte < 0x20 || byte == 0x7F) {
            out += fmt::format("\\x{:02x}", byte);
        } else {
            out += c;
        }
    }
    if (cut) out += "...";
    return out;
}

}  // namespace tritbench
