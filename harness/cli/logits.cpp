// tritbench logits: token ids in, logits out, for comparison with other engines.
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <iterator>
#include <memory>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "harness/cli/commands.h"
#include "harness/cli/model_flags.h"
#include "kernels/api/error.h"
#include "model/logits.h"
#include "model/printable.h"
#include "model/transformer.h"

namespace tritbench::cli {

namespace {

struct LogitsOptions {
    ModelFlags model;
    std::string tokens, tokens_file, output;
    int64_t batch = 512;
    bool all = false;
};

// Ids separated by commas or white space.
std::vector<int32_t> parse_tokens(const std::string& text, const std::string& origin) {
    constexpr const char* kSeparators = ", \t\r\n";
    std::vector<int32_t> tokens;
    for (size_t at = text.find_first_not_of(kSeparators); at != std::string::npos;) {
        const size_t end = std::min(text.find_first_of(kSeparators, at), text.size());
        int32_t token = 0;
        const auto [stop, problem] = std::from_chars(text.data() + at, text.data() + end, token);
        if (problem != std::errc() || stop != text.data() + end) {
            throw Error(
                fmt::format("{}: '{}' is not a token id; expected whole numbers "
                            "separated by commas",
                            origin, printable(text.substr(at, end - at), 40)));
        }
        tokens.push_back(token);
        at = text.find_first_not_of(kSeparators, end);
    }
    if (tokens.empty()) throw Error(fmt::format("{}: no token ids; expected at least one", origin));
    return tokens;
}

std::vector<int32_t> read_tokens(const LogitsOptions& o) {
    if (o.tokens.empty() == o.tokens_file.empty()) {
        throw Error("logits: give either --tokens 1,2,3 or --tokens-file FILE");
    }
    if (!o.tokens.empty()) return parse_tokens(o.tokens, "--tokens");
    return parse_tokens(read_file(o.tokens_file, "token ids"), o.tokens_file);
}

// A file that appears whole or not at all; "" is standard output.
class Output {
  public:
    explicit Output(const std::string& path) : path_(path) {
        if (path.empty()) return;
        const std::filesystem::path name(path);
        if (name.extension() != ".json" && name.extension() != ".bin") {
            throw Error(
                fmt::format("-o {}: expected a name that ends in .json or .bin", printable(path)));
        }
        partial_ = fmt::format("{}.partial-{}", path, getpid());
        file_ = std::fopen(partial_.c_str(), "wb");
        if (file_ == nullptr) {
            throw Error(fmt::format("-o {}: cannot write there: {}", printable(path, 300),
                                    std::strerror(errno)));
        }
    }
    ~Output() {
        if (file_ == nullptr) return;
        std::fclose(file_);
        std::remove(partial_.c_str());
    }
    Output(const Output&) = delete;
    Output& operator=(const Output&) = delete;

    bool binary() const { return path_.ends_with(".bin"); }

    void write(const void* data, size_t bytes) {
        std::FILE* to = file_ != nullptr ? file_ : stdout;
        if (std::fwrite(data, 1, bytes, to) != bytes || std::fflush(to) != 0) fail();
    }

    void finish() {
        if (file_ == nullptr) return;
        std::FILE* file = std::exchange(file_, nullptr);
        if (std::fclose(file) != 0 || std::rename(partial_.c_str(), path_.c_str()) != 0) {
            std::remove(partial_.c_str());
            fail();
        }
    }

  private:
    [[noreturn]] void fail() const {
        throw Error(fmt::format("{}: cannot write the logits (disk full?)",
                                path_.empty() ? "standard output" : path_));
    }

    std::string path_, partial_;
    std::FILE* file_ = nullptr;
};

// Logits that no right model gives are reported and not handed on.
void require_sound(std::span<const float> logits, int64_t vocab, const std::string& model) {
    for (size_t i = 0; i < logits.size(); ++i) {
        if (std::isfinite(logits[i])) continue;
        const auto width = static_cast<size_t>(vocab);
        throw Error(
            fmt::format("{}: logit {} of row {} is {}; expected finite numbers: a weight "
                        "of the model is not finite",
                        model, i % width, i / width, logits[i]));
    }
    const auto width = static_cast<size_t>(vocab);
    for (size_t row = 0; row < logits.size() / width; ++row) {
        const std::string problem = logits_problem(logits.subspan(row * width, width));
        if (problem.empty()) continue;
        throw Error(fmt::format("{}: row {}: {}; expected those of a model with weights", model,
                                row, problem));
    }
}

std::string to_json(const LogitsOptions& o, const Plan& plan, std::span<const int32_t> tokens,
                    std::span<const float> logits, int64_t vocab) {
    using nlohmann::json;
    std::string out = fmt::format(
        "{{\"model\":{},\"kernel\":{},\"plan\":{},\"tokens\":{},\"vocab\":{},\"logits\":[",
        json(o.model.file).dump(-1, ' ', false, json::error_handler_t::replace),
        json(kernel_name(plan, 1)).dump(), json(plan.name).dump(),
        json(std::vector<int32_t>(tokens.begin(), tokens.end())).dump(), vocab);
    for (size_t i = 0; i < logits.size(); ++i) {
        const size_t column = i % static_cast<size_t>(vocab);
        if (column == 0) out += i == 0 ? "[" : "],[";
        // The shortest text that reads back to the same float.
        fmt::format_to(std::back_inserter(out), "{}{}", column == 0 ? "" : ",", logits[i]);
    }
    out += "]]}\n";
    return out;
}

void run_logits(const LogitsOptions& o) {
    const std::vector<int32_t> tokens = read_tokens(o);
    const auto file = std::make_shared<const GgufFile>(o.model.file);
    const Plan plan = choose_plan(o.model, *file);
    Output output(o.output);
    ThreadPool pool(o.model.thread_count(), o.model.cpus());
    const auto model = load_model(o.model, file, plan, pool);
    const int64_t vocab = model->config().vocab;
    Session session(model, plan, pool,
                    {static_cast<int64_t>(tokens.size()), o.batch, 1, o.model.cache()});

    std::vector<float> logits;
    if (o.all) {
        logits.resize(tokens.size() * static_cast<size_t>(vocab));
        session.forward_all(tokens, logits);
    } else {
        const std::span<const float> last = session.forward(tokens);
        logits.assign(last.begin(), last.end());
    }
    require_sound(logits, vocab, o.model.file);
    if (output.binary()) {
        output.write(logits.data(), logits.size() * sizeof(float));
    } else {
        const std::string text = to_json(o, plan, tokens, logits, vocab);
        output.write(text.data(), text.size());
    }
    output.finish();
}

}  // namespace

void add_logits(CLI::App& app, int* /*exit_code*/) {
    auto* command =
        app.add_subcommand("logits", "Token ids in, logits out, for comparison with other engines");
    auto o = std::make_shared<LogitsOptions>();
    add_model_flags(*command, o->model);
    command->add_option("--tokens", o->tokens, "Token ids: 1,2,3");
    command->add_option("--tokens-file", o->tokens_file,
                        "File of token ids, separated by commas or white space");
    command->add_option("--batch", o->batch, "Most tokens computed together")
        ->capture_default_str();
    command->add_flag("--all", o->all, "Logits of every token, not only of the last");
    command->add_option("-o,--output", o->output,
                        "FILE.json, or FILE.bin for raw float32 [rows][vocab] (default: JSON to "
                        "standard output)");
    command->callback([o] { run_logits(*o); });
}

}  // namespace tritbench::cli
