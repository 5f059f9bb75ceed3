#include "model/tokenizer/vocabulary.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <charconv>
#include <cmath>
#include <functional>
#include <optional>

#include "kernels/api/error.h"
#include "model/printable.h"
#include "model/tokenizer/byte_alphabet.h"
#include "model/tokenizer/gguf_arrays.h"

namespace tritbench {
namespace {

// Far above any published vocabulary (262 144); ids and ranks stay small integers.
constexpr uint64_t kMostTokens = uint64_t{1} << 23;
constexpr std::string_view kSpaceMark = "\xE2\x96\x81";  // U+2581

std::string show(const GgufFile& file) {
    return printable(file.path().string(), 300);
}

// The value of "<0xNN>".
std::optional<unsigned char> byte_named(std::string_view text) {
    unsigned value = 0;
    if (text.size() != 6 || !text.starts_with("<0x") || text[5] != '>') return {};
    const auto [end, problem] = std::from_chars(text.data() + 3, text.data() + 5, value, 16);
    if (problem != std::errc() || end != text.data() + 5) return {};
    return static_cast<unsigned char>(value);
}

// For files without types.
TokenType type_by_name(std::string_view text, Spelling spelling) {
    if (spelling == Spelling::SentencePiece && byte_named(text)) return TokenType::Byte;
    if (text == "<unk>") return TokenType::Unknown;
    const bool named = text.size() > 4 && text.starts_with("<|") && text.ends_with("|>");
    return named || text == "<s>" || text == "</s>" ? TokenType::Control : TokenType::Normal;
}

void require_count(const GgufFile& file, const char* key, uint64_t count, size_t tokens) {
    if (count == tokens) return;
    throw Error(fmt::format("{}: key '{}' has {} elements, expected one for each of the {} tokens",
                            show(file), key, count, tokens));
}

}  // namespace

std::string with_spaces(std::string_view text) {
    std::string piece;
    for (size_t at = 0; at < text.size();) {
        const bool mark = text.substr(at).starts_with(kSpaceMark);
        piece += mark ? ' ' : text[at];
        at += mark ? kSpaceMark.size() : 1;
    }
    return piece;
}

Vocabulary::Vocabulary(const GgufFile& file, Spelling spelling) {
    constexpr const char* key = "tokenizer.ggml.tokens";
    const GgufArray* tokens = find_array(file, key, GgufValueType::Text, kMostTokens);
    if (tokens == nullptr || tokens->count == 0) {
        throw Error(fmt::format("{}: key '{}' is {}, expected the tokens of the vocabulary",
                                show(file), key, tokens == nullptr ? "missing" : "empty"));
    }
    types_.resize(tokens->count);
    read_types(file);
    read_scores(file);
    read_tokens(file, spelling);
}

void Vocabulary::read_types(const GgufFile& file) {
    constexpr const char* key = "tokenizer.ggml.token_type";
    const GgufArray* types = find_array(file, key, GgufValueType::I32, kMostTokens);
    has_types_ = types != nullptr;
    if (!has_types_) return;
    require_count(file, key, types->count, types_.size());
    for (size_t id = 0; id < types_.size(); ++id) {
        const auto type = array_element<int32_t>(*types, id);
        if (type < 0 || type > static_cast<int32_t>(TokenType::Byte)) {
            throw Error(fmt::format("{}: key '{}': token {} has type {}, expected 0 to 6",
                                    show(file), key, id, type));
        }
        types_[id] = static_cast<TokenType>(type);
    }
}

void Vocabulary::read_scores(const GgufFile& file) {
    constexpr const char* key = "tokenizer.ggml.scores";
    const GgufArray* scores = find_array(file, key, GgufValueType::F32, kMostTokens);
    if (scores == nullptr) return;
    require_count(file, key, scores->count, types_.size());
    scores_.resize(types_.size());
    for (size_t id = 0; id < scores_.size(); ++id) {
        scores_[id] = array_element<float>(*scores, id);
        if (std::isnan(scores_[id])) {
            throw Error(fmt::format("{}: key '{}': the score of token {} is not a number",
                                    show(file), key, id));
        }
    }
}

void Vocabulary::read_tokens(const GgufFile& file, Spelling spelling) {
    const GgufArray& tokens =
        *find_array(file, "tokenizer.ggml.tokens", GgufValueType::Text, kMostTokens);
    // At most half full.
    ordinary_.assign(std::bit_ceil(2 * types_.size()), -1);
    special_ = ordinary_;
    bytes_.fill(-1);
    ends_.reserve(types_.size());
    TextCursor cursor(tokens);
    for (size_t at = 0; at < types_.size(); ++at) {
        const std::string_view text = cursor.next();
        const auto id = static_cast<int32_t>(at);
        if (!has_types_) types_[at] = type_by_name(text, spelling);
        if (is_special(id) || types_[at] == TokenType::Unused) {
            text_ += text;
            ends_.push_back(text_.size());
            if (is_special(id)) add_to(special_, id, file);
        } else if (types_[at] == TokenType::Byte && spelling == Spelling::SentencePiece) {
            const std::optional<unsigned char> byte = byte_named(text);
            if (!byte) {
                throw Error(
                    fmt::format("{}: token {} is of type byte but is named '{}', expected "
                                "'<0x00>' to '<0xFF>'",
                                show(file), id, printable(text)));
            }
            text_ += static_cast<char>(*byte);
            ends_.push_back(text_.size());
            if (bytes_[*byte] < 0) bytes_[*byte] = id;
        } else {
            const std::optional<std::string> piece = spelling == Spelling::ByteLevel
                                                         ? bytes_of_spelling(text)
                                                         : std::optional(with_spaces(text));
            // One that is not spelt in the alphabet is never made from a text.
            text_ += piece ? std::string_view(*piece) : text;
            ends_.push_back(text_.size());
            if (!piece) continue;
            add_to(ordinary_, id, file);
            longest_ = std::max(longest_, piece->size());
            if (spelling == Spelling::ByteLevel && piece->size() == 1) {
                bytes_[static_cast<unsigned char>(piece->front())] = id;
            }
        }
    }
}

void Vocabulary::add_to(Index& index, int32_t id, const GgufFile& file) {
    const std::string_view text = piece(id);
    if (text.empty()) return;
    int32_t& slot = index[slot_of(index, text)];
    if (slot >= 0) {
        throw Error(
            fmt::format("{}: key 'tokenizer.ggml.tokens': tokens {} and {} are both '{}', "
                        "expected each once",
                        show(file), slot, id, printable(text)));
    }
    slot = id;
}

size_t Vocabulary::slot_of(const Index& index, std::string_view text) const {
    const size_t mask = index.size() - 1;
    size_t slot = std::hash<std::string_view>{}(text)&mask;
    while (index[slot] >= 0 && piece(index[slot]) != text) slot = (slot + 1) & mask;
    return slot;
}

std::string_view Vocabulary::piece(int32_t id) const {
    const auto at = static_cast<size_t>(id);
    const uint64_t begin = at == 0 ? 0 : ends_[at - 1];
    return std::string_view(text_).substr(begin, ends_[at] - begin);
}

bool Vocabulary::is_special(int32_t id) const {
    const TokenType t = type(id);
    return t == TokenType::Unknown || t == TokenType::Control || t == TokenType::UserDefined;
}

int32_t Vocabulary::ordinary(std::string_view text) const {
    return ordinary_[slot_of(ordinary_, text)];
}

int32_t Vocabulary::special(std::string_view name) const {
    return special_[slot_of(special_, name)];
}

}  // namespace tritbench
