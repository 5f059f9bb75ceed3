// tritbench run: text from a prompt, or a conversation, with llama.cpp's options.
#include <fmt/format.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "harness/cli/commands.h"
#include "harness/cli/line_reader.h"
#include "harness/cli/model_flags.h"
#include "harness/environment.h"
#include "harness/generation.h"
#include "harness/progress.h"
#include "kernels/api/error.h"
#include "model/printable.h"
#include "model/tokenizer/chat.h"

namespace tritbench::cli {

namespace {

constexpr int64_t kDefaultContext = 2048;
constexpr int64_t kBatch = 256;

struct GenerateFlags {
    ModelFlags model;
    std::string prompt, prompt_file, system, chat_template;
    bool has_prompt = false, chat = false;
    int64_t tokens = -1;
    int64_t context = 0;
    SamplerOptions sampler;
};

// Written at once: an answer is read while it comes.
void show(std::string_view text) {
    if (std::fwrite(text.data(), 1, text.size(), stdout) != text.size() ||
        std::fflush(stdout) != 0) {
        throw Error("standard output: cannot write the text (disk full?)");
    }
}

// As llama.cpp: the last line feed of a file, which editors add, is not part of the prompt.
std::string prompt_text(const GenerateFlags& flags) {
    if (flags.has_prompt && !flags.prompt_file.empty()) {
        throw Error("run: give either -p TEXT or -f FILE");
    }
    if (flags.prompt_file.empty()) return flags.prompt;
    std::string text = read_file(flags.prompt_file, "a prompt");
    if (text.ends_with('\n')) text.pop_back();
    return text;
}

// The model, its tokenizer and one session of it.
class Runner {
  public:
    explicit Runner(const GenerateFlags& flags)
        : flags_(flags),
          file_(std::make_shared<const GgufFile>(flags.model.file)),
          plan_(choose_plan(flags.model, *file_)),
          tokenizer_(load_tokenizer(*file_)),
          sampler_(flags.sampler),
          pool_(flags.model.thread_count(), flags.model.cpus()),
          model_(load_model(flags.model, file_, plan_, pool_)),
          context_(flags.context != 0 ? flags.context
                                      : std::min(kDefaultContext, model_->config().context)),
          session_(model_, plan_, pool_,
                   {context_, std::min(kBatch, context_), 1, flags.model.cache()}),
          generation_(session_, *tokenizer_, sampler_, context_) {
        if (tokenizer_->size() > model_->config().vocab) {
            throw Error(fmt::format(
                "{}: {} tokens in the vocabulary; expected at most the {} of "
                "the embedding",
                printable(flags.model.file, 300), tokenizer_->size(), model_->config().vocab));
        }
    }

    int prompt(const std::string& text);
    int chat(const std::string& first);

  private:
    std::vector<int32_t> encode(const std::string& text) const;
    StopReason answer(const std::vector<int32_t>& tokens, std::string* text);
    ChatStyle chat_style() const;
    void say_context_full() const;
    void say_times() const;

