#include "model/tokenizer/tokenizer.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <variant>

#include "kernels/api/error.h"
#include "model/printable.h"
#include "model/tokenizer/byte_pair_encoder.h"
#include "model/tokenizer/sentence_piece_encoder.h"
#include "model/tokenizer/special_matcher.h"
#include "model/tokenizer/utf8.h"
#include "model/tokenizer/vocabulary.h"

namespace tritbench {
namespace {

constexpr const char* kModelKey = "tokenizer.ggml.model";
constexpr const char* kPreKey = "tokenizer.ggml.pre";

// What ends an answer in the models of these families, whatever the file calls its end of text.
constexpr std::array<std::string_view, 10> kAnswerEnds = {
    "<|eot_id|>", "<|eom_id|>", "<|end_of_text|>", "<|endoftext|>",   "<|im_end|>",
    "<|end|>",    "</s>",       "<end_of_turn>",   "<|end_of_turn|>", "<EOT>"};

// The names by which llama.cpp knows the LLaMA-3 pattern with whole words before merges.
constexpr std::array<std::string_view, 4> kLlama3Names = {"llama-bpe", "llama3", "llama-v3",
                                                          "falcon3"};

std::string show(const GgufFile& file) {
    return printable(file.path().string(), 300);
}

Spelling read_spelling(const GgufFile& file) {
    const std::string model = file.text(kModelKey);
    if (model == "gpt2") return Spelling::ByteLevel;
    if (model == "llama") return Spelling::SentencePiece;
    throw Error(
        fmt::format("{}: key '{}' is '{}', expected 'gpt2' (byte-level BPE) or 'llama' "
                    "(SentencePiece)",
                    show(file), kModelKey, printable(model)));
}

using Warn = std::vector<std::string>;

void warn(Warn* warnings, std::string text) {
    if (warnings != nullptr) warnings->push_back(std::move(text));
}

void check_pre_tokenizer(const GgufFile& file, Warn* warnings) {
    const std::string pre = file.text(kPreKey, "");
    if (pre.empty()) {
        warn(warnings,
             fmt::format("{}: key '{}' is missing; words are split as 'llama-bpe', as BitNet "
                         "b1.58 2B-4T and LLaMA 3 were trained. llama.cpp takes 'default' "
                         "here, which gives other tokens",
                         show(file), kPreKey));
        return;
    }
    if (std::find(kLlama3Names.begin(), kLlama3Names.end(), pre) != kLlama3Names.end()) return;
    throw Error(
        fmt::format("{}: key '{}' is '{}', expected one of {}; another pattern would give "
                    "other tokens than the model was trained on",
                    show(file), kPreKey, printable(pre), fmt::join(kLlama3Names, ", ")));
}

// The token that a key names; -1 without the key.
int32_t read_token(const GgufFile& file, const Vocabulary& vocabulary, const char* name) {
    const std::string key = fmt::format("tokenizer.ggml.{}_token_id", name);
    const int64_t id = file.integer(key, -1);
    if (id >= vocabulary.size()) {
        throw Error(fmt::format("{}: key '{}' is {}, expected 0 to {}", show(file), key, id,
                                vocabulary.size() - 1));
    }
    return static_cast<int32_t>(id);
}

std::optional<int32_t> if_any(int32_t id) {
    return id < 0 ? std::nullopt : std::optional(id);
}

}  // namespace

struct Tokenizer::Impl {
    Vocabulary vocabulary;
    SpecialMatcher specials;
    std::variant<SentencePieceEncoder, BytePairEncoder> encoder;
    int32_t bos = -1, eos = -1, unknown = -1;
    bool add_bos = false;
    bool space_prefix = false;         // SentencePiece: a text begins as if with a space
    std::vector<int32_t> answer_ends;  // sorted

