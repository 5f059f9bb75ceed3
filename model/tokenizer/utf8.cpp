#include "model/tokenizer/utf8.h"

#include <algorithm>
#include <utility>

#include "model/tokenizer/tokenizer.h"

namespace tritbench {
namespace {

struct Lead {
    size_t length;                  // of the character, 0 for a byte that begins none
    unsigned char lowest, highest;  // of the second byte
};

// Table 3-7 of the Unicode standard: the second byte excludes overlong forms and surrogates.
Lead lead_of(unsigned char first) {
    if (first < 0x80) return {1, 0, 0};
    if (first < 0xC2) return {0, 0, 0};
    if (first < 0xE0) return {2, 0x80, 0xBF};
    if (first == 0xE0) return {3, 0xA0, 0xBF};
    if (first == 0xED) return {3, 0x80, 0x9F};
    if (first < 0xF0) return {3, 0x80, 0xBF};
    if (first == 0xF0) return {4, 0x90, 0xBF};
    if (first < 0xF4) return {4, 0x80, 0xBF};
    if (first == 0xF4) return {4, 0x80, 0x8F};
    return {0, 0, 0};
}

// How many of the character's bytes are there and right.
size_t matching(std::string_view text, const Lead& lead) {
    const size_t end = std::min(text.size(), lead.length);
    size_t at = std::min<size_t>(end, 1);
    for (; at < end; ++at) {
        const auto byte = static_cast<unsigned char>(text[at]);
        const unsigned char lowest = at == 1 ? lead.lowest : 0x80;
        const unsigned char highest = at == 1 ? lead.highest : 0xBF;
        if (byte < lowest || byte > highest) break;
    }
    return at;
}

}  // namespace

size_t utf8_character(std::string_view text) {
    if (text.empty()) return 0;
    const Lead lead = lead_of(static_cast<unsigned char>(text[0]));
    return lead.length != 0 && matching(text, lead) == lead.length ? lead.length : 0;
}

bool utf8_beginning(std::string_view text) {
    if (text.empty()) return false;
    const Lead lead = lead_of(static_cast<unsigned char>(text[0]));
    return text.size() < lead.length && matching(text, lead) == text.size();
}

std::string with_replacements(std::string_view text) {
    std::string out;
    out.reserve(text.size());
    for (size_t at = 0; at < text.size();) {
        const size_t length = utf8_character(text.substr(at));
        if (length == 0) {
            out += "\xEF\xBF\xBD";
            ++at;
        } else {
            out += text.substr(at, length);
            at += length;
        }
    }
    return out;
}

std::string Utf8Stream::push(std::string_view bytes) {
    held_ += bytes;
    // Only the last three bytes can be the beginning of a character.
    size_t shown = held_.size();
    for (size_t tail = 1; tail <= std::min<size_t>(3, held_.size()); ++tail) {
        const size_t at = held_.size() - tail;
        if (utf8_beginning(std::string_view(held_).substr(at))) {
            shown = at;
            break;
        }
    }
    std::string out = held_.substr(0, shown);
    held_.erase(0, shown);
    return out;
}

std::string Utf8Stream::finish() {
    return std::exchange(held_, {});
}

}  // namespace tritbench
