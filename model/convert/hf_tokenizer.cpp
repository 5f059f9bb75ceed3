#include "model/convert/hf_tokenizer.h"

#include <fmt/format.h>

#include <utility>

#include "kernels/api/error.h"
#include "model/convert/hf_special_tokens.h"
#include "model/convert/json_file.h"
#include "model/convert/sentencepiece.h"
#include "model/convert/token_table.h"
#include "model/printable.h"

namespace tritbench {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

// The pattern of LLaMA 3, as its tokenizer.json spells it.
constexpr std::string_view kLlama3Pattern =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

[[noreturn]] void fail(const std::string& file, const std::string& problem) {
    throw Error(fmt::format("{}: {}", file, problem));
}

// "left right", or since tokenizers 0.20 ["left", "right"].
void read_merges(const JsonObject& model, const TokenTable& tokens, TokenizerKeys& out) {
    const json* merges = model.find("merges");
    if (!merges || !merges->is_array()) model.fail("merges", "an array");
    for (const json& merge : *merges) {
        std::string text;
        if (merge.is_string()) {
            text = merge.get<std::string>();
        } else if (merge.is_array() && merge.size() == 2 && merge[0].is_string() &&
                   merge[1].is_string()) {
            text = merge[0].get<std::string>() + " " + merge[1].get<std::string>();
        }
        const size_t space = text.find(' ');
        const bool two = space != std::string::npos && space > 0 && space + 1 < text.size() &&
                         text.find(' ', space + 1) == std::string::npos;
        const std::string left = text.substr(0, space), right = two ? text.substr(space + 1) : "";
        if (!two || !tokens.holds(left) || !tokens.holds(right) || !tokens.holds(left + right)) {
            fail(
                model.file(),
                fmt::format("field 'model.merges': entry {} is {}, expected two tokens of the "
                            "vocabulary that join to a third",
                            out.merges.size(),
                            printable(merge.dump(-1, ' ', false, json::error_handler_t::replace))));
        }
        out.merges.push_back(std::move(text));
    }
}

void read_byte_level(const JsonObject& root, int64_t vocab, TokenizerKeys& out) {
    TokenTable table(root.file(), vocab, out);
    const JsonObject model = root.object("model");
    const json* tokens = model.find("vocab");
    if (!tokens || !tokens->is_object()) {
        model.fail("vocab", "an object of token: id, as byte-level BPE has it");
    }
    for (const auto& [text, id] : tokens->items()) {
        table.add(text, id, TokenType::Normal, "model.vocab");
    }
    const json* added = root.find("added_tokens");
    if (added && !added->is_array()) root.fail("added_tokens", "an array");
    for (const json& entry : added ? *added : json::array()) {
        const JsonObject token(root.file(), entry);
        const std::string text = token.text("content", "");
        const json* id = token.find("id");
        if (text.empty() || !id) {
            fail(root.file(), "field 'added_tokens': an entry lacks its content or id");
        }
        const bool special = token.boolean("special", false);
        table.add(text, *id, special ? TokenType::Control : TokenType::UserDefined, "added_tokens");
    }
    read_merges(model, table, out);
    table.fill_gaps();
}

// A copy of a SentencePiece vocabulary: pieces that fall back to bytes.
bool is_sentencepiece(const JsonObject& root) {
    const json* model = root.find("model");
    return model && model->is_object() && root.object("model").boolean("byte_fallback", false);
}

void refuse_other_kinds(const JsonObject& root) {
    const JsonObject model = root.object("model");
    if (model.text("type", "BPE") != "BPE") model.fail("type", "'BPE'");
    if (is_sentencepiece(root)) {
        model.fail("byte_fallback",
                   "false, or tokenizer.model beside it: this is a copy of a SentencePiece "
                   "vocabulary; --no-tokenizer leaves it out");
    }
    if (root.find("normalizer")) {
        root.fail("normalizer", "null: byte-level BPE of LLaMA 3 takes text as it is");
    }
}

// Whether the pre-tokenizer splits by LLaMA 3's pattern and then maps bytes.
bool splits_like_llama3(const JsonObject& root) {
    const JsonObject outer = root.object("pre_tokenizer");
    const json* list = outer.find("pretokenizers");
    if (outer.text("type", "") != "Sequence" || !list || !list->is_array() || list->size() != 2) {
        return false;
    }
    const JsonObject split(root.file(), (*list)[0]), bytes(root.file(), (*list)[1]);
    const JsonObject pattern = split.object("pattern");
    return split.text("type", "") == "Split" && pattern.text("Regex", "") == kLlama3Pattern &&
           split.text("behavior", "") == "Isolated" && !split.boolean("invert", false) &&
           bytes.text("type", "") == "ByteLevel" && !bytes.boolean("add_prefix_space", true) &&
           !bytes.boolean("use_regex", true);
}

}  // namespace

TokenizerKeys read_hf_tokenizer(const fs::path& folder, int64_t vocab, const std::string& pre,
                                std::vector<std::string>* notes) {
    const fs::path path = folder / "tokenizer.json", pieces = folder / "tokenizer.model";
    std::error_code ignored;
    const bool has_json = fs::exists(path, ignored), has_pieces = fs::exists(pieces, ignored);
    if (!has_json && !has_pieces) {
        fail(printable(path.string(), 300),
             "is missing, and so is tokenizer.model; --no-tokenizer converts without a vocabulary");
    }
    const json document = has_json ? read_json(path) : json::object();
    const JsonObject root(printable(path.string(), 300), document);
    TokenizerKeys out;
    out.pre = pre;
    if (has_pieces && (!has_json || is_sentencepiece(root))) {
        read_sentencepiece(pieces, vocab, out);
    } else {
        refuse_other_kinds(root);
        out.model = "gpt2";
        if (pre.empty()) {
            if (!splits_like_llama3(root)) {
                root.fail("pre_tokenizer",
                          "LLaMA 3's (Split by its pattern, then ByteLevel): text would be split "
                          "otherwise than in training; --pre llama-bpe takes it for that");
            }
            out.pre = "llama-bpe";
        }
        read_byte_level(root, vocab, out);
    }
    read_special_tokens(folder, root, out, notes);
    return out;
}

void set_tokenizer_keys(GgufWriter& writer, const TokenizerKeys& v) {
    const std::string prefix = "tokenizer.ggml.";
    writer.set_text(prefix + "model", v.model);
    if (!v.pre.empty()) writer.set_text(prefix + "pre", v.pre);
    writer.set_texts(prefix + "tokens", v.tokens);
    writer.set_i32s(prefix + "token_type", v.types);
    if (!v.scores.empty()) writer.set_f32s(prefix + "scores", v.scores);
    if (!v.merges.empty()) writer.set_texts(prefix + "merges", v.merges);
    for (const auto& [name, id] : v.special_ids) {
        writer.set_u32(fmt::format("{}{}_token_id", prefix, name), static_cast<uint32_t>(id));
    }
    if (v.add_bos) writer.set_bool(prefix + "add_bos_token", *v.add_bos);
    if (v.add_space_prefix) writer.set_bool(prefix + "add_space_prefix", *v.add_space_prefix);
    if (!v.chat_template.empty()) writer.set_text("tokenizer.chat_template", v.chat_template);
}

}  // namespace tritbench
