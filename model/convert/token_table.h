// Tokens with their ids, collected from several places that must not contradict each other.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "model/convert/hf_tokenizer.h"
#include "model/convert/json_file.h"

namespace tritbench {

class TokenTable {
  public:
    // Fills tokens, types and ids of `keys` (both kept by reference). `file` is named in messages.
    // Throws Error if `vocab` is more than any vocabulary has.
    TokenTable(std::string file, int64_t vocab, TokenizerKeys& keys);

    // Throws Error, naming `field`, unless the id is within the vocabulary, and neither id nor text
    // belongs to another token. The same token may be added again: the later type counts, except
    // over an unknown or byte token.
    void add(const std::string& text, int64_t id, TokenType type, std::string_view field);
    void add(const std::string& text, const nlohmann::json& id, TokenType type,
             std::string_view field);
    // Ids without a token get one that no text gives.
    void fill_gaps();

    bool holds(const std::string& text) const { return keys_.ids.contains(text); }

  private:
    std::string file_;
    int64_t vocab_;
    TokenizerKeys& keys_;
};

}  // namespace tritbench
