#include "model/tokenizer/special_matcher.h"

#include <algorithm>
#include <iterator>

namespace tritbench {
namespace {

constexpr size_t kLongestName = 255;

}  // namespace

SpecialMatcher::SpecialMatcher(const Vocabulary& vocabulary) {
    for (int32_t id = 0; id < vocabulary.size(); ++id) {
        const std::string_view name = vocabulary.piece(id);
        if (!vocabulary.is_special(id) || name.empty() || name.size() > kLongestName) continue;
        by_name_.push_back({name, id, vocabulary.type(id) == TokenType::UserDefined});
        begins_[static_cast<unsigned char>(name.front())] = true;
    }
    std::sort(by_name_.begin(), by_name_.end(),
              [](const Special& a, const Special& b) { return a.name < b.name; });
}

SpecialMatcher::Found SpecialMatcher::next(std::string_view text, size_t from, bool control) const {
    for (size_t at = from; at < text.size() && !by_name_.empty(); ++at) {
        if (!begins_[static_cast<unsigned char>(text[at])]) continue;
        const Special* found = longest_at(text.substr(at), control);
        if (found != nullptr) return {at, at + found->name.size(), found->token};
    }
    return {text.size(), text.size(), -1};
}

// Narrows the sorted names down to those that begin as the text does: as far as they are all the
// same in one comparison, then by the byte in which they differ.
const SpecialMatcher::Special* SpecialMatcher::longest_at(std::string_view text,
                                                          bool control) const {
    auto begin = by_name_.begin(), end = by_name_.end();
    const Special* longest = nullptr;
    size_t matched = 0;
    while (begin != end) {
        // What the first and the last have in common, all have.
        const std::string_view first = begin->name, last = std::prev(end)->name;
        const size_t common = static_cast<size_t>(
            std::mismatch(first.begin() + matched, first.end(), last.begin() + matched, last.end())
                .first -
            first.begin());
        if (text.substr(matched, common - matched) != first.substr(matched, common - matched))
            break;
        matched = common;
        // The shortest comes first; it is a whole name if nothing of it is left.
        if (first.size() == matched) {
            if (control || begin->user_defined) longest = &*begin;
            ++begin;
        }
        if (matched == text.size()) break;
        const auto byte_of = [&](const Special& special) {
            return static_cast<unsigned char>(special.name[matched]);
        };
        const auto wanted = static_cast<unsigned char>(text[matched]);
        begin =
            std::partition_point(begin, end, [&](const Special& s) { return byte_of(s) < wanted; });
        end = std::partition_point(begin, end,
                                   [&](const Special& s) { return byte_of(s) == wanted; });
    }
    return longest;
}

}  // namespace tritbench
