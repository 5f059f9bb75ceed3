// Vocabularies for the tests: the two small ones of the tree, and any other built key by key.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "model/tokenizer/tokenizer.h"
#include "tests/gguf_bytes.h"

namespace tritbench::testing {

// "small-bpe" or "small-spm"; tests/data/vocabularies/make_vocabularies.py makes them.
inline std::filesystem::path small_vocabulary(const std::string& name) {
    return std::filesystem::path(TRITBENCH_SOURCE_DIR) / "tests/data/vocabularies" /
           (name + ".gguf");
}

inline std::unique_ptr<const Tokenizer> load_tokenizer(
    const std::filesystem::path& path, std::vector<std::string>* warnings = nullptr) {
    return Tokenizer::load(GgufFile(path), warnings);
}

// The keys of a vocabulary. An empty model, tokens, types, scores or merges leaves that key out.
struct VocabularyFile {
    std::string model = "gpt2", pre = "llama-bpe";
    std::vector<std::string> tokens, merges;
    std::vector<int32_t> types;
    std::vector<float> scores;
    std::vector<std::pair<std::string, uint32_t>> ids;  // "bos" is tokenizer.ggml.bos_token_id
    std::vector<std::pair<std::string, std::string>> texts;
    bool no_merges = false;

    std::string bytes() const {
        ByteBuilder keys;
        uint64_t count = 0;
        const auto text_key = [&](const std::string& key, const std::string& value) {
            keys.key_text(key, value);
            ++count;
        };
        const auto array_key = [&](const std::string& key, uint32_t type, uint64_t elements) {
            keys.text(key).u32(9).u32(type).u64(elements);
            ++count;
        };
        if (!model.empty()) text_key("tokenizer.ggml.model", model);
        if (!pre.empty()) text_key("tokenizer.ggml.pre", pre);
        if (!tokens.empty()) {
            array_key("tokenizer.ggml.tokens", 8, tokens.size());
            for (const std::string& token : tokens) keys.text(token);
        }
        if (model == "gpt2" && !no_merges) {
            array_key("tokenizer.ggml.merges", 8, merges.size());
            for (const std::string& merge : merges) keys.text(merge);
        }
        if (!types.empty()) {
            array_key("tokenizer.ggml.token_type", 5, types.size());
            for (const int32_t type : types) keys.add(type);
        }
        if (!scores.empty()) {
            array_key("tokenizer.ggml.scores", 6, scores.size());
            for (const float score : scores) keys.f32(score);
        }
        for (const auto& [name, id] : ids) {
            keys.key_u32("tokenizer.ggml." + name + "_token_id", id);
            ++count;
        }
        for (const auto& [key, value] : texts) text_key(key, value);
        return ByteBuilder().header(0, count).raw(keys.bytes()).align(32).bytes();
    }

    std::unique_ptr<const Tokenizer> load(std::vector<std::string>* warnings = nullptr) const {
        const TempFolder folder;
        std::ofstream(folder / "vocabulary.gguf", std::ios::binary) << bytes();
        return load_tokenizer(folder / "vocabulary.gguf", warnings);
    }
};

// The character that spells a byte in byte-level vocabularies, written down independently.
inline std::string byte_spelling(unsigned byte) {
    const bool itself = (byte > 0x20 && byte < 0x7F) || (byte > 0xA0 && byte != 0xAD);
    unsigned character = byte;
    if (!itself) {
        character = byte <= 0x20 ? 0x100 + byte : byte < 0xA1 ? 0x100 + byte - 0x5E : 0x143;
    }
    if (character < 0x80) return {static_cast<char>(character)};
    return {static_cast<char>(0xC0 | character >> 6), static_cast<char>(0x80 | (character & 63))};
}

// A byte-level vocabulary of the 256 bytes, token id = byte.
inline VocabularyFile byte_vocabulary() {
    VocabularyFile file;
    for (unsigned byte = 0; byte < 256; ++byte) file.tokens.push_back(byte_spelling(byte));
    return file;
}

}  // namespace tritbench::testing
