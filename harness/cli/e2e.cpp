// tritbench e2e: complete models, with the flags of llama-bench.
#include <fmt/format.h>

#include <memory>

#include "harness/cli/commands.h"
#include "harness/cli/model_flags.h"
#include "harness/cli/run_command.h"
#include "harness/plan.h"
#include "harness/report.h"
#include "harness/statistics.h"
#include "kernels/api/error.h"
#include "kernels/api/registry.h"

namespace tritbench::cli {
namespace {

struct E2eFlags {
    std::vector<std::string> files;
    std::string prompts = "128";
    std::string decodes = "32";
    std::string depths = "0";
    std::string threads = "1";
    std::string kernels = "*,!*_scalar";
    std::string output = "md";
    // One more than llama-bench's 5: the smallest number with a 95% interval of the median.
    int repetitions = kSmallestIntervalSample;
    LoadFlags load;
    RunFlags run;

    std::string command_line() const {
        return fmt::format("-m {} -p {} -n {} -d {} -t {} -r {} --kernel {}",
                           shell_word(fmt::format("{}", fmt::join(files, ","))),
                           shell_word(prompts), shell_word(decodes), shell_word(depths),
                           shell_word(threads), repetitions, shell_word(kernels)) +
               load.command_line();
    }
};

// Counts above 0; 0 leaves the phase out, as in llama-bench.
std::vector<int64_t> counts(const std::string& text, const std::string& where) {
    std::vector<int64_t> values;
    for (const std::string& part : split_list(text)) {
        if (const int64_t value = parse_count(part, 0, where); value > 0) values.push_back(value);
    }
    return values;
}

ModelAxes axes_of(const E2eFlags& options) {
    ModelAxes axes;
    axes.spec = "e2e";
    axes.kernels = match_kernels(options.kernels);
    axes.prefill = counts(options.prompts, "-p");
    axes.decode = counts(options.decodes, "-n");
    if (axes.prefill.empty() && axes.decode.empty()) {
        throw Error("-p 0 -n 0: nothing to measure; give a prompt length or a number of tokens");
    }
    axes.depths.clear();
    for (const std::string& text : split_list(options.depths)) {
        axes.depths.push_back(parse_count(text, 0, "-d"));
    }
    axes.threads.clear();
    for (const std::string& text : split_list(options.threads)) {
        for (const int t : parse_threads(text, "-t")) axes.threads.push_back(t);
    }
    const LoadOptions load = options.load.options();
    for (const std::string& file : options.files) axes.models.push_back(model_file(file, load));
    axes.repetitions = options.repetitions;
    return axes;
}

}  // namespace

void add_e2e(CLI::App& app, int* exit_code) {
    auto options = std::make_shared<E2eFlags>();
    CLI::App* command = app.add_subcommand(
        "e2e", "Measure complete models: tokens per second of prefill (pp) and decode (tg)");
    command->add_option("-m,--model", options->files, "GGUF files, comma separated")
        ->required()
        ->delimiter(',');
    command->add_option("-p,--n-prompt", options->prompts, "Prompt lengths; 0: no prefill")
        ->capture_default_str();
    command->add_option("-n,--n-gen", options->decodes, "Tokens to decode; 0: no decode")
        ->capture_default_str();
    command->add_option("-d,--n-depth", options->depths, "Tokens in the KV cache before")
        ->capture_default_str();
    command->add_option("-t,--threads", options->threads, "Thread counts: 1,2 or 1..n or 1..n*2")
        ->capture_default_str();
    command
        ->add_option("-k,--kernel", options->kernels, "Kernels: globs, comma separated, ! excludes")
        ->capture_default_str();
    command->add_option("-r,--repetitions", options->repetitions, "Repetitions, interleaved")
        ->check(CLI::Range(1, 1000000))
        ->capture_default_str();
    command->add_option("-o,--output", options->output, "csv, json, jsonl or md")
        ->check(CLI::IsMember({"csv", "json", "jsonl", "md"}))
        ->capture_default_str();
    add_load_flags(*command, options->load);
    add_head_flag(*command, options->load);
    add_run_flags(*command, options->run, "--csv");
    command->callback([options, exit_code] {
        const std::vector<Cell> cells = model_cells(axes_of(*options));
        const RunOptions run = run_options(options->run, "e2e", options->command_line());
        const auto journal = open_journal(run);
        const RunResult result =
            run_and_summarise(cells, run, journal.get(),
                              fmt::format("tritbench e2e {} --csv {}", options->command_line(),
                                          shell_word(options->run.csv)));
        fmt::print("{}", format_rows(result.rows, options->output));
        *exit_code = result.exit_code();
    });
}

}  // namespace tritbench::cli
