#include "model/tokenizer/pre_tokenizer.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <fmt/format.h>
#include <pcre2.h>

#include <string>

#include "kernels/api/error.h"

namespace tritbench {
namespace {

// The published pattern:
//   (?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}
//   | ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+
// Two things are spelt differently here. \s is Unicode's White_Space (PCRE2 counts U+180E in, which
// left that set with Unicode 6.3). And \s*[\r\n]+, which is white space up to the last line end,
// would give back one character at a time; written as possessive runs it does not.
constexpr const char* kPattern = R"((?i:'s|'t|'re|'ve|'m|'ll|'d))"
                                 R"(|[^\r\n\p{L}\p{N}]?\p{L}++)"
                                 R"(|\p{N}{1,3})"
                                 R"(| ?[^\t-\r\x{85}\p{Z}\p{L}\p{N}]++[\r\n]*+)"
                                 R"(|(?:[\t\x0B\f\x{85}\p{Z}]*+[\r\n]++)++)"
                                 R"(|[\t-\r\x{85}\p{Z}]+(?![^\t-\r\x{85}\p{Z}]))"
                                 R"(|[\t-\r\x{85}\p{Z}]++)";

std::string pcre2_message(int code) {
    char text[256] = {};
    pcre2_get_error_message(code, reinterpret_cast<PCRE2_UCHAR*>(text), sizeof text);
    return text;
}

struct FreeMatch {
    void operator()(pcre2_match_data* match) const { pcre2_match_data_free(match); }
};

}  // namespace

struct PreTokenizer::Impl {
    pcre2_code* code = nullptr;
    ~Impl() { pcre2_code_free(code); }
};

PreTokenizer::PreTokenizer() {
    auto impl = std::make_unique<Impl>();
    int problem = 0;
    PCRE2_SIZE where = 0;
    impl->code = pcre2_compile(reinterpret_cast<PCRE2_SPTR>(kPattern), PCRE2_ZERO_TERMINATED,
                               PCRE2_UTF | PCRE2_UCP, &problem, &where, nullptr);
    if (impl->code == nullptr) {
        throw Error(
            fmt::format("pre-tokenizer: PCRE2 cannot compile the pattern (at {}: {}); expected "
                        "a PCRE2 with Unicode support",
                        where, pcre2_message(problem)));
    }
    // Only speed is lost where there is no compiler for this CPU, or none is allowed.
    pcre2_jit_compile(impl->code, PCRE2_JIT_COMPLETE);
    impl_ = std::move(impl);
}

PreTokenizer::~PreTokenizer() = default;

std::vector<std::string_view> PreTokenizer::split(std::string_view text) const {
    std::vector<std::string_view> words;
    const std::unique_ptr<pcre2_match_data, FreeMatch> match(pcre2_match_data_create(1, nullptr));
    if (!match) throw std::bad_alloc();
    const PCRE2_SIZE* span = pcre2_get_ovector_pointer(match.get());
    // Checking the whole text again for each word would be quadratic.
    constexpr uint32_t options = PCRE2_ANCHORED | PCRE2_NO_UTF_CHECK;
    for (size_t at = 0; at < text.size(); at = span[1]) {
        const auto run = [&](uint32_t more) {
            return pcre2_match(impl_->code, reinterpret_cast<PCRE2_SPTR>(text.data()), text.size(),
                               at, options | more, match.get(), nullptr);
        };
        int found = run(0);
        if (found == PCRE2_ERROR_JIT_STACKLIMIT) found = run(PCRE2_NO_JIT);
        if (found < 0 || span[1] <= at) {
            throw Error(fmt::format("pre-tokenizer: PCRE2 stopped at byte {} of {}: {}", at,
                                    text.size(), pcre2_message(found)));
        }
        words.push_back(text.substr(at, span[1] - at));
    }
    return words;
}

}  // namespace tritbench
