// Streaming of pieces that end inside a character, and chat templates.
#include <gtest/gtest.h>

#include "model/tokenizer/chat.h"
#include "model/tokenizer/utf8.h"
#include "tests/vocabulary_file.h"

namespace tritbench::testing {
namespace {

TEST(Utf8, KnowsWholeCharacters) {
    EXPECT_EQ(utf8_character("a"), 1u);
    EXPECT_EQ(utf8_character("é!"), 2u);
    EXPECT_EQ(utf8_character("山"), 3u);
    EXPECT_EQ(utf8_character("🦙x"), 4u);
    EXPECT_EQ(utf8_character("\xED\x9F\xBF"), 3u);      // U+D7FF
    EXPECT_EQ(utf8_character("\xF4\x8F\xBF\xBF"), 4u);  // U+10FFFF
    for (const char* wrong :
         {"\x80", "\xC1\xBF", "\xE0\x9F\xBF", "\xED\xA0\x80", "\xF0\x8F\xBF\xBF",
          "\xF4\x90\x80\x80", "\xF5\x80\x80\x80", "\xE5\xB1", "\xC3", ""}) {
        EXPECT_EQ(utf8_character(wrong), 0u) << wrong;
    }
}

TEST(Utf8Stream, HoldsBackTheBeginningOfACharacter) {
    Utf8Stream stream;
    EXPECT_EQ(stream.push("a\xF0\x9F"), "a");
    EXPECT_EQ(stream.push("\xA6"), "");
    EXPECT_EQ(stream.push("\x99 b\xC3"), "🦙 b");
    EXPECT_EQ(stream.push("\xA9"), "é");
    EXPECT_EQ(stream.finish(), "");
}

TEST(Utf8Stream, PassesWhatCannotBecomeACharacter) {
    Utf8Stream stream;
    EXPECT_EQ(stream.push("\xFF"), "\xFF");
    EXPECT_EQ(stream.push("\xE2\x82"), "");
    EXPECT_EQ(stream.push("x"), "\xE2\x82x");
    EXPECT_EQ(stream.push("\xED\xA0"), "\xED\xA0");  // the beginning of a surrogate
    EXPECT_EQ(stream.push("\xE2"), "");
    EXPECT_EQ(stream.finish(), "\xE2");
    EXPECT_EQ(stream.finish(), "");
}

TEST(Utf8Stream, LosesNothingHoweverTheBytesAreCut) {
    const std::string text = "a é 山🦙\xFF\xE2\x82 \xF0\x9F\xA6 ü";
    for (size_t first = 0; first <= text.size(); ++first) {
        for (size_t second = first; second <= text.size(); ++second) {
            Utf8Stream stream;
            std::string out = stream.push(text.substr(0, first));
            out += stream.push(text.substr(first, second - first));
            out += stream.push(text.substr(second));
            ASSERT_EQ(out + stream.finish(), text) << first << " " << second;
        }
    }
}

const std::vector<ChatMessage> kConversation = {{ChatRole::System, "Be brief.\n"},
                                                {ChatRole::User, "  Is it on?"},
                                                {ChatRole::Assistant, "Yes."},
                                                {ChatRole::User, "Since when?"}};

TEST(Chat, BitNet) {
    EXPECT_EQ(render_chat(ChatStyle::BitNet, kConversation, true),
              "System: Be brief.<|eot_id|>User: Is it on?<|eot_id|>Assistant: Yes.<|eot_id|>"
              "User: Since when?<|eot_id|>Assistant: ");
    EXPECT_EQ(render_chat(ChatStyle::BitNet, {}, false), "");
}

TEST(Chat, Llama3) {
    EXPECT_EQ(render_chat(ChatStyle::Llama3, std::span(kConversation).first(2), true),
              "<|start_header_id|>system<|end_header_id|>\n\nBe brief.<|eot_id|>"
              "<|start_header_id|>user<|end_header_id|>\n\nIs it on?<|eot_id|>"
              "<|start_header_id|>assistant<|end_header_id|>\n\n");
}

std::optional<ChatStyle> detected(const std::string& chat_template) {
    const TempFolder folder;
    ByteBuilder()
        .header(0, 1)
        .key_text("tokenizer.chat_template", chat_template)
        .align(32)
        .save(folder / "chat.gguf");
    return detect_chat_style(GgufFile(folder / "chat.gguf"));
}

TEST(Chat, IsDetectedFromTheTemplate) {
    EXPECT_EQ(detected("{% for message in messages %}{{ message['role'] | capitalize + ': ' + "
                       "message['content'] | trim + '<|eot_id|>' }}{% endfor %}{% if "
                       "add_generation_prompt %}{{ 'Assistant: ' }}{% endif %}"),
              ChatStyle::BitNet);
    EXPECT_EQ(detected("{{ 'Human: ' + message['content'] + '\\n\\nBITNETAssistant: ' }}"),
              ChatStyle::BitNet);
    EXPECT_EQ(detected("{{ '<|start_header_id|>' + message['role'] + '<|end_header_id|>' }}"),
              ChatStyle::Llama3);
    EXPECT_EQ(detected("<|im_start|>"), std::nullopt);
    EXPECT_EQ(detected(""), std::nullopt);
    EXPECT_EQ(chat_style_named("bitnet"), ChatStyle::BitNet);
    EXPECT_EQ(chat_style_named("llama3"), ChatStyle::Llama3);
    EXPECT_HAS(error_of([] { chat_style_named("chatml\n"); }), "expected bitnet or llama3");
}

}  // namespace
}  // namespace tritbench::testing
