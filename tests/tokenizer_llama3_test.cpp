// The vocabulary of LLaMA 3 itself, in the GGUF file that TRITBENCH_LLAMA3_VOCAB names. Without it
// these tests are skipped.
#include <gtest/gtest.h>

#include <cstdlib>

#include "model/tokenizer/pre_tokenizer.h"
#include "model/tokenizer/utf8.h"
#include "tests/vocabulary_file.h"

namespace tritbench::testing {
namespace {

struct Vector {
    std::string text;
    bool parse_special;
    std::vector<int32_t> ids;
};

// Texts of our own; ids by tiktoken (npm 1.0.22) with LLaMA 3's ranks and its published pattern.
const Vector kVectors[] = {
    {"I've told you'LL he'd it'S", false, {40, 3077, 3309, 499, 6, 4178, 568, 4265, 433, 13575}},
    {"it'\305\277 over", false, {275, 6, 129, 123, 927}},
    {"1234567 12 3.14159", false, {4513, 10961, 22, 220, 717, 220, 18, 13, 9335, 2946}},
    {" \n\n  x", false, {4815, 220, 865}},
    {"a   b   ", false, {64, 256, 293, 262}},
    {"\r\n \t\n\n  ", false, {319, 7163, 271, 256}},
    {"x\t\ty\n    z", false, {87, 197, 14862, 198, 262, 1167}},
    {"end.\n\nNext line:\n- item", false, {408, 382, 5971, 1584, 512, 12, 1537}},
    {"na\303\257ve \305\275lu\305\245ou\304\215k\303\275 "
     "\346\235\261\344\272\254\343\202\277\343\203\257\343\203\274",
     false,
     {3458, 38672, 588, 104040, 10036, 75901, 283, 13453, 111489, 119109, 47307, 124049}},
    {"e\314\201te\314\201", false, {68, 54939, 668, 54939}},
    {"\360\237\246\231\360\237\246\231 hi\360\237\221\251\342\200\215\360\237\222\273!",
     false,
     {9468, 99, 247, 9468, 99, 247, 15960, 9468, 239, 102, 102470, 93273, 119, 0}},
    {"\331\241\331\242\331\243\331\244\302\275\342\205\247",
     false,
     {109610, 110546, 117413, 124079, 27154, 71567, 100}},
    {"\302\240\343\200\200x\341\240\216y\342\200\213z",
     false,
     {4194, 23249, 87, 157, 254, 236, 88, 16067, 89}},
    {"\357\273\277BOM", false, {3305, 33, 1937}},
    {"!!!!???...---===", false, {17523, 34115, 1131, 4521, 8880}},
    {"    for i in range(10):\n        print(i)\n",
     false,
     {262, 369, 602, 304, 2134, 7, 605, 997, 286, 1194, 1998, 340}},
    {"https://example.org/a?b=1&c=%20",
     false,
     {2485, 1129, 8858, 2726, 14520, 30, 65, 28, 16, 5, 66, 8003, 508}},
    {"\320\227\320\264\321\200\320\260\320\262\321\201\321\202\320\262\321\203\320\271, "
     "\320\274\320\270\321\200!",
     false,
     {36551, 7094, 28086, 20812, 83680, 11, 115388, 0}},
    {"\331\205\330\261\330\255\330\250\330\247 "
     "\330\250\330\247\331\204\330\271\330\247\331\204\331\205",
     false,
     {101244, 30925, 103645, 100700, 24102, 101952}},
    {"\340\270\252\340\270\247\340\270\261\340\270\252\340\270\224\340\270\265\340\270\212\340\270"
     "\262\340\270\247\340\271\202\340\270\245\340\270\201",
     false,
     {106123, 119657, 111289, 100707, 107972}},
    {"\340\244\250\340\244\256\340\244\270\340\245\215\340\244\244\340\245\207",
     false,
     {61196, 88344, 79468, 100365, 35470}},
    {"\355\225\234\352\265\255\354\226\264 \353\254\270\354\236\245",
     false,
     {112699, 32179, 54535, 41953}},
    {"\344\270\200\344\272\214\344\270\211\357\274\214123\345\233\233",
     false,
     {15120, 41920, 46091, 3922, 4513, 64803}},
    {"\360\240\200\200\360\235\220\200\360\237\207\251\360\237\207\252",
     false,
     {172, 64319, 222, 57352, 238, 222, 9468, 229, 102, 9468, 229, 103}},
    {{"a\000b\177", 4}, false, {64, 188, 65, 221}},
    {"\357\277\275\357\277\275!", false, {10178, 0}},
    {"antidisestablishmentarianism", false, {519, 85342, 34500, 479, 8997, 2191}},
    {"<|eot_id|>", false, {27, 91, 68, 354, 851, 91, 29}},
    {"<|begin_of_text|>Hi<|eot_id|>\n<|end_of_text|>", true, {128000, 13347, 128009, 198, 128001}},
    {"<|start_header_id|>user<|end_header_id|>\n\nHi<|eot_id|>",
     true,
     {128006, 882, 128007, 271, 13347, 128009}},
    {"<|eot_id<|eot_id|>|>", true, {27, 91, 68, 354, 851, 128009, 91, 29}},
    {"User: Hi<|eot_id|>Assistant: ", true, {1502, 25, 21694, 128009, 72803, 25, 220}},
};

class Llama3 : public ::testing::Test {
  protected:
    void SetUp() override {
        const char* path = std::getenv("TRITBENCH_LLAMA3_VOCAB");
        if (path == nullptr || *path == '\0') {
            GTEST_SKIP() << "set TRITBENCH_LLAMA3_VOCAB to a GGUF file with LLaMA 3's vocabulary";
        }
        tokenizer_ = load_tokenizer(path);
    }
    std::unique_ptr<const Tokenizer> tokenizer_;
};

TEST_F(Llama3, TokenizesLikeTheOriginal) {
    for (const Vector& vector : kVectors) {
        EXPECT_EQ(tokenizer_->encode(vector.text, vector.parse_special), vector.ids) << vector.text;
        EXPECT_EQ(tokenizer_->decode(vector.ids), vector.text);
    }
}

TEST_F(Llama3, SpecialTokens) {
    EXPECT_EQ(tokenizer_->size(), 128256);
    EXPECT_EQ(tokenizer_->bos(), 128000);
    EXPECT_EQ(tokenizer_->eos(), 128001);
    EXPECT_TRUE(tokenizer_->add_bos());
    EXPECT_EQ(tokenizer_->special("<|eot_id|>"), 128009);
    for (const int32_t token : {128001, 128008, 128009}) {
        EXPECT_TRUE(tokenizer_->ends_answer(token)) << token;
    }
    EXPECT_FALSE(tokenizer_->ends_answer(128000));
    EXPECT_FALSE(tokenizer_->ends_answer(128006));
}

TEST_F(Llama3, BytesThatAreNotUtf8) {
    const auto replaced = tokenizer_->encode("\uFFFD", false);
    EXPECT_EQ(tokenizer_->encode("\xFF", false), replaced);
    EXPECT_EQ(tokenizer_->encode("a\xE2\x82", false), tokenizer_->encode("a\uFFFD\uFFFD", false));
}

TEST_F(Llama3, ATokenThatIsAWordIsItself) {
    const PreTokenizer pre_tokenizer;
    int words = 0;
    for (int32_t token = 0; token < 128000; ++token) {
        const std::string piece = tokenizer_->piece(token);
        if (with_replacements(piece) != piece || pre_tokenizer.split(piece).size() != 1) continue;
        ++words;
        ASSERT_EQ(tokenizer_->encode(piece, false), std::vector<int32_t>{token}) << piece;
    }
    EXPECT_GT(words, 120000);
}

}  // namespace
}  // namespace tritbench::testing
