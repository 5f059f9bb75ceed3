#include "model/convert/hf_special_tokens.h"

#include <fmt/format.h>

#include <optional>

#include "kernels/api/error.h"
#include "model/file_mapping.h"
#include "model/printable.h"

namespace tritbench {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr uint64_t kMostTemplateBytes = 1 << 20;

// "text", or {"content": "text", ...}; empty when absent.
std::string token_text(const JsonObject& file, const std::string& field) {
    const json* found = file.find(field);
    if (!found) return "";
    if (found->is_object()) return file.object(field).text("content", "");
    return file.text(field, "");
}

class SpecialTokens {
  public:
    SpecialTokens(const fs::path& folder, const JsonObject& tokenizer, TokenizerKeys& out)
        : tokenizer_(tokenizer),
          out_(out),
          settings_(folder / "tokenizer_config.json"),
          map_(folder / "special_tokens_map.json"),
          generation_(folder / "generation_config.json"),
          config_(folder / "config.json"),
          template_file_(folder / "chat_template.jinja") {}

    void read(std::vector<std::string>* notes) {
        const std::optional<int64_t> bos = find("bos"), eos = find("eos");
        add("bos", bos);
        add("eos", eos);
        const auto turn = out_.ids.find("<|eot_id|>");
        if (turn != out_.ids.end() && turn->second != eos) add("eot", turn->second);
        add("unknown", find("unk"));
        add("padding", find("pad"));
        if (!eos && notes != nullptr) {
            notes->push_back(
                tokenizer_.file() +
                ": no file of the folder names the token that ends a text (eos_token)");
        }
        if (settings_->find("add_bos_token")) {
            out_.add_bos = settings_->boolean("add_bos_token", false);
        } else if (!out_.add_bos) {
            out_.add_bos = template_adds_bos(bos);
        }
        out_.chat_template = chat_template();
    }

  private:
    void add(const char* name, std::optional<int64_t> id) {
        if (id) out_.special_ids.emplace_back(name, *id);
    }

    // By text in the tokenizer's files, else by id in the model's.
    std::optional<int64_t> find(const std::string& name) const {
        for (const JsonObject* file : {&*settings_, &*map_}) {
            const std::string text = token_text(*file, name + "_token");
            if (text.empty()) continue;
            const auto found = out_.ids.find(text);
            if (found == out_.ids.end()) {
                file->fail(name + "_token", "a token of tokenizer.json");
            }
            return found->second;
        }
        for (const JsonObject* file : {&*generation_, &*config_}) {
            if (const auto id = id_in(*file, name + "_token_id")) return id;
        }
        return std::nullopt;
    }

    // A number, or a list of which the first counts; -1 stands for none in some files.
    std::optional<int64_t> id_in(const JsonObject& file, const std::string& field) const {
        const json* found = file.find(field);
        if (found && found->is_array() && !found->empty()) found = &found->front();
        if (!found || (found->is_number_integer() && *found == -1)) return std::nullopt;
        if (!found->is_number_unsigned() || found->get<uint64_t>() >= out_.tokens.size()) {
            file.fail(field, fmt::format("a token id below {}", out_.tokens.size()));
        }
        return found->get<int64_t>();
    }

    // Whether a template of tokenizer.json begins a text with the token.
    std::optional<bool> template_adds_bos(std::optional<int64_t> bos) const {
        if (!bos) return std::nullopt;
        const JsonObject processor = tokenizer_.object("post_processor");
        if (begins_with(processor, *bos)) return true;
        const json* list = processor.find("processors");
        if (!list || !list->is_array()) return false;
        for (const json& entry : *list) {
            if (begins_with(JsonObject(tokenizer_.file(), entry), *bos)) return true;
        }
        return false;
    }

    bool begins_with(const JsonObject& processor, int64_t bos) const {
        const json* single = processor.find("single");
        if (processor.text("type", "") != "TemplateProcessing" || !single || !single->is_array() ||
            single->empty()) {
            return false;
        }
        const JsonObject first(tokenizer_.file(), single->front());
        const JsonObject token = first.object("SpecialToken");
        return token.text("id", "") == out_.tokens[static_cast<size_t>(bos)];
    }

    // One template, or a list of named ones of which "default" counts; newer folders have it in a
    // file of its own.
    std::string chat_template() const {
        std::error_code ignored;
        if (fs::exists(template_file_, ignored)) {
            const FileMapping file(template_file_.string(), "a chat template");
            if (file.size() > kMostTemplateBytes) {
                throw Error(fmt::format("{}: is {} bytes long, expected at most {}",
                                        printable(template_file_.string(), 300), file.size(),
                                        kMostTemplateBytes));
            }
            return {reinterpret_cast<const char*>(file.data()), file.size()};
        }
        const json* found = settings_->find("chat_template");
        if (!found || found->is_string()) return settings_->text("chat_template", "");
        if (!found->is_array()) settings_->fail("chat_template", "a text or a list");
        for (const json& entry : *found) {
            const JsonObject named(settings_->file(), entry);
            if (named.text("name", "") == "default") return named.text("template", "");
        }
        return "";
    }

    const JsonObject& tokenizer_;
    TokenizerKeys& out_;
    OptionalJson settings_, map_, generation_, config_;
    fs::path template_file_;
};

}  // namespace

void read_special_tokens(const fs::path& folder, const JsonObject& tokenizer,
                         TokenizerKeys& vocabulary, std::vector<std::string>* notes) {
    SpecialTokens(folder, tokenizer, vocabulary).read(notes);
}

}  // namespace tritbench
