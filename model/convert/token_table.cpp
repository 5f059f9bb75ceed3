#include "model/convert/token_table.h"

#include <fmt/format.h>

#include <utility>

#include "kernels/api/error.h"
#include "model/printable.h"

namespace tritbench {

namespace {

constexpr int64_t kMostTokens = int64_t{1} << 22;  // far above any vocabulary

}  // namespace

TokenTable::TokenTable(std::string file, int64_t vocab, TokenizerKeys& keys)
    : file_(std::move(file)), vocab_(vocab), keys_(keys) {
    if (vocab > kMostTokens) {
        throw Error(fmt::format("{}: vocab_size in config.json is {}, expected at most {}", file_,
                                vocab, kMostTokens));
    }
    keys.tokens.resize(static_cast<size_t>(vocab));
    keys.types.assign(static_cast<size_t>(vocab), 0);
}

void TokenTable::add(const std::string& text, int64_t id, TokenType type, std::string_view field) {
    if (id < 0 || id >= vocab_) {
        throw Error(
            fmt::format("{}: field '{}': '{}' has the id {}, expected 0 to {} (vocab_size "
                        "- 1)",
                        file_, field, printable(text), id, vocab_ - 1));
    }
    const auto at = static_cast<size_t>(id);
    const auto found = static_cast<TokenType>(keys_.types[at]);
    const bool again = found != TokenType::Undefined && keys_.tokens[at] == text;
    if (!again && (found != TokenType::Undefined || holds(text))) {
        throw Error(
            fmt::format("{}: field '{}': '{}' with the id {} contradicts another token of "
                        "this text or this id",
                        file_, field, printable(text), id));
    }
    if (found == TokenType::Unknown || found == TokenType::Byte) return;
    keys_.tokens[at] = text;
    keys_.types[at] = static_cast<int32_t>(type);
    keys_.ids[text] = id;
}

void TokenTable::add(const std::string& text, const nlohmann::json& id, TokenType type,
                     std::string_view field) {
    if (!id.is_number_integer()) {
        throw Error(fmt::format("{}: field '{}': the id of '{}' is not a whole number", file_,
                                field, printable(text)));
    }
    add(text, id.get<int64_t>(), type, field);
}

void TokenTable::fill_gaps() {
    for (int64_t id = 0; id < vocab_; ++id) {
        if (keys_.types[static_cast<size_t>(id)] != 0) continue;
        add(fmt::format("[PAD{}]", id), id, TokenType::Unused, "ids without a token");
    }
}

}  // namespace tritbench
