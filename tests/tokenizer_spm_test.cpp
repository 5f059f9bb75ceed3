// SentencePiece-style vocabularies: scores, spaces, bytes.
#include <gtest/gtest.h>

#include <map>
#include <random>

#include "tests/vocabulary_file.h"

namespace tritbench::testing {
namespace {

using Ids = std::vector<int32_t>;

// Ids: 0 <unk>, 1 <s>, 2 </s>, then the 256 bytes, then `pieces` with falling scores.
VocabularyFile spm_vocabulary(const std::vector<std::string>& pieces) {
    VocabularyFile file;
    file.model = "llama";
    file.pre = "";
    file.tokens = {"<unk>", "<s>", "</s>"};
    file.types = {2, 3, 3};
    for (unsigned byte = 0; byte < 256; ++byte) {
        char name[8];
        std::snprintf(name, sizeof name, "<0x%02X>", byte);
        file.tokens.emplace_back(name);
        file.types.push_back(6);
    }
    file.scores.assign(file.tokens.size(), 0);
    for (const std::string& piece : pieces) {
        file.scores.push_back(-static_cast<float>(file.tokens.size() - 259));
        file.tokens.push_back(piece);
        file.types.push_back(1);
    }
    return file;
}

constexpr int32_t kByte0 = 3, kPiece0 = 259;

TEST(SentencePieces, TheHighestScoreIsMergedFirst) {
    // "bc" before "ab": "abc" is a + bc.
    const auto tokenizer = spm_vocabulary({"bc", "ab", "a", "b", "c", "\u2581"}).load();
    EXPECT_EQ(tokenizer->encode("abc", false), (Ids{kPiece0 + 5, kPiece0 + 2, kPiece0}));
    EXPECT_EQ(tokenizer->encode("abab", false), (Ids{kPiece0 + 5, kPiece0 + 1, kPiece0 + 1}));
}

TEST(SentencePieces, OfEqualScoresTheLeftmostIsMergedFirst) {
    const auto tokenizer = spm_vocabulary({"aa", "a", "\u2581"}).load();
    EXPECT_EQ(tokenizer->encode("aaa", false), (Ids{kPiece0 + 2, kPiece0, kPiece0 + 1}));
}

TEST(SentencePieces, ASpaceIsPutBeforeTheText) {
    VocabularyFile file =
        spm_vocabulary({"\u2581"
                        "a",
                        "a", "\u2581"});
    const auto tokenizer = file.load();
    EXPECT_TRUE(tokenizer->add_bos());
    EXPECT_EQ(tokenizer->bos(), 1);
    EXPECT_EQ(tokenizer->encode("", true), Ids{});
    EXPECT_EQ(tokenizer->encode("a a", false), (Ids{kPiece0, kPiece0}));
    EXPECT_EQ(tokenizer->piece(kPiece0), " a");
    EXPECT_EQ(tokenizer->decode(Ids{kPiece0, kPiece0}), "a a");
    EXPECT_EQ(tokenizer->decode(Ids{1, kPiece0}), "<s>a");
    // And after a special token, as llama.cpp does.
    EXPECT_EQ(tokenizer->encode("a</s>a", true), (Ids{kPiece0, 2, kPiece0}));
    EXPECT_TRUE(tokenizer->ends_answer(2));
    const std::string plain = file.bytes();
    const TempFolder folder;
    ByteBuilder keys;
    keys.text("tokenizer.ggml.add_space_prefix").u32(7).u8(0);
    std::string bytes = plain;
    bytes[16] = static_cast<char>(bytes[16] + 1);  // one key more
    bytes.insert(24, keys.bytes());
    std::ofstream(folder / "no-prefix.gguf", std::ios::binary) << bytes;
    const auto without = load_tokenizer(folder / "no-prefix.gguf");
    EXPECT_EQ(without->encode("a a", false), (Ids{kPiece0 + 1, kPiece0}));
    EXPECT_EQ(without->decode(Ids{kPiece0}), " a");
}

TEST(SentencePieces, WhatIsNoTokenIsSpeltInBytes) {
    const auto tokenizer = spm_vocabulary({"a", "\u2581"}).load();
    EXPECT_EQ(tokenizer->encode("é\xFF", false),
              (Ids{kPiece0 + 1, kByte0 + 0xC3, kByte0 + 0xA9, kByte0 + 0xFF}));
    EXPECT_EQ(tokenizer->piece(kByte0 + 0xC3), "\xC3");
    EXPECT_EQ(tokenizer->decode(tokenizer->encode("a\xE2\x82 é", false)), "a\xE2\x82 é");
    EXPECT_EQ(tokenizer->encode("A", false), (Ids{kPiece0 + 1, kByte0 + 'A'}));
}

TEST(SentencePieces, WithoutBytesTheUnknownToken) {
    VocabularyFile file;
    file.model = "llama";
    file.pre = "";
    file.tokens = {"<unk>", "a", "\u2581"};
    file.types = {2, 1, 1};
    EXPECT_EQ(file.load()->encode("ab", false), (Ids{2, 1, 0}));
    file.tokens[0] = "b";
    file.types[0] = 1;
    EXPECT_HAS(error_of([&] { file.load()->encode("abc", false); }), "spells byte 0x63");
}

// The definition, quadratic: of all neighbours that make a token, the one with the highest score.
Ids naive_encode(const VocabularyFile& file, const std::string& word) {
    std::map<std::string, int32_t> ids;
    for (size_t id = kPiece0; id < file.tokens.size(); ++id) {
        ids[file.tokens[id]] = static_cast<int32_t>(id);
    }
    std::vector<std::string> symbols = {"\u2581"};
    for (const char c : word) symbols.emplace_back(1, c);
    while (true) {
        int32_t best = -1;
        size_t where = 0;
        for (size_t i = 0; i + 1 < symbols.size(); ++i) {
            const auto found = ids.find(symbols[i] + symbols[i + 1]);
            if (found != ids.end() && (best < 0 || found->second < best)) {
                best = found->second;
                where = i;
            }
        }
        if (best < 0) break;
        symbols[where] += symbols[where + 1];
        symbols.erase(symbols.begin() + static_cast<std::ptrdiff_t>(where) + 1);
    }
    Ids out;
    for (const std::string& symbol : symbols) out.push_back(ids.at(symbol));
    return out;
}

TEST(SentencePieces, MergesEqualTheDefinition) {
    std::mt19937 random(5);
    for (int vocabulary = 0; vocabulary < 20; ++vocabulary) {
        std::vector<std::string> pieces;
        while (pieces.size() < 30) {
            std::string piece;
            for (size_t length = 2 + random() % 5; piece.size() < length;) {
                piece += static_cast<char>('a' + random() % 3);
            }
            if (std::find(pieces.begin(), pieces.end(), piece) == pieces.end()) {
                pieces.push_back(piece);
            }
        }
        pieces.insert(pieces.end(), {"a", "b", "c", "\u2581"});
        const VocabularyFile file = spm_vocabulary(pieces);
        const auto tokenizer = file.load();
        for (int i = 0; i < 200; ++i) {
            std::string word;
            for (size_t length = 1 + random() % 40; word.size() < length;) {
                word += static_cast<char>('a' + random() % 3);
            }
            ASSERT_EQ(tokenizer->encode(word, false), naive_encode(file, word)) << word;
        }
    }
}

TEST(SentencePieces, SmallVocabularyRoundTrips) {
    const auto tokenizer = load_tokenizer(small_vocabulary("small-spm"));
    for (const char* text : {"The kettle was on.", "  two  spaces ", "\n\tx\n",
                             "山の上 🦙 Übermut", "1234567 isn't", " ", ""}) {
        EXPECT_EQ(tokenizer->decode(tokenizer->encode(text, false)), text);
    }
    // " kettle" is a token of the training text's own.
    EXPECT_LE(tokenizer->encode("kettle kettle", false).size(), 6u);
}

TEST(SentencePieces, LongInputsAreNotQuadratic) {
    const auto tokenizer = load_tokenizer(small_vocabulary("small-spm"));
    for (const std::string& text :
         {std::string(1 << 20, 'e'), std::string(1 << 20, ' '), std::string(1 << 20, '\xFF')}) {
        EXPECT_EQ(tokenizer->decode(tokenizer->encode(text, true)), text) << text[0];
    }
}

}  // namespace
}  // namespace tritbench::testing
