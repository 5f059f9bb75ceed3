// Vocabularies that are wrong: one line that says what, and no crash, hang or flood of memory.
#include <gtest/gtest.h>

#include <limits>

#include "tests/vocabulary_file.h"

namespace tritbench::testing {
namespace {

std::string load_error(const VocabularyFile& file) {
    return error_of([&] { file.load(); });
}

TEST(WrongVocabulary, OfAnotherKindOrWithoutOne) {
    VocabularyFile file = byte_vocabulary();
    file.model = "";
    EXPECT_HAS(load_error(file), "key 'tokenizer.ggml.model' is missing");
    file.model = "bert";
    EXPECT_HAS(load_error(file), "is 'bert', expected 'gpt2'");
    file = byte_vocabulary();
    file.pre = "qwen2\n";
    EXPECT_HAS(load_error(file),
               "key 'tokenizer.ggml.pre' is 'qwen2\\x0a', expected one of llama-");
    file = byte_vocabulary();
    file.tokens.clear();
    EXPECT_HAS(load_error(file), "key 'tokenizer.ggml.tokens' is missing");
    file = byte_vocabulary();
    file.no_merges = true;
    EXPECT_HAS(load_error(file), "key 'tokenizer.ggml.merges' is missing");
}

TEST(WrongVocabulary, ThatTheFileDoesNotExplainIsSaid) {
    VocabularyFile file = byte_vocabulary();
    file.pre = "";
    std::vector<std::string> warnings;
    EXPECT_EQ(file.load(&warnings)->encode("it's", false).size(), 4u);
    ASSERT_EQ(warnings.size(), 3u);
    EXPECT_HAS(warnings[0], "key 'tokenizer.ggml.pre' is missing; words are split as 'llama-bpe'");
    EXPECT_HAS(warnings[1], "key 'tokenizer.ggml.token_type' is missing");
    EXPECT_HAS(warnings[2], "key 'tokenizer.ggml.bos_token_id' is missing");
    EXPECT_FALSE(file.load()->add_bos());
    for (const char* pre : {"llama3", "llama-v3", "llama-bpe", "falcon3"}) {
        file.pre = pre;
        EXPECT_EQ(load_error(file), "") << pre;
    }
}

TEST(WrongVocabulary, Merges) {
    const auto error_with = [](const std::string& merge) {
        VocabularyFile file = byte_vocabulary();
        file.tokens.push_back("ab");
        file.merges = {"a b", merge};
        return load_error(file);
    };
    EXPECT_EQ(error_with("a b"), "");
    EXPECT_HAS(error_with("a zz"), "merge 1 is 'a zz': the second is not in the vocabulary");
    EXPECT_HAS(error_with("zz a"), "the first is not in the vocabulary");
    EXPECT_HAS(error_with("b a"), "what it makes is not in the vocabulary");
    for (const char* wrong : {"", "ab", " ", "a ", "  ", "a"}) {
        EXPECT_HAS(error_with(wrong), "expected two tokens with a space between them");
    }
    EXPECT_HAS(error_with("a b c"), "not in the vocabulary");
    EXPECT_HAS(error_with(" a"), "expected two tokens");
    EXPECT_HAS(error_with("\x01\n \x02"), "'\\x01\\x0a \\x02'");
}

TEST(WrongVocabulary, TokensThatAreTheSame) {
    VocabularyFile file = byte_vocabulary();
    file.tokens.emplace_back("a");
    EXPECT_HAS(load_error(file), "tokens 97 and 256 are both 'a'");
    file.tokens.back() = "<|x|>";
    file.tokens.emplace_back("<|x|>");
    EXPECT_HAS(load_error(file), "tokens 256 and 257 are both '<|x|>'");
}

TEST(WrongVocabulary, EmptyAndForeignTokensAreNeverMade) {
    VocabularyFile file = byte_vocabulary();
    file.tokens.insert(file.tokens.end(), {"", "", "\xFF\xFE", "\u4E00", "a b"});
    const auto tokenizer = file.load();
    EXPECT_EQ(tokenizer->encode("a b", false), (std::vector<int32_t>{'a', ' ', 'b'}));
    EXPECT_EQ(tokenizer->encode("\u4E00", true), (std::vector<int32_t>{0xE4, 0xB8, 0x80}));
    EXPECT_EQ(tokenizer->piece(256), "");
    EXPECT_EQ(tokenizer->piece(258), "\xFF\xFE");
}

TEST(WrongVocabulary, CountsAndTypes) {
    VocabularyFile file = byte_vocabulary();
    file.types.assign(255, 1);
    EXPECT_HAS(load_error(file),
               "'tokenizer.ggml.token_type' has 255 elements, expected one for "
               "each of the 256 tokens");
    file.types.assign(257, 1);
    EXPECT_HAS(load_error(file), "has 257 elements");
    file.types.assign(256, 1);
    file.types[9] = 77;
    EXPECT_HAS(load_error(file), "token 9 has type 77, expected 0 to 6");
    file.types[9] = -1;
    EXPECT_HAS(load_error(file), "token 9 has type -1");
    file.types.clear();
    file.scores.assign(3, 0);
    EXPECT_HAS(load_error(file), "'tokenizer.ggml.scores' has 3 elements");
    file.scores.assign(256, 0);
    file.scores[1] = std::numeric_limits<float>::quiet_NaN();
    EXPECT_HAS(load_error(file), "the score of token 1 is not a number");
    file = byte_vocabulary();
    file.texts = {{"tokenizer.ggml.token_type", "normal"}};
    EXPECT_HAS(load_error(file), "key 'tokenizer.ggml.token_type' is not an array");
    file = byte_vocabulary();
    file.model = "llama";
    file.types.assign(256, 1);
    file.types[65] = 6;
    EXPECT_HAS(load_error(file), "token 65 is of type byte but is named 'A', expected '<0x00>'");
}

TEST(WrongVocabulary, IdsOutsideOfIt) {
    for (const char* name : {"bos", "eos", "eot", "eom", "unknown"}) {
        VocabularyFile file = byte_vocabulary();
        file.ids = {{name, 256}};
        EXPECT_HAS(load_error(file), "is 256, expected 0 to 255") << name;
        file.ids = {{name, UINT32_MAX}};
        EXPECT_HAS(load_error(file), "is 4294967295, expected") << name;
        file.ids = {{name, 255}};
        EXPECT_EQ(load_error(file), "") << name;
    }
    const auto tokenizer = byte_vocabulary().load();
    for (const int32_t token : {-1, 256, INT32_MAX, INT32_MIN}) {
        EXPECT_HAS(error_of([&] { tokenizer->piece(token); }), "is not in the vocabulary");
        EXPECT_HAS(error_of([&] { tokenizer->is_control(token); }), "is not in the vocabulary");
        EXPECT_FALSE(tokenizer->ends_answer(token));
    }
}

TEST(WrongVocabulary, WithoutSomeByte) {
    VocabularyFile file = byte_vocabulary();
    file.tokens['x'] = "<|pad|>";
    EXPECT_HAS(error_of([&] { file.load()->encode("axe", false); }),
               "no token of the vocabulary spells byte 0x78");
    file.ids = {{"unknown", 0}};
    EXPECT_EQ(file.load()->encode("axe", false), (std::vector<int32_t>{'a', 0, 'e'}));
}

TEST(WrongVocabulary, AMillionTokens) {
    VocabularyFile file = byte_vocabulary();
    for (int i = 0; i < 1000000; ++i) file.tokens.push_back("token" + std::to_string(i));
    const auto tokenizer = file.load();
    EXPECT_EQ(tokenizer->size(), 1000256);
    EXPECT_EQ(tokenizer->encode("token999999", false).size(), 11u);
}

TEST(WrongVocabulary, SpecialTokensMadeToBeSlow) {
    // A thousand names with a long common beginning, and a text that almost is one at each byte.
    VocabularyFile file = byte_vocabulary();
    file.types.assign(256, 1);
    for (int i = 0; i < 1000; ++i) {
        file.tokens.push_back(std::string(200, 'a') + std::to_string(i));
        file.types.push_back(3);
    }
    file.tokens.emplace_back(5000, 'b');  // longer than any that is looked for
    file.types.push_back(3);
    const auto tokenizer = file.load();
    const std::string text(1 << 20, 'a');
    EXPECT_EQ(tokenizer->encode(text, true).size(), text.size());
    EXPECT_EQ(tokenizer->encode(std::string(250, 'a') + "77", true).back(), 256 + 77);
    EXPECT_EQ(tokenizer->encode(std::string(5000, 'b'), true).size(), 5000u);
}

}  // namespace
}  // namespace tritbench::testing
