// The tokenizer of a Hugging Face folder as the keys tokenizer.ggml.* of a GGUF file.
//
// Sources: tokenizer.json of huggingface/tokenizers; key names and token types of ggml-org/ggml
// docs/gguf.md and ggml-org/llama.cpp gguf-py (vocab.py) and convert_hf_to_gguf.py.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "model/gguf.h"
#include "model/tokenizer/vocabulary.h"

namespace tritbench {

struct TokenizerKeys {
    std::string model;  // "gpt2": byte-level BPE; "llama": SentencePiece
    std::string pre;    // of the pre-tokenizer: "llama-bpe"
    std::vector<std::string> tokens;
    std::vector<int32_t> types;                    // TokenType of each
    std::vector<std::string> merges;               // "left right", first the most urgent
    std::unordered_map<std::string, int64_t> ids;  // of tokens
    std::vector<std::pair<std::string, int64_t>> special_ids;  // {"bos", 128000}, ...
    std::vector<float> scores;                                 // SentencePiece
    std::optional<bool> add_bos, add_space_prefix;
    std::string chat_template;  // "": none
};

// Reads tokenizer.json (byte-level BPE), or tokenizer.model (SentencePiece) where it is missing or
// only a copy of that; and where they exist tokenizer_config.json, special_tokens_map.json,
// added_tokens.json, generation_config.json, config.json and chat_template.jinja. `vocab` is the
// number of rows of the embedding: ids without a token get one that no text gives. `pre` names the
// pre-tokenizer; "" has it found out from tokenizer.json. Throws Error, naming file and field, when
// there is neither file, they are of another kind, tokens and merges contradict each other, or the
// pre-tokenizer is unknown. What was assumed goes to *notes, a line each.
TokenizerKeys read_hf_tokenizer(const std::filesystem::path& folder, int64_t vocab,
                                const std::string& pre, std::vector<std::string>* notes);

void set_tokenizer_keys(GgufWriter& writer, const TokenizerKeys& vocabulary);

}  // namespace tritbench
