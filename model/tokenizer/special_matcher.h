// Finds the special tokens that are spelt in a text.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "model/tokenizer/vocabulary.h"

namespace tritbench {

class SpecialMatcher {
  public:
    struct Found {
        size_t begin = 0, end = 0;
        int32_t token = -1;  // -1: none
    };

    // `vocabulary`, where the names lie, must outlive this.
    explicit SpecialMatcher(const Vocabulary& vocabulary);

    // The first special token at or after `from`, the longest that begins there. Without `control`
    // only user-defined ones count. Names of more than 255 bytes are not looked for.
    Found next(std::string_view text, size_t from, bool control) const;

  private:
    struct Special {
        std::string_view name;
        int32_t token;
        bool user_defined;
    };

    const Special* longest_at(std::string_view text, bool control) const;

    std::vector<Special> by_name_;  // sorted
    std::array<bool, 256> begins_{};
};

}  // namespace tritbench
