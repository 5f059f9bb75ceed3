// Which tokens begin and end a text, and how a conversation is written: what a Hugging Face folder
// says of it in half a dozen files.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "model/convert/hf_tokenizer.h"
#include "model/convert/json_file.h"

namespace tritbench {

// Fills special_ids, add_bos (what it has, unless a file says) and chat_template of a vocabulary
// with its tokens; `tokenizer` is tokenizer.json. Throws Error on files of another structure, and
// names of tokens that there are not.
void read_special_tokens(const std::filesystem::path& folder, const JsonObject& tokenizer,
                         TokenizerKeys& vocabulary, std::vector<std::string>* notes);

}  // namespace tritbench