    Impl(const GgufFile& file, Spelling spelling, Warn* warnings);
    void read_answer_ends(const GgufFile& file);
    void read_add_bos(const GgufFile& file, Warn* warnings);
    void encode_ordinary(std::string_view text, bool begins, std::vector<int32_t>* ids) const;
    void require_token(int32_t token) const;
};

Tokenizer::Impl::Impl(const GgufFile& file, Spelling spelling, Warn* warnings)
    : vocabulary(file, spelling),
      specials(vocabulary),
      encoder(std::in_place_type<SentencePieceEncoder>, vocabulary) {
    const bool pieces = spelling == Spelling::SentencePiece;
    if (!pieces) {
        check_pre_tokenizer(file, warnings);
        encoder.emplace<BytePairEncoder>(file, vocabulary);
    }
    if (!vocabulary.has_types()) {
        warn(warnings, fmt::format("{}: key 'tokenizer.ggml.token_type' is missing; tokens named "
                                   "like '<|...|>' or '</s>' are taken as control tokens",
                                   show(file)));
    }
    bos = read_token(file, vocabulary, "bos");
    eos = read_token(file, vocabulary, "eos");
    unknown = read_token(file, vocabulary, "unknown");
    if (pieces) {
        // llama.cpp takes ids 1, 2 and 0 where the keys are absent: these tokens, by name.
        if (bos < 0) bos = vocabulary.special("<s>");
        if (eos < 0) eos = vocabulary.special("</s>");
        if (unknown < 0) unknown = vocabulary.special("<unk>");
        space_prefix = file.boolean("tokenizer.ggml.add_space_prefix", true);
    }
    read_answer_ends(file);
    read_add_bos(file, warnings);
}

void Tokenizer::Impl::read_answer_ends(const GgufFile& file) {
    for (const char* name : {"eot", "eom"}) {
        answer_ends.push_back(read_token(file, vocabulary, name));
    }
    answer_ends.push_back(eos);
    for (const std::string_view name : kAnswerEnds) {
        answer_ends.push_back(vocabulary.special(name));
    }
    std::erase(answer_ends, -1);
    std::sort(answer_ends.begin(), answer_ends.end());
}

void Tokenizer::Impl::read_add_bos(const GgufFile& file, Warn* warnings) {
    add_bos = file.boolean("tokenizer.ggml.add_bos_token", true);
    if (!add_bos || bos >= 0) return;
    add_bos = false;
    warn(warnings, fmt::format("{}: key 'tokenizer.ggml.bos_token_id' is missing; prompts begin "
                               "without a begin-of-text token",
                               show(file)));
}

void Tokenizer::Impl::encode_ordinary(std::string_view text, bool begins,
                                      std::vector<int32_t>* ids) const {
    if (text.empty()) return;
    if (const auto* byte_pairs = std::get_if<BytePairEncoder>(&encoder)) {
        byte_pairs->encode(text, unknown, ids);
        return;
    }
    std::string spaced = space_prefix && begins ? " " : "";
    spaced += with_spaces(text);
    std::get<SentencePieceEncoder>(encoder).encode(spaced, unknown, ids);
}

void Tokenizer::Impl::require_token(int32_t token) const {
    if (token >= 0 && token < vocabulary.size()) return;
    throw Error(fmt::format("token {} is not in the vocabulary; expected 0 to {}", token,
                            vocabulary.size() - 1));
}

std::unique_ptr<const Tokenizer> Tokenizer::load(const GgufFile& file,
                                                 std::vector<std::string>* warnings) {
    return std::unique_ptr<const Tokenizer>(
        new Tokenizer(std::make_unique<const Impl>(file, read_spelling(file), warnings)));
}

Tokenizer::Tokenizer(std::unique_ptr<const Impl> impl) : impl_(std::move(impl)) {}
Tokenizer::~Tokenizer() = default;

std::vector<int32_t> Tokenizer::encode(std::string_view given, bool parse_special) const {
    constexpr size_t kMostBytes = (size_t{1} << 31) / 3;  // U+FFFD takes three
    if (given.size() > kMostBytes) {
        throw Error(fmt::format("tokenizer: the text has {} bytes; expected at most {}",
                                given.size(), kMostBytes));
    }
    // SentencePiece spells any byte; byte pairs are split by a pattern over characters.
    const bool byte_pairs = std::holds_alternative<BytePairEncoder>(impl_->encoder);
    const std::string whole = byte_pairs ? with_replacements(given) : std::string();
    const std::string_view text = byte_pairs ? whole : given;

    std::vector<int32_t> ids;
    bool begins = true;
    for (size_t at = 0; at < text.size();) {
        const SpecialMatcher::Found found = impl_->specials.next(text, at, parse_special);
        impl_->encode_ordinary(text.substr(at, found.begin - at), begins, &ids);
        begins = found.token >= 0;
        if (begins) ids.push_back(found.token);
        at = found.end;
    }
    return ids;
}

std::string Tokenizer::piece(int32_t token) const {
    impl_->require_token(token);
    return std::string(impl_->vocabulary.piece(token));
}

std::string Tokenizer::decode(std::span<const int32_t> tokens) const {
    std::string text;
    bool begins = impl_->space_prefix;
    for (const int32_t token : tokens) {
        const std::string bytes = piece(token);
        const bool ordinary = !impl_->vocabulary.is_special(token);
        text += begins && ordinary && bytes.starts_with(' ') ? bytes.substr(1) : bytes;
        if (ordinary) begins = false;
    }
    return text;
}

bool Tokenizer::is_control(int32_t token) const {
    impl_->require_token(token);
    const TokenType type = impl_->vocabulary.type(token);
    return type == TokenType::Control || type == TokenType::Unknown;
}

std::optional<int32_t> Tokenizer::special(std::string_view name) const {
    return if_any(impl_->vocabulary.special(name));
}

std::optional<int32_t> Tokenizer::bos() const {
    return if_any(impl_->bos);
}

std::optional<int32_t> Tokenizer::eos() const {
    return if_any(impl_->eos);
}

bool Tokenizer::add_bos() const {
    return impl_->add_bos;
}

bool Tokenizer::ends_answer(int32_t token) const {
    return std::binary_search(impl_->answer_ends.begin(), impl_->answer_ends.end(), token);
}

int64_t Tokenizer::size() const {
    return impl_->vocabulary.size();
}

}  // namespace tritbench
