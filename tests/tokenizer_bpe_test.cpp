// Byte-level byte-pair encoding: the words, the merges, special tokens, bytes that are not text.
#include <gtest/gtest.h>

#include <map>
#include <random>

#include "model/tokenizer/byte_alphabet.h"
#include "model/tokenizer/pre_tokenizer.h"
#include "tests/vocabulary_file.h"

namespace tritbench::testing {
namespace {

using Words = std::vector<std::string>;
using Ids = std::vector<int32_t>;

Words words_of(std::string_view text) {
    static const PreTokenizer pre_tokenizer;
    Words words;
    for (const std::string_view word : pre_tokenizer.split(text)) words.emplace_back(word);
    return words;
}

TEST(Words, ContractionsInAnyCase) {
    EXPECT_EQ(words_of("I've you'LL he'd it'S we'Re I'm can'T"),
              (Words{"I", "'ve", " you", "'LL", " he", "'d", " it", "'S", " we", "'Re", " I", "'m",
                     " can", "'T"}));
    // The long s is an s in another case; the typographic apostrophe is no apostrophe.
    EXPECT_EQ(words_of("X'VERILY'TIS'\u017Fo"),
              (Words{"X", "'VE", "RILY", "'T", "IS", "'\u017F", "o"}));
    EXPECT_EQ(words_of("it\u2019s"), (Words{"it", "\u2019s"}));
    EXPECT_EQ(words_of("y'all 'tis"), (Words{"y", "'all", " '", "tis"}));
}

TEST(Words, DigitsInGroupsOfThree) {
    EXPECT_EQ(words_of("1234567"), (Words{"123", "456", "7"}));
    EXPECT_EQ(words_of(" 12 3.14159"), (Words{" ", "12", " ", "3", ".", "141", "59"}));
    // Arabic-Indic digits, fractions and Roman numerals are numbers (N); letters end a group.
    EXPECT_EQ(words_of("\u0661\u0662\u0663\u0664\u00BD\u2167"),
              (Words{"\u0661\u0662\u0663", "\u0664\u00BD\u2167"}));
    EXPECT_EQ(words_of("4x4"), (Words{"4", "x", "4"}));
}

TEST(Words, SpacesAndLineEnds) {
    EXPECT_EQ(words_of(" \n\n  x"), (Words{" \n\n", " ", " x"}));
    EXPECT_EQ(words_of("a   b"), (Words{"a", "  ", " b"}));
    EXPECT_EQ(words_of("a   "), (Words{"a", "   "}));
    EXPECT_EQ(words_of("\r\n \t\n\n  "), (Words{"\r\n \t\n\n", "  "}));
    EXPECT_EQ(words_of("a\tb\t\tc"), (Words{"a", "\tb", "\t", "\tc"}));
    EXPECT_EQ(words_of("x \n"), (Words{"x", " \n"}));
    EXPECT_EQ(words_of("end.\n\nNext"), (Words{"end", ".\n\n", "Next"}));
    EXPECT_EQ(words_of("\u00A0\u3000\u0085 x"), (Words{"\u00A0\u3000\u0085", " x"}));
}

TEST(Words, WhiteSpaceIsUnicodesOwn) {
    // U+180E and U+200B are no white space, U+001C is none either: they go with other signs.
    for (const char* character : {"\u180E", "\u200B", "\x1C"}) {
        EXPECT_EQ(words_of(std::string("a ") + character + "b"),
                  (Words{"a", std::string(" ") + character, "b"}))
            << character;
    }
    for (const char* character :
         {"\u0085", "\u1680", "\u2009", "\u2028", "\u202F", "\u205F", "\v"}) {
        EXPECT_EQ(words_of(std::string("a ") + character + "1"), (Words{"a", " ", character, "1"}))
            << character;
    }
}

TEST(Words, UnicodeClasses) {
    EXPECT_EQ(words_of("naïve Žluťoučký 東京タワー"),
              (Words{"naïve", " Žluťoučký", " 東京タワー"}));
    // A combining mark is no letter.
    EXPECT_EQ(words_of("e\u0301te"), (Words{"e", "\u0301te"}));
    EXPECT_EQ(words_of("a\u0301\u0302 b"), (Words{"a", "\u0301\u0302", " b"}));
    EXPECT_EQ(words_of("hi 🦙🦙!"), (Words{"hi", " 🦙🦙!"}));
    EXPECT_EQ(words_of("$x _y (z)"), (Words{"$x", " _", "y", " (", "z", ")"}));
}

TEST(ByteAlphabet, SpellsEachByteOnce) {
    for (unsigned byte = 0; byte < 256; ++byte) {
        EXPECT_EQ(bytes_of_spelling(byte_spelling(byte)), std::string(1, static_cast<char>(byte)));
    }
    for (const char* foreign : {" ", "\u0144", "\u4E00", "\x80", "\xC4", "a\x7F"}) {
        EXPECT_EQ(bytes_of_spelling(foreign), std::nullopt) << foreign;
    }
}

// Merges as they are defined: the lowest rank anywhere in the word, the leftmost of equal ones,
// until there is none. Quadratic, and nothing in common with the encoder but the definition.
class NaiveMerges {
  public:
    explicit NaiveMerges(const VocabularyFile& file) {
        for (size_t id = 0; id < file.tokens.size(); ++id) {
            ids_[file.tokens[id]] = static_cast<int32_t>(id);
        }
        for (size_t rank = 0; rank < file.merges.size(); ++rank) {
            const size_t space = file.merges[rank].find(' ');
            ranks_.try_emplace(
                {file.merges[rank].substr(0, space), file.merges[rank].substr(space + 1)}, rank);
        }
    }
    Ids encode(std::string_view word) const {
        std::vector<std::string> symbols;
        for (const char byte : word) {
            symbols.push_back(byte_spelling(static_cast<unsigned char>(byte)));
        }
        if (word.empty()) return {};
        while (true) {
            size_t best = SIZE_MAX, where = 0;
            for (size_t i = 0; i + 1 < symbols.size(); ++i) {
                const auto found = ranks_.find({symbols[i], symbols[i + 1]});
                if (found != ranks_.end() && found->second < best) {
                    best = found->second;
                    where = i;
                }
            }
            if (best == SIZE_MAX) break;
            symbols[where] += symbols[where + 1];
            symbols.erase(symbols.begin() + static_cast<std::ptrdiff_t>(where) + 1);
        }
        Ids ids;
        for (const std::string& symbol : symbols) ids.push_back(ids_.at(symbol));
        return ids;
    }

