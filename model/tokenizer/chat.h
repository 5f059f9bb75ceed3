// Conversations as text, the way the models were trained on them.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "model/gguf.h"

namespace tritbench {

enum class ChatStyle {
    BitNet,  // "System: ...<|eot_id|>User: ...<|eot_id|>Assistant: " (BitNet b1.58 2B-4T)
    Llama3   // "<|start_header_id|>user<|end_header_id|>\n\n...<|eot_id|>"
};

enum class ChatRole { System, User, Assistant };

struct ChatMessage {
    ChatRole role = ChatRole::User;
    std::string text;
};

// The style of the template in tokenizer.chat_template; empty when there is none or it is unknown.
std::optional<ChatStyle> detect_chat_style(const GgufFile& file);

// "bitnet" or "llama3"; Error otherwise.
ChatStyle chat_style_named(std::string_view name);

// The text of a conversation, to be encoded with parse_special after the begin-of-text token. With
// add_generation_prompt it ends where the assistant's answer begins.
std::string render_chat(ChatStyle style, std::span<const ChatMessage> messages,
                        bool add_generation_prompt);

}  // namespace tritbench
