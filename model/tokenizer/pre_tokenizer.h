// Splits a text into the words that byte-pair merges never cross: the LLaMA-3 pattern.
//
// Source: the pattern of LLaMA 3's own tokenizer (tiktoken), known as "llama-bpe" in GGUF.
#pragma once

#include <memory>
#include <string_view>
#include <vector>

namespace tritbench {

class PreTokenizer {
  public:
    PreTokenizer();
    ~PreTokenizer();
    PreTokenizer(const PreTokenizer&) = delete;
    PreTokenizer& operator=(const PreTokenizer&) = delete;

    // The words of `text`, which must be UTF-8, in order and without a gap.
    std::vector<std::string_view> split(std::string_view text) const;

  private:
    struct Impl;
    std::unique_ptr<const Impl> impl_;
};

}  // namespace tritbench
