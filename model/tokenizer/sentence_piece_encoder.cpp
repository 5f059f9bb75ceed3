#include "model/tokenizer/sentence_piece_encoder.h"

#include <fmt/format.h>

#include <algorithm>

#include "kernels/api/error.h"
#include "model/tokenizer/utf8.h"

namespace tritbench {

// The order of the heap: the highest score on top, of equal scores the leftmost.
struct SentencePieceEncoder::Later {
    bool operator()(const Candidate& a, const Candidate& b) const {
        return a.score != b.score ? a.score < b.score : a.left > b.left;
    }
};

void SentencePieceEncoder::consider(const std::vector<Symbol>& symbols, int32_t left,
                                    std::vector<Candidate>* queue) const {
    if (left < 0) return;
    const Symbol& first = symbols[static_cast<size_t>(left)];
    if (first.next < 0) return;
    const size_t length = first.text.size() + symbols[static_cast<size_t>(first.next)].text.size();
    if (length > vocabulary_.longest()) return;
    // Neighbours lie side by side in the text.
    const int32_t id = vocabulary_.ordinary({first.text.data(), length});
    if (id < 0) return;
    queue->push_back({vocabulary_.score(id), left, length});
    std::push_heap(queue->begin(), queue->end(), Later{});
}

void SentencePieceEncoder::encode(std::string_view text, int32_t unknown,
                                  std::vector<int32_t>* ids) const {
    std::vector<Symbol> symbols;
    for (size_t at = 0; at < text.size();) {
        const size_t length = std::max<size_t>(1, utf8_character(text.substr(at)));
        const auto index = static_cast<int32_t>(symbols.size());
        symbols.push_back({text.substr(at, length), index - 1, index + 1});
        at += length;
    }
    if (symbols.empty()) return;
    symbols.back().next = -1;

    std::vector<Candidate> queue;
    for (size_t i = 0; i < symbols.size(); ++i) consider(symbols, static_cast<int32_t>(i), &queue);
    while (!queue.empty()) {
        std::pop_heap(queue.begin(), queue.end(), Later{});
        const Candidate best = queue.back();
        queue.pop_back();
        Symbol& left = symbols[static_cast<size_t>(best.left)];
        if (left.text.empty() || left.next < 0) continue;
        Symbol& right = symbols[static_cast<size_t>(left.next)];
        if (left.text.size() + right.text.size() != best.length) continue;
        left.text = {left.text.data(), best.length};
        left.next = right.next;
        right.text = {};
        if (left.next >= 0) symbols[static_cast<size_t>(left.next)].previous = best.left;
        consider(symbols, left.previous, &queue);
        consider(symbols, best.left, &queue);
    }

    for (int32_t at = 0; at >= 0; at = symbols[static_cast<size_t>(at)].next) {
        const std::string_view piece = symbols[static_cast<size_t>(at)].text;
        if (const int32_t id = vocabulary_.ordinary(piece); id >= 0) {
            ids->push_back(id);
            continue;
        }
        for (const char byte : piece) {
            const int32_t id = vocabulary_.byte(static_cast<unsigned char>(byte));
            if (id < 0 && unknown < 0) {
                throw Error(fmt::format(
                    "tokenizer: no token of the vocabulary spells byte 0x{:02X} and it has no "
                    "unknown token; expected tokens '<0x00>' to '<0xFF>'",
                    static_cast<unsigned char>(byte)));
            }
            ids->push_back(id < 0 ? unknown : id);
        }
    }
}

}  // namespace tritbench