    const GenerateFlags& flags_;
    std::shared_ptr<const GgufFile> file_;
    Plan plan_;
    std::unique_ptr<const Tokenizer> tokenizer_;
    Sampler sampler_;
    ThreadPool pool_;
    std::shared_ptr<const Model> model_;
    int64_t context_;
    Session session_;
    Generation generation_;
};

// A text that begins with the begin-of-text token itself gets no second one.
std::vector<int32_t> Runner::encode(const std::string& text) const {
    std::vector<int32_t> tokens = tokenizer_->encode(text, true);
    const std::optional<int32_t> bos = tokenizer_->add_bos() ? tokenizer_->bos() : std::nullopt;
    if (bos && (tokens.empty() || tokens.front() != *bos)) tokens.insert(tokens.begin(), *bos);
    return tokens;
}

// Shows the answer and, if wanted, keeps it.
StopReason Runner::answer(const std::vector<int32_t>& tokens, std::string* text) {
    const int64_t most = flags_.tokens < 0 ? std::numeric_limits<int64_t>::max() : flags_.tokens;
    const StopReason reason = generation_.answer(tokens, most, [&](std::string_view piece) {
        show(piece);
        if (text != nullptr) *text += piece;
    });
    show("\n");
    return reason;
}

void Runner::say_context_full() const {
    fmt::print(stderr,
               "tritbench: the context of {} tokens is full, the text ends here; -c makes it "
               "longer, up to the model's {}\n",
               context_, model_->config().context);
}

void Runner::say_times() const {
    fmt::print(stderr, "tritbench: {}\n", generation_.times().text(peak_rss_bytes()));
}

int Runner::prompt(const std::string& text) {
    const std::vector<int32_t> tokens = encode(text);
    if (tokens.empty()) {
        throw Error("prompt: empty, and the model has no begin-of-text token; expected some text");
    }
    if (static_cast<int64_t>(tokens.size()) > context_) {
        throw Error(
            fmt::format("prompt: {} tokens; the context holds {} (-c), the model's own "
                        "limit is {}",
                        tokens.size(), context_, model_->config().context));
    }
    install_interrupt_handler("");
    const StopReason reason = answer(tokens, nullptr);
    if (reason == StopReason::ContextFull) say_context_full();
    say_times();
    return reason == StopReason::Interrupted ? kInterrupted : 0;
}

ChatStyle Runner::chat_style() const {
    if (!flags_.chat_template.empty()) return chat_style_named(flags_.chat_template);
    if (const auto style = detect_chat_style(*file_)) return *style;
    throw Error(
        fmt::format("{}: no chat template that is known; give --chat-template bitnet or "
                    "llama3",
                    printable(flags_.model.file, 300)));
}

// Every turn renders the whole conversation again: what the session holds of it already is found
// by its tokens, so that no template needs to be known here.
int Runner::chat(const std::string& first) {
    const ChatStyle style = chat_style();
    const bool terminal = isatty(STDIN_FILENO) == 1 && isatty(STDERR_FILENO) == 1;
    std::vector<ChatMessage> messages;
    if (!flags_.system.empty()) messages.push_back({ChatRole::System, flags_.system});
    LineReader lines;
    install_interrupt_handler("");
    std::optional<std::string> line = first;
    StopReason reason = StopReason::EndOfAnswer;
    int signal_number = 0;
    while (line) {
        if (!line->empty()) {
            messages.push_back({ChatRole::User, *line});
            std::string text;
            reason = answer(encode(render_chat(style, messages, true)), &text);
            messages.push_back({ChatRole::Assistant, text});
            if (reason == StopReason::ContextFull) {
                say_context_full();
                break;
            }
            // Ctrl-C was meant for the answer; the end of the program was meant for the program.
            if (reason == StopReason::Interrupted) signal_number = take_interrupt();
            if (signal_number == SIGTERM) break;
        }
        if (terminal) fmt::print(stderr, "> ");
        line = lines.next();
    }
    if (terminal && !line) fmt::print(stderr, "\n");
    say_times();
    return interrupted() || signal_number == SIGTERM ? kInterrupted : 0;
}

void add_sampler_flags(CLI::App& command, SamplerOptions& o) {
    const char* group = "Sampling (llama.cpp's order: penalty, top-k, top-p, min-p, temperature)";
    command.add_option("--temp", o.temperature, "Temperature; 0: always the most likely token")
        ->capture_default_str()
        ->group(group);
    command.add_option("--top-k", o.top_k, "Only the k most likely tokens; 0: all")
        ->capture_default_str()
        ->group(group);
    command.add_option("--top-p", o.top_p, "Only the most likely tokens that make up p; 1: all")
        ->capture_default_str()
        ->group(group);
    command.add_option("--min-p", o.min_p, "Only tokens p times as likely as the first; 0: all")
        ->capture_default_str()
        ->group(group);
    command.add_option("--repeat-penalty", o.repeat_penalty, "Against repetition; 1: none")
        ->capture_default_str()
        ->group(group);
    command.add_option("--repeat-last-n", o.repeat_last_n, "Tokens that the penalty looks back on")
        ->capture_default_str()
        ->group(group);
    command.add_option("--seed", o.seed, "The same seed gives the same text")
        ->check(CLI::NonNegativeNumber)  // which the conversion to unsigned would accept
        ->capture_default_str()
        ->group(group);
}

}  // namespace

void add_run(CLI::App& app, int* exit_code) {
    auto* command =
        app.add_subcommand("run", "Generate text from a prompt, or hold a conversation");
    auto flags = std::make_shared<GenerateFlags>();
    add_model_flags(*command, flags->model);
    auto* prompt = command->add_option("-p,--prompt", flags->prompt, "The prompt");
    command->add_option("-f,--file", flags->prompt_file, "A file with the prompt");
    command
        ->add_option("-n,--n-predict", flags->tokens,
                     "Most tokens of an answer; -1: until it ends or the context is full")
        ->check(CLI::Range(int64_t{-1}, std::numeric_limits<int64_t>::max()))
        ->capture_default_str();
    command
        ->add_option("-c,--ctx-size", flags->context,
                     "Tokens of prompt and answers together (default: 2048, or what the model "
                     "allows)")
        ->check(CLI::PositiveNumber);
    command->add_flag("--conversation", flags->chat,
                      "Also -cnv: chat, one line of standard input for each turn; -p is the first");
    command->add_option("--system-prompt", flags->system, "Also -sys: what a chat begins with");
    command->add_option("--chat-template", flags->chat_template,
                        "bitnet or llama3 (default: the one in the file)");
    add_sampler_flags(*command, flags->sampler);
    command->callback([flags, prompt, exit_code] {
        flags->has_prompt = prompt->count() > 0;
        const std::string text = prompt_text(*flags);
        if (!flags->chat && !flags->has_prompt && flags->prompt_file.empty()) {
            throw Error("run: give a prompt (-p TEXT or -f FILE), or -cnv for a conversation");
        }
        if (!flags->chat && !flags->system.empty()) {
            throw Error("run: -sys is for a conversation; give -cnv too");
        }
        Runner runner(*flags);
        *exit_code = flags->chat ? runner.chat(text) : runner.prompt(text);
    });
}

}  // namespace tritbench::cli
