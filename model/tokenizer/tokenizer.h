// Text to token ids and back, from the vocabulary inside a GGUF file.
//
// Two kinds, by the key tokenizer.ggml.model:
//   "gpt2"   byte-level byte-pair encoding, split first by the LLaMA-3 pattern ("llama-bpe");
//            ranks from tokenizer.ggml.merges. Source: the tokenizer of LLaMA 3.
//   "llama"  SentencePiece byte-pair encoding with scores, space as U+2581, byte tokens <0xNN>.
//            Source: the tokenizer of LLaMA 1 and 2.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "model/gguf.h"

namespace tritbench {

// Does not change after load; any number of threads may use it at once.
class Tokenizer {
  public:
    // Reads the keys tokenizer.ggml.*. The file may be closed afterwards. What was assumed because
    // the file does not say it goes to `warnings` (may be null), one line each. Throws Error when
    // there is no vocabulary, it is of another kind, or it contradicts itself.
    static std::unique_ptr<const Tokenizer> load(const GgufFile& file,
                                                 std::vector<std::string>* warnings);
    ~Tokenizer();
    Tokenizer(const Tokenizer&) = delete;
    Tokenizer& operator=(const Tokenizer&) = delete;

    // The ids of a text; no begin-of-text token is added. With parse_special, control tokens that
    // are spelt in the text ("<|eot_id|>") become their ids; otherwise they are ordinary text.
    // Bytes that are not UTF-8 count as U+FFFD.
    std::vector<int32_t> encode(std::string_view text, bool parse_special) const;

    // The bytes that a token stands for: may be a part of a UTF-8 sequence (see Utf8Stream), is the
    // name for a control token. Throws Error for an id outside of [0, size()).
    std::string piece(int32_t token) const;
    // The pieces in a row, control tokens by name. A SentencePiece vocabulary that puts a space
    // before the text has it removed again.
    std::string decode(std::span<const int32_t> tokens) const;
    // Begin of text, end of a turn and the like: not meant to be shown.
    bool is_control(int32_t token) const;
    // The token with exactly this name, such as "<|eot_id|>"; ordinary tokens are not found.
    std::optional<int32_t> special(std::string_view name) const;

    std::optional<int32_t> bos() const;     // begin of text
    std::optional<int32_t> eos() const;     // end of text
    bool add_bos() const;                   // whether a prompt begins with bos()
    bool ends_answer(int32_t token) const;  // eos, end of turn, and what is known as such by name
    int64_t size() const;                   // tokens in the vocabulary

  private:
    struct Impl;
    explicit Tokenizer(std::unique_ptr<const Impl> impl);
    std::unique_ptr<const Impl> impl_;
};

// Tokens may end inside a UTF-8 sequence. Holds such an end back until the rest has come.
class Utf8Stream {
  public:
    // What can be shown after these bytes. Bytes that can never become UTF-8 pass unchanged.
    std::string push(std::string_view bytes);
    // What is still held back, at the end.
    std::string finish();

  private:
    std::string held_;
};

}  // namespace tritbench
