// The tokens of a GGUF file: what each stands for, and which token a text is.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "model/gguf.h"

namespace tritbench {

// The values of tokenizer.ggml.token_type.
enum class TokenType : uint8_t {
    Undefined = 0,
    Normal = 1,
    Unknown = 2,      // stands for what the vocabulary cannot spell
    Control = 3,      // begin of text, end of a turn, ...
    UserDefined = 4,  // found in a text before anything else is
    Unused = 5,
    Byte = 6  // "<0xNN>" in a SentencePiece vocabulary
};

// How the tokens of a file spell what they stand for.
enum class Spelling {
    ByteLevel,     // tokenizer.ggml.model "gpt2": the alphabet of byte_alphabet.h
    SentencePiece  // "llama": U+2581 is a space, "<0xNN>" a byte
};

// The text with each U+2581 as a space.
std::string with_spaces(std::string_view text);

class Vocabulary {
  public:
    // Error when there are no tokens, two that are spelt the same, or types or scores that do not
    // go with them.
    Vocabulary(const GgufFile& file, Spelling spelling);

    int64_t size() const { return static_cast<int64_t>(types_.size()); }
    TokenType type(int32_t id) const { return types_[static_cast<size_t>(id)]; }
    // 0 for all without tokenizer.ggml.scores.
    float score(int32_t id) const { return scores_.empty() ? 0 : scores_[static_cast<size_t>(id)]; }
    // The bytes that a token stands for; of a special one its name.
    std::string_view piece(int32_t id) const;
    // Control, unknown and user-defined tokens: found by name, never made by merges.
    bool is_special(int32_t id) const;

    // Whether the file says which tokens are special. If not, names such as "<|...|>" are.
    bool has_types() const { return has_types_; }

    // The token that stands for these bytes, special ones and single bytes of a SentencePiece
    // vocabulary left out; -1 when there is none.
    int32_t ordinary(std::string_view piece) const;
    // The special token of this name; -1 when there is none.
    int32_t special(std::string_view name) const;
    // The token of a single byte; -1 when there is none.
    int32_t byte(unsigned char value) const { return bytes_[value]; }
    // Bytes of the longest piece that ordinary() finds.
    size_t longest() const { return longest_; }

  private:
    // A hash table of token ids with open addressing; its size is a power of two, -1 is free.
    using Index = std::vector<int32_t>;

    void read_types(const GgufFile& file);
    void read_scores(const GgufFile& file);
    void read_tokens(const GgufFile& file, Spelling spelling);
    void add_to(Index& index, int32_t id, const GgufFile& file);
    size_t slot_of(const Index& index, std::string_view piece) const;

    std::vector<TokenType> types_;
    std::vector<float> scores_;
    std::string text_;            // all pieces, end to end
    std::vector<uint64_t> ends_;  // of each piece in text_
    Index ordinary_, special_;
    std::array<int32_t, 256> bytes_{};
    size_t longest_ = 0;
    bool has_types_ = false;
};

}  // namespace tritbench
