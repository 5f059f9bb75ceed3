// SentencePiece's byte-pair encoding: of all neighbours that make a token, the pair with the
// highest score is merged first; what is no token in the end is spelt in bytes.
//
// Source: Kudo and Richardson 2018 (SentencePiece, model type BPE); LLaMA 1 and 2.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "model/tokenizer/vocabulary.h"

namespace tritbench {

class SentencePieceEncoder {
  public:
    // `vocabulary` must outlive this.
    explicit SentencePieceEncoder(const Vocabulary& vocabulary) : vocabulary_(vocabulary) {}

    // Appends the ids of a text of less than 2 GiB, with spaces as spaces. A byte that is in no
    // token and has none of its own becomes `unknown`; Error where that is -1.
    void encode(std::string_view text, int32_t unknown, std::vector<int32_t>* ids) const;

  private:
    struct Symbol {
        std::string_view text;   // empty when it went into its left neighbour
        int32_t previous, next;  // -1 at the ends
    };
    struct Candidate {
        float score;
        int32_t left;
        size_t length;  // of both texts together: another length now means that one has changed
    };
    struct Later;

    void consider(const std::vector<Symbol>& symbols, int32_t left,
                  std::vector<Candidate>* queue) const;

    const Vocabulary& vocabulary_;
};

}  // namespace tritbench
