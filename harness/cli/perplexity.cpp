// tritbench perplexity: how well a model predicts a text, comparable with llama.cpp's figure.
#include <fmt/format.h>

#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "harness/cli/commands.h"
#include "harness/cli/model_flags.h"
#include "harness/progress.h"
#include "kernels/api/error.h"
#include "model/perplexity.h"
#include "model/printable.h"

namespace tritbench::cli {

namespace {

struct PerplexityFlags {
    ModelFlags model;
    std::string text_file;
    int64_t context = 512;
    int64_t chunks = -1;
    bool json = false;
};

struct Result {
    PerplexityScore score;
    int64_t tokens = 0;  // of the text
    int64_t chunks = 0;  // that were scored
    bool begin_of_text = false, interrupted = false;
};

// The tokens of the whole text, begin-of-text in front if the model wants it.
std::vector<int32_t> text_tokens(const PerplexityFlags& flags, const Tokenizer& tokenizer,
                                 std::optional<int32_t> bos) {
    std::string text = read_file(flags.text_file, "a text");
    if (text.ends_with('\n')) text.pop_back();  // as llama.cpp reads a prompt
    std::vector<int32_t> tokens = tokenizer.encode(text, false);
    if (bos) tokens.insert(tokens.begin(), *bos);
    if (static_cast<int64_t>(tokens.size()) < 2 * flags.context) {
        throw Error(fmt::format("{}: {} tokens; expected at least {}, twice the context (-c)",
                                printable(flags.text_file, 300), tokens.size(), 2 * flags.context));
    }
    return tokens;
}

Result measure(const PerplexityFlags& flags, const Plan& plan,
               const std::shared_ptr<const GgufFile>& file) {
    const auto tokenizer = load_tokenizer(*file);
    const auto bos = tokenizer->add_bos() ? tokenizer->bos() : std::nullopt;
    const std::vector<int32_t> tokens = text_tokens(flags, *tokenizer, bos);
    ThreadPool pool(flags.model.thread_count(), flags.model.cpus());
    const auto model = load_model(flags.model, file, plan, pool);
    PerplexityRun run(model, plan, pool, flags.context, bos, flags.model.cache());

    Result result;
    result.tokens = static_cast<int64_t>(tokens.size());
    result.begin_of_text = bos.has_value();
    const int64_t possible = result.tokens / flags.context;
    const int64_t chunks = flags.chunks < 0 ? possible : std::min(flags.chunks, possible);
    install_interrupt_handler();
    Progress progress("perplexity", static_cast<uint64_t>(chunks * flags.context), "tokens");
    for (int64_t chunk = 0; chunk < chunks; ++chunk) {
        const auto part = std::span<const int32_t>(tokens).subspan(
            static_cast<size_t>(chunk * flags.context), static_cast<size_t>(flags.context));
        const std::string note =
            chunk == 0 ? "" : fmt::format("so far {:.4f}", run.score().perplexity());
        const bool complete = run.add_chunk(part, [&](int64_t done) {
            progress.update(static_cast<uint64_t>(chunk * flags.context + done), note);
            return !interrupted();
        });
        if (!complete) break;
        ++result.chunks;
    }
    result.interrupted = result.chunks < chunks;
    progress.finish(result.interrupted
                        ? fmt::format("interrupted after {} of {} chunks", result.chunks, chunks)
                        : "");
    result.score = run.score();
    return result;
}

void print_json(const PerplexityFlags& flags, const Plan& plan, const Result& result) {
    using nlohmann::json;
    const PerplexityScore& score = result.score;
    const auto number = [](std::optional<double> value) { return value ? json(*value) : json(); };
    const json out = {{"model", flags.model.file},
                      {"kernel", kernel_name(plan, 1)},
                      {"plan", plan.name},
                      {"cache_type", flags.model.cache_type},
                      {"text", flags.text_file},
                      {"tokens", result.tokens},
                      {"context", flags.context},
                      {"begin_of_text", result.begin_of_text},
                      {"chunks", result.chunks},
                      {"interrupted", result.interrupted},
                      {"scored", score.count()},
                      {"nll", score.mean()},
                      {"nll_error", number(score.mean_error())},
                      {"perplexity", score.perplexity()},
                      {"perplexity_error", number(score.perplexity_error())}};
    fmt::print("{}\n", out.dump(-1, ' ', false, json::error_handler_t::replace));
}

// The words of llama.cpp's last line, so that what reads one reads the other.
void print_text(const PerplexityFlags& flags, const Result& result) {
    fmt::print("{} chunks of {} tokens, {} tokens scored\n", result.chunks, flags.context,
               result.score.count());
    const auto error = result.score.perplexity_error();
    fmt::print("{} estimate: PPL = {:.4f}{}\n", result.interrupted ? "Interrupted" : "Final",
               result.score.perplexity(), error ? fmt::format(" +/- {:.5f}", *error) : "");
}

int run_perplexity(const PerplexityFlags& flags) {
    if (flags.chunks == 0) throw Error("--chunks 0: expected 1 or more, or -1 for all");
    const auto file = std::make_shared<const GgufFile>(flags.model.file);
    const Plan plan = choose_plan(flags.model, *file);
    const Result result = measure(flags, plan, file);
    if (result.score.count() > 0) {
        if (flags.json) {
            print_json(flags, plan, result);
        } else {
            print_text(flags, result);
        }
    }
    return result.interrupted ? kInterrupted : 0;
}

}  // namespace

void add_perplexity(CLI::App& app, int* exit_code) {
    auto* command = app.add_subcommand(
        "perplexity", "Perplexity of a text with standard error, chunked as llama.cpp does");
    auto flags = std::make_shared<PerplexityFlags>();
    add_model_flags(*command, flags->model);
    command->add_option("-f,--file", flags->text_file, "The text")->required();
    command
        ->add_option("-c,--ctx-size", flags->context,
                     "Tokens of a chunk; those of its second half are scored")
        ->check(CLI::Range(kShortestPerplexityContext, int64_t{1} << 30))
        ->capture_default_str();
    command->add_option("--chunks", flags->chunks, "Most chunks to score; -1: all")
        ->check(CLI::Range(int64_t{-1}, int64_t{1} << 40))
        ->capture_default_str();
    command->add_flag("--json", flags->json, "The result as one JSON object");
    command->callback([flags, exit_code] { *exit_code = run_perplexity(*flags); });
}

}  // namespace tritbench::cli
