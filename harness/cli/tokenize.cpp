// tritbench tokenize: the token ids of a text, for comparison with other engines.
#include <fmt/format.h>

#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "harness/cli/commands.h"
#include "harness/cli/model_flags.h"
#include "kernels/api/error.h"
#include "model/printable.h"
#include "model/tokenizer/tokenizer.h"
#include "model/tokenizer/utf8.h"

namespace tritbench::cli {
namespace {

struct TokenizeFlags {
    std::string model, text, text_file;
    bool parse_special = false, bos = false, as_json = false;
};

void print_json(const TokenizeFlags& flags, const Tokenizer& tokenizer,
                const std::vector<int32_t>& tokens) {
    using nlohmann::json;
    auto pieces = json::array();
    for (const int32_t token : tokens) pieces.push_back(tokenizer.piece(token));
    const json out = {{"model", flags.model},
                      {"vocab", tokenizer.size()},
                      {"add_bos", tokenizer.add_bos()},
                      {"tokens", tokens},
                      {"pieces", pieces}};
    // A piece may be a part of a UTF-8 sequence.
    fmt::print("{}\n", out.dump(-1, ' ', false, json::error_handler_t::replace));
}

void tokenize(const TokenizeFlags& flags, bool has_text) {
    if (has_text == !flags.text_file.empty()) {
        throw Error("tokenize: give either a text or -f FILE");
    }
    const std::string text = has_text ? flags.text : read_file(flags.text_file, "a text");
    const auto tokenizer = load_tokenizer(GgufFile(flags.model));
    std::vector<int32_t> tokens = tokenizer->encode(text, flags.parse_special);
    if (flags.bos) {
        if (!tokenizer->bos()) {
            throw Error(
                fmt::format("--bos: {} has no begin-of-text token", printable(flags.model, 300)));
        }
        tokens.insert(tokens.begin(), *tokenizer->bos());
    }
    if (flags.as_json) {
        print_json(flags, *tokenizer, tokens);
        return;
    }
    for (const int32_t token : tokens) {
        fmt::print("{:>8}  '{}'\n", token,
                   printable(with_replacements(tokenizer->piece(token)), 200));
    }
}

}  // namespace

void add_tokenize(CLI::App& app, int* /*exit_code*/) {
    auto* command = app.add_subcommand("tokenize", "Print the token ids of a text");
    auto flags = std::make_shared<TokenizeFlags>();
    command->add_option("-m,--model", flags->model, "GGUF file with a vocabulary")->required();
    auto* text = command->add_option("text", flags->text, "the text");
    command->add_option("-f,--file", flags->text_file, "file with the text");
    command->add_flag("--parse-special", flags->parse_special,
                      "control tokens spelt in the text, such as <|eot_id|>, are those tokens");
    command->add_flag("--bos", flags->bos, "put the begin-of-text token first");
    command->add_flag("--json", flags->as_json, "print JSON");
    command->callback([flags, text] { tokenize(*flags, text->count() > 0); });
}

}  // namespace tritbench::cli