  private:
    std::map<std::string, int32_t> ids_;
    std::map<std::pair<std::string, std::string>, size_t> ranks_;
};

// Merges over a few letters, so that neighbours compete. Tokens that are whole words are left out
// of what is compared: they come before merges.
VocabularyFile random_merges(std::mt19937& random, size_t count) {
    VocabularyFile file = byte_vocabulary();
    std::vector<std::string> pieces = {"a", "b", "c"};
    while (file.merges.size() < count) {
        const std::string left = pieces[random() % pieces.size()];
        const std::string right = pieces[random() % pieces.size()];
        if (std::find(pieces.begin(), pieces.end(), left + right) == pieces.end()) {
            pieces.push_back(left + right);
            file.tokens.push_back(left + right);
        } else if (random() % 4 != 0) {
            continue;  // a second way to make the same token, only now and then
        }
        file.merges.push_back(left + " " + right);
    }
    return file;
}

TEST(BytePairs, MergesEqualTheDefinition) {
    std::mt19937 random(7);
    for (int vocabulary = 0; vocabulary < 20; ++vocabulary) {
        const VocabularyFile file = random_merges(random, 40);
        const auto tokenizer = file.load();
        const NaiveMerges naive(file);
        for (int i = 0; i < 200; ++i) {
            std::string word;
            for (size_t length = 1 + random() % 60; word.size() < length;) {
                word += static_cast<char>('a' + random() % 3);
            }
            if (std::find(file.tokens.begin(), file.tokens.end(), word) != file.tokens.end()) {
                continue;
            }
            ASSERT_EQ(tokenizer->encode(word, false), naive.encode(word)) << word;
        }
    }
}

TEST(BytePairs, AWholeWordComesBeforeMerges) {
    VocabularyFile file = byte_vocabulary();
    file.merges = {"a b", "b c"};
    file.tokens.insert(file.tokens.end(), {"ab", "bc", "abc"});
    const auto tokenizer = file.load();
    EXPECT_EQ(tokenizer->encode("abc", false), (Ids{258}));
    EXPECT_EQ(tokenizer->encode("abcc", false), (Ids{256, 'c', 'c'}));
}

TEST(BytePairs, ThePairThatComesTwiceHasItsFirstRank) {
    VocabularyFile file = byte_vocabulary();
    file.merges = {"a b", "b c", "a b"};
    file.tokens.insert(file.tokens.end(), {"ab", "bc"});
    EXPECT_EQ(file.load()->encode("abcd", false), (Ids{256, 'c', 'd'}));
}

TEST(BytePairs, SmallVocabulary) {
    const auto tokenizer = load_tokenizer(small_vocabulary("small-bpe"));
    EXPECT_EQ(tokenizer->size(), 462);
    EXPECT_EQ(tokenizer->bos(), 457);
    EXPECT_EQ(tokenizer->eos(), 458);
    EXPECT_TRUE(tokenizer->add_bos());
    EXPECT_EQ(tokenizer->encode("", true), Ids{});
    // " herons" is no merge, only a token.
    EXPECT_EQ(tokenizer->encode(" herons", false), (Ids{456}));
    EXPECT_EQ(tokenizer->decode(tokenizer->encode(" \n\n  x", false)), " \n\n  x");
}

TEST(BytePairs, RoundTripOfRandomText) {
    const auto tokenizer = load_tokenizer(small_vocabulary("small-bpe"));
    std::mt19937 random(11);
    for (int i = 0; i < 300; ++i) {
        std::string text;
        for (size_t characters = random() % 80; characters > 0; --characters) {
            static const char* const pool[] = {"the",    " ",      "\n", "é",     "山", "🦙",
                                               "'s",     "7",      "<|", "|>",    "\t", "x",
                                               "\u0301", "<tool>", "ъ",  "\u00A0"};
            text += pool[random() % std::size(pool)];
        }
        ASSERT_EQ(tokenizer->decode(tokenizer->encode(text, i % 2 == 0)), text);
    }
}

TEST(SpecialTokens, AreParsedWhenAskedFor) {
    const auto tokenizer = load_tokenizer(small_vocabulary("small-bpe"));
    const Ids parsed = tokenizer->encode("<|eot_id|><|begin_of_text|>", true);
    EXPECT_EQ(parsed, (Ids{459, 457}));
    EXPECT_EQ(tokenizer->decode(parsed), "<|eot_id|><|begin_of_text|>");
    const Ids plain = tokenizer->encode("<|eot_id|>", false);
    EXPECT_GT(plain.size(), 3u);
    for (const int32_t token : plain) EXPECT_FALSE(tokenizer->is_control(token));
    EXPECT_EQ(tokenizer->decode(plain), "<|eot_id|>");
}

TEST(SpecialTokens, TheLongestWinsAndUserDefinedOnesAlwaysCount) {
    const auto tokenizer = load_tokenizer(small_vocabulary("small-bpe"));
    EXPECT_EQ(tokenizer->encode("<|eot_id|>!", true), (Ids{460}));
    EXPECT_EQ(tokenizer->encode("<tool>", false), (Ids{461}));
    EXPECT_EQ(tokenizer->encode("<|eot_id<|eot_id|>", true).back(), 459);
    EXPECT_FALSE(tokenizer->is_control(461));
    EXPECT_TRUE(tokenizer->is_control(459));
    EXPECT_EQ(tokenizer->special("<tool>"), 461);
    EXPECT_EQ(tokenizer->special("the"), std::nullopt);
}

TEST(SpecialTokens, EndAnAnswer) {
    const auto tokenizer = load_tokenizer(small_vocabulary("small-bpe"));
    EXPECT_TRUE(tokenizer->ends_answer(458));   // eos
    EXPECT_TRUE(tokenizer->ends_answer(459));   // <|eot_id|>, by name
    EXPECT_FALSE(tokenizer->ends_answer(457));  // bos
    EXPECT_FALSE(tokenizer->ends_answer('a'));
    VocabularyFile file = byte_vocabulary();
    file.types.assign(256, 1);
    file.tokens.push_back("stop");
    file.types.push_back(3);
    file.ids = {{"eot", 256}};
    EXPECT_TRUE(file.load()->ends_answer(256));
    EXPECT_FALSE(file.load()->ends_answer(-1));
    file.ids = {{"eos", 'q'}};
    EXPECT_TRUE(file.load()->ends_answer('q'));
    EXPECT_FALSE(file.load()->ends_answer(256));
    // A word of the vocabulary that happens to be named so ends nothing.
    file.tokens.back() = "</s>";
    file.types.back() = 1;
    file.ids.clear();
    EXPECT_FALSE(file.load()->ends_answer(256));
}

TEST(BytePairs, BytesThatAreNotUtf8CountAsReplacementCharacters) {
    const auto tokenizer = load_tokenizer(small_vocabulary("small-bpe"));
    const auto same = [&](std::string_view bytes, std::string_view text) {
        EXPECT_EQ(tokenizer->encode(bytes, true), tokenizer->encode(text, true)) << bytes;
    };
    same(
        "a\xFF"
        "b",
        "a\uFFFDb");
    same("\x80", "\uFFFD");
    same("\xE2\x82", "\uFFFD\uFFFD");  // cut short
    same(
        "\xF0\x9F\xA6"
        "!",
        "\uFFFD\uFFFD\uFFFD!");                            // cut short
    same("\xC0\xAF", "\uFFFD\uFFFD");                      // overlong
    same("\xED\xA0\x80", "\uFFFD\uFFFD\uFFFD");            // a surrogate
    same("\xF4\x90\x80\x80", "\uFFFD\uFFFD\uFFFD\uFFFD");  // above U+10FFFF
    same(std::string_view("a\0b", 3), std::string_view("a\0b", 3));
    EXPECT_EQ(tokenizer->decode(tokenizer->encode(std::string_view("a\0b", 3), false)),
              std::string_view("a\0b", 3));
}

TEST(BytePairs, LongInputsWithoutSpacesAreNotQuadratic) {
    // Seconds if they are not, hours if they are: the test's time limit is what fails.
    const auto tokenizer = load_tokenizer(small_vocabulary("small-bpe"));
    std::string the;
    for (int i = 0; i < 400000; ++i) the += "the";
    for (const std::string& text :
         {the, std::string(1 << 20, 'a'), std::string(1 << 20, ' '), std::string(1 << 20, '!'),
          std::string(1 << 20, '\n'), std::string(1 << 20, ' ') + "x", std::string(1 << 20, '7')}) {
        EXPECT_EQ(tokenizer->decode(tokenizer->encode(text, true)), text) << text[0];
    }
    EXPECT_EQ(tokenizer->encode(std::string(1 << 18, '\xFF'), true).size() % (1 << 18), 0u);
}

}  // namespace
}  // namespace tritbench::testing
