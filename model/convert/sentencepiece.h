// The vocabulary inside a SentencePiece model (tokenizer.model), a protocol buffer.
//
// Source: google/sentencepiece src/sentencepiece_model.proto.
#pragma once

#include <filesystem>

#include "model/convert/hf_tokenizer.h"

namespace tritbench {

// Fills model ("llama"), tokens, scores, types, add_space_prefix and add_bos (true, as
// transformers' LlamaTokenizer has it unless told otherwise). Tokens that were added to the pieces
// come from tokenizer_config.json and added_tokens.json beside the file. Throws Error, naming the
// file, when it is damaged, of another algorithm than byte-pair encoding, or has more pieces than
// `vocab`.
void read_sentencepiece(const std::filesystem::path& path, int64_t vocab, TokenizerKeys& out);

}  // namespace tritbench
