#include "model/tokenizer/chat.h"

#include <fmt/format.h>

#include "kernels/api/error.h"
#include "model/printable.h"

namespace tritbench {
namespace {

// The templates apply Jinja's trim; of white space beyond ASCII nothing is taken away here.
std::string_view trimmed(std::string_view text) {
    constexpr const char* kSpace = " \t\n\v\f\r";
    const size_t begin = text.find_first_not_of(kSpace);
    if (begin == std::string_view::npos) return {};
    return text.substr(begin, text.find_last_not_of(kSpace) - begin + 1);
}

struct Role {
    const char* bitnet;
    const char* llama3;
};

Role role_name(ChatRole role) {
    switch (role) {
        case ChatRole::System:
            return {"System", "system"};
        case ChatRole::User:
            return {"User", "user"};
        case ChatRole::Assistant:
            break;
    }
    return {"Assistant", "assistant"};
}

std::string heading(ChatStyle style, ChatRole role) {
    const Role name = role_name(role);
    return style == ChatStyle::BitNet
               ? fmt::format("{}: ", name.bitnet)
               : fmt::format("<|start_header_id|>{}<|end_header_id|>\n\n", name.llama3);
}

}  // namespace

std::optional<ChatStyle> detect_chat_style(const GgufFile& file) {
    const std::string text = file.text("tokenizer.chat_template", "");
    const auto has = [&](std::string_view part) { return text.find(part) != std::string::npos; };
    if (has("<|start_header_id|>")) return ChatStyle::Llama3;
    // The converter of bitnet.cpp wrote "Human: ...BITNETAssistant: " into its first files; the
    // model was trained on the template of its Hugging Face repository all the same.
    if (has("BITNETAssistant") || (has("<|eot_id|>") && has("Assistant: "))) {
        return ChatStyle::BitNet;
    }
    return std::nullopt;
}

ChatStyle chat_style_named(std::string_view name) {
    if (name == "bitnet") return ChatStyle::BitNet;
    if (name == "llama3") return ChatStyle::Llama3;
    throw Error(
        fmt::format("chat style '{}' is unknown; expected bitnet or llama3", printable(name)));
}

std::string render_chat(ChatStyle style, std::span<const ChatMessage> messages,
                        bool add_generation_prompt) {
    std::string text;
    for (const ChatMessage& message : messages) {
        text += heading(style, message.role);
        text += trimmed(message.text);
        text += "<|eot_id|>";
    }
    if (add_generation_prompt) text += heading(style, ChatRole::Assistant);
    return text;
}

}  // namespace tritbench
