// Byte-level byte-pair encoding with ranked merges.
//
// Sources: Sennrich et al. 2016 (merges in order of rank); GPT-2 (over bytes); LLaMA 3 (a word that
// is itself a token is taken as it is, whatever the merges would make of it).
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "model/gguf.h"
#include "model/tokenizer/pre_tokenizer.h"
#include "model/tokenizer/vocabulary.h"

namespace tritbench {

class BytePairEncoder {
  public:
    // Reads tokenizer.ggml.merges; `vocabulary` must outlive this. Error when a merge is not two
    // tokens that make a third. A pair that comes twice has its first rank.
    BytePairEncoder(const GgufFile& file, const Vocabulary& vocabulary);

    // Appends the ids of a text, which must be UTF-8 of less than 2 GiB. A byte that no token can
    // spell becomes `unknown`; Error where that is -1.
    void encode(std::string_view text, int32_t unknown, std::vector<int32_t>* ids) const;

  private:
    struct Merge {
        uint64_t pair;  // left id << 32 | right id; kFree is no merge
        int32_t rank;
        int32_t merged;
    };
    // A piece of a word, in a list.
    struct Symbol {
        int32_t id;
        int32_t previous, next;  // -1 at the ends
        int32_t rank;            // of the merge with the next symbol, kNoRank when there is none
        int32_t merged;          // what that merge makes
    };

    void add_merge(const GgufFile& file, int32_t rank, std::string_view text);
    Merge& slot_of(uint64_t pair);
    const Merge* find(int32_t left, int32_t right) const;
    void merge_word(std::string_view word, std::vector<Symbol>* symbols,
                    std::vector<uint64_t>* queue) const;
    void update(std::vector<Symbol>& symbols, int32_t left, std::vector<uint64_t>* queue) const;

    const Vocabulary& vocabulary_;
    PreTokenizer pre_tokenizer_;
    std::vector<Merge> merges_;  // a hash table with open addressing, a power of two of slots
};

}  // namespace tritbench
