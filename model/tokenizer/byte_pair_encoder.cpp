#include "model/tokenizer/byte_pair_encoder.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <functional>
#include <limits>

#include "kernels/api/error.h"
#include "model/printable.h"
#include "model/tokenizer/byte_alphabet.h"
#include "model/tokenizer/gguf_arrays.h"

namespace tritbench {
namespace {

constexpr const char* kMergesKey = "tokenizer.ggml.merges";
constexpr uint64_t kMostMerges = uint64_t{1} << 24;
constexpr uint64_t kFree = UINT64_MAX;
constexpr int32_t kNoRank = std::numeric_limits<int32_t>::max();

uint64_t pair_of(int32_t left, int32_t right) {
    return static_cast<uint64_t>(left) << 32 | static_cast<uint32_t>(right);
}

// Spreads neighbouring pairs over the table (the finaliser of SplitMix64).
uint64_t scatter(uint64_t pair) {
    pair = (pair ^ pair >> 30) * 0xBF58476D1CE4E5B9;
    pair = (pair ^ pair >> 27) * 0x94D049BB133111EB;
    return pair ^ pair >> 31;
}

// The lowest rank first, and of equal ranks the leftmost.
uint64_t queue_entry(int32_t rank, int32_t left) {
    return static_cast<uint64_t>(rank) << 32 | static_cast<uint32_t>(left);
}

}  // namespace

BytePairEncoder::BytePairEncoder(const GgufFile& file, const Vocabulary& vocabulary)
    : vocabulary_(vocabulary) {
    const GgufArray* merges = find_array(file, kMergesKey, GgufValueType::Text, kMostMerges);
    if (merges == nullptr) {
        throw Error(fmt::format("{}: key '{}' is missing, expected the merges of the vocabulary",
                                printable(file.path().string(), 300), kMergesKey));
    }
    // At most half full.
    merges_.assign(std::bit_ceil(2 * merges->count + 2), Merge{kFree, kNoRank, -1});
    TextCursor cursor(*merges);
    for (uint64_t rank = 0; rank < merges->count; ++rank) {
        add_merge(file, static_cast<int32_t>(rank), cursor.next());
    }
}

void BytePairEncoder::add_merge(const GgufFile& file, int32_t rank, std::string_view text) {
    const auto refuse = [&](std::string_view what) {
        throw Error(fmt::format("{}: key '{}': merge {} is '{}': {}",
                                printable(file.path().string(), 300), kMergesKey, rank,
                                printable(text), what));
    };
    const auto token_of = [&](std::string_view spelling) {
        const std::optional<std::string> bytes = bytes_of_spelling(spelling);
        const int32_t id = bytes ? vocabulary_.ordinary(*bytes) : -1;
        return id >= 0 ? id : vocabulary_.special(spelling);
    };
    const size_t space = text.find(' ', 1);
    if (space == std::string_view::npos || space + 1 == text.size()) {
        refuse("expected two tokens with a space between them");
    }
    const std::string_view left = text.substr(0, space), right = text.substr(space + 1);
    const int32_t left_id = token_of(left), right_id = token_of(right);
    const int32_t merged = token_of(std::string(left).append(right));
    if (left_id < 0) refuse("the first is not in the vocabulary");
    if (right_id < 0) refuse("the second is not in the vocabulary");
    if (merged < 0) refuse("what it makes is not in the vocabulary");
    Merge& slot = slot_of(pair_of(left_id, right_id));
    if (slot.pair == kFree) slot = {pair_of(left_id, right_id), rank, merged};
}

BytePairEncoder::Merge& BytePairEncoder::slot_of(uint64_t pair) {
    const size_t mask = merges_.size() - 1;
    size_t slot = scatter(pair) & mask;
    while (merges_[slot].pair != kFree && merges_[slot].pair != pair) slot = (slot + 1) & mask;
    return merges_[slot];
}

const BytePairEncoder::Merge* BytePairEncoder::find(int32_t left, int32_t right) const {
    if (left < 0 || right < 0) return nullptr;
    const uint64_t pair = pair_of(left, right);
    const size_t mask = merges_.size() - 1;
    for (size_t slot = scatter(pair) & mask; merges_[slot].pair != kFree;
         slot = (slot + 1) & mask) {
        if (merges_[slot].pair == pair) return &merges_[slot];
    }
    return nullptr;
}

void BytePairEncoder::update(std::vector<Symbol>& symbols, int32_t left,
                             std::vector<uint64_t>* queue) const {
    if (left < 0) return;
    Symbol& symbol = symbols[static_cast<size_t>(left)];
    const Merge* merge =
        symbol.next < 0 ? nullptr : find(symbol.id, symbols[static_cast<size_t>(symbol.next)].id);
    symbol.rank = merge == nullptr ? kNoRank : merge->rank;
    if (merge == nullptr) return;
    symbol.merged = merge->merged;
    queue->push_back(queue_entry(merge->rank, left));
}

// Every merge that becomes possible is put on a queue once; entries that a later merge has made
// untrue are passed over when they come up. n log n for a word of n bytes.
void BytePairEncoder::merge_word(std::string_view word, std::vector<Symbol>* symbols_out,
                                 std::vector<uint64_t>* queue) const {
    std::vector<Symbol>& symbols = *symbols_out;
    const auto count = static_cast<int32_t>(word.size());
    symbols.resize(word.size());
    for (int32_t i = 0; i < count; ++i) {
        const auto at = static_cast<size_t>(i);
        symbols[at] = {vocabulary_.byte(static_cast<unsigned char>(word[at])), i - 1,
                       i + 1 < count ? i + 1 : -1, kNoRank, -1};
    }
    queue->clear();
    for (int32_t i = 0; i < count; ++i) update(symbols, i, queue);
    constexpr std::greater<> lowest_first;
    std::make_heap(queue->begin(), queue->end(), lowest_first);
    while (!queue->empty()) {
        std::pop_heap(queue->begin(), queue->end(), lowest_first);
        const auto rank = static_cast<int32_t>(queue->back() >> 32);
        const auto left = static_cast<int32_t>(queue->back() & UINT32_MAX);
        queue->pop_back();
        Symbol& symbol = symbols[static_cast<size_t>(left)];
        if (symbol.rank != rank) continue;
        Symbol& gone = symbols[static_cast<size_t>(symbol.next)];
        symbol.id = symbol.merged;
        symbol.next = gone.next;
        gone.rank = kNoRank;
        if (symbol.next >= 0) symbols[static_cast<size_t>(symbol.next)].previous = left;
        for (const int32_t changed : {symbol.previous, left}) {
            const size_t before = queue->size();
            update(symbols, changed, queue);
            if (queue->size() > before) std::push_heap(queue->begin(), queue->end(), lowest_first);
        }
    }
}

void BytePairEncoder::encode(std::string_view text, int32_t unknown,
                             std::vector<int32_t>* ids) const {
    std::vector<Symbol> symbols;
    std::vector<uint64_t> queue;
    for (const std::string_view word : pre_tokenizer_.split(text)) {
        if (const int32_t whole = vocabulary_.ordinary(word); whole >= 0) {
            ids->push_back(whole);
            continue;
        }
        merge_word(word, &symbols, &queue);
        for (int32_t at = 0; at >= 0; at = symbols[static_cast<size_t>(at)].next) {
            const int32_t id = symbols[static_cast<size_t>(at)].id;
            if (id < 0 && unknown < 0) {
                throw Error(fmt::format(
                    "tokenizer: no token of the vocabulary spells byte 0x{:02X} and it has no "
                    "unknown token; expected tokens for all 256 bytes",
                    static_cast<unsigned char>(word[static_cast<size_t>(at)])));
            }
            ids->push_back(id < 0 ? unknown : id);
        }
    }
}

}  // namespace tritbench
