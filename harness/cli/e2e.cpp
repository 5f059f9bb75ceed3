// tritbench e2e: complete models, with the flags of llama-bench.
#include <fmt/format.h>

#include <memory>

#include "harness/aa_control.h"
#include "harness/cli/commands.h"
#include "harness/cli/model_flags.h"
#include "harness/cli/row_format.h"
#include "harness/cli/run_command.h"
#include "harness/preset_models.h"
#include "harness/progress.h"
#include "harness/statistics.h"
#include "kernels/api/error.h"
#include "kernels/api/registry.h"

namespace tritbench::cli {
namespace {

struct E2eFlags {
    std::vector<std::string> files, presets;
    std::string mode = "auto", format = "i2_s", models_folder = "models";
    LayerWindow window;
    std::string prompts = "128";
    std::string decodes = "32";
    std::string depths = "0";
    std::vector<std::string> pairs;
    std::string threads = "1";
    std::vector<std::string> pins;
    std::string batches = std::to_string(kPrefillBatch);
    std::string sequences = "1";
    std::string kernels;
    std::string plans = "default";
    std::string cache_types = "f16";
    std::string heads = "stored";
    std::string output = "md";
    // One more than llama-bench's 5: the smallest number with a 95% interval of the median.
    int repetitions = kSmallestIntervalSample;
    LoadFlags load;
    RunFlags run;

    std::string command_line() const {
        std::string line =
            fmt::format("{} -p {} -n {} -d {} -t {} -r {} -b {} -np {} --cache-type {} --head {}",
                        models(), shell_word(prompts), shell_word(decodes), shell_word(depths),
                        shell_word(threads), repetitions, shell_word(batches),
                        shell_word(sequences), shell_word(cache_types), shell_word(heads));
        for (const std::string& pair : pairs) line += " -pg " + shell_word(pair);
        line +=
            kernels.empty() ? " --plan " + shell_word(plans) : " --kernel " + shell_word(kernels);
        return line + pins_command_line(pins) + load.command_line() + run.stopping_flags();
    }

    std::string models() const {
        std::string text = "-m " + shell_word(fmt::format("{}", fmt::join(files, ",")));
        if (!presets.empty()) {
            text = fmt::format("--preset {} --mode {} --model-format {} --models-folder {}",
                               shell_word(fmt::format("{}", fmt::join(presets, ","))),
                               shell_word(mode), shell_word(format), shell_word(models_folder));
        }
        if (window.distinct > 0) text += fmt::format(" --window {}", window.distinct);
        if (window.run > 0) text += fmt::format(" --layers-run {}", window.run);
        return text;
    }
};

std::vector<int64_t> e2e_counts(const std::string& text, int64_t least, const std::string& where) {
    std::vector<int64_t> values;
    for (const std::string& part : split_list(text)) {
        for (const int64_t value : parse_counts(part, least, where)) values.push_back(value);
    }
    return values;
}

// Counts above 0; 0 leaves the phase out, as in llama-bench.
std::vector<int64_t> phase_counts(const std::string& text, const std::string& where) {
    std::vector<int64_t> values = e2e_counts(text, 0, where);
    std::erase(values, 0);
    return values;
}

// After the other axes: a mode that is chosen depends on what is to be timed.
void add_models(const E2eFlags& options, ModelAxes& axes) {
    if (options.files.empty() == options.presets.empty()) {
        throw Error("e2e needs either -m FILE.gguf or --preset NAME");
    }
    LoadOptions load = options.load.options();
    load.window = options.window;
    for (const std::string& file : options.files) axes.models.push_back(model_file(file, load));
    PresetRequest request;
    request.modes = split_list(options.mode);
    request.window = options.window;
    request.format = options.format;
    request.folder = options.models_folder;
    const std::string& budget = options.run.budget;
    if (!budget.empty()) request.budget_s = parse_duration(budget, "--budget");
    for (const std::string& preset : options.presets) {
        for (ModelSource& model : preset_models(preset, request, axes, "--mode")) {
            if (!model.why_mode.empty()) {
                fmt::print(stderr, "tritbench: {}: {}: {}\n", preset, mode_name(model.mode),
                           model.why_mode);
            }
            axes.models.push_back(std::move(model));
        }
    }
}

ModelAxes e2e_axes(const E2eFlags& options) {
    ModelAxes axes;
    axes.spec = "e2e";
    if (options.kernels.empty()) {
        axes.plans = split_list(options.plans);
    } else {
        axes.kernels = match_kernels(options.kernels);
    }
    axes.prefill = phase_counts(options.prompts, "-p");
    axes.decode = phase_counts(options.decodes, "-n");
    for (const std::string& pair : options.pairs) axes.pairs.push_back(parse_pair(pair, "-pg"));
    if (axes.prefill.empty() && axes.decode.empty() && axes.pairs.empty()) {
        throw Error("-p 0 -n 0: nothing to measure; give a prompt length or a number of tokens");
    }
    axes.depths = e2e_counts(options.depths, 0, "-d");
    axes.prefill_batches = e2e_counts(options.batches, 1, "-b");
    axes.sequences = e2e_counts(options.sequences, 1, "-np");
    axes.cache_types.clear();
    for (const std::string& type : split_list(options.cache_types)) {
        axes.cache_types.push_back(parse_cache_type(type, "--cache-type"));
    }
    axes.heads.clear();
    for (const std::string& head : split_list(options.heads)) {
        axes.heads.push_back(parse_head(head));
    }
    axes.threads.clear();
    for (const std::string& text : split_list(options.threads)) {
        for (const int t : parse_threads(text, "-t")) axes.threads.push_back(t);
    }
    axes.pins = pin_policies(options.pins);
    axes.repetitions = options.repetitions;
    add_models(options, axes);
    return axes;
}

void add_test_flags(CLI::App& command, E2eFlags& options) {
    command.add_option("-p,--n-prompt", options.prompts, "Prompt lengths; 0: no prefill")
        ->capture_default_str();
    command.add_option("-n,--n-gen", options.decodes, "Tokens to decode; 0: no decode")
        ->capture_default_str();
    command
        .add_option(
            "--prompt-and-gen", options.pairs,
            "Also -pg: a prompt and tokens after it, timed together: PP,TG; may be repeated")
        ->allow_extra_args(false);
    command.add_option("-d,--n-depth", options.depths, "Tokens in the KV cache before")
        ->capture_default_str();
    command
        .add_option("-b,--batch-size", options.batches,
                    "Most tokens of a prompt that are multiplied together")
        ->capture_default_str();
    command
        .add_option("--parallel", options.sequences,
                    "Also -np: sequences that are decoded together, one token of each in a step")
        ->capture_default_str();
}

void add_mode_flags(CLI::App& command, E2eFlags& options) {
    const char* group = "How much of a model is there (experiments/README.md)";
    command
        .add_option("--mode", options.mode,
                    "auto, full, shape_only or layer_window; a list\nfull: from a file, generated "
                    "where it is missing\nshape_only: drawn in memory, no file\nlayer_window: "
                    "fewer layers in memory, visited in turn\nauto: the first that fits memory, "
                    "disk and --budget")
        ->capture_default_str()
        ->group(group);
    command
        .add_option("--window", options.window.distinct,
                    "layer_window, or of a file: layers in memory\n[for presets four times the "
                    "last-level cache, for files all]")
        ->check(CLI::PositiveNumber)
        ->group(group);
    command
        .add_option("--layers-run", options.window.run,
                    "layer_window: layers that are run, the time of the others extrapolated [all]")
        ->check(CLI::PositiveNumber)
        ->group(group);
    command
        .add_option("--model-format", options.format, "full: of the file, as gen --format has it")
        ->capture_default_str()
        ->group(group);
    command.add_option("--models-folder", options.models_folder, "Where generated files are")
        ->capture_default_str()
        ->group(group);
}

void add_setting_flags(CLI::App& command, E2eFlags& options) {
    command.add_option("-t,--threads", options.threads, "Thread counts: 1,2 or 1..n or 1..n*2")
        ->capture_default_str();
    add_pin_flag(command, options.pins);
    auto* kernel =
        command.add_option("-k,--kernel", options.kernels,
                           "One kernel for all linear layers: globs, comma separated, ! excludes");
    command
        .add_option("--plan", options.plans,
                    "Layouts and kernels of the linear layers: default, stored, or FILE.toml; a "
                    "list")
        ->capture_default_str()
        ->excludes(kernel);
    command.add_option("--cache-type", options.cache_types, "KV cache: f16, f32 or both")
        ->capture_default_str();
    command
        .add_option(
            "--head", options.heads,
            "Types of the LM head: stored, f32, f16, bf16, q8_0, q6_k, q4_0, q8_row; a list")
        ->capture_default_str();
}

}  // namespace

void add_e2e(CLI::App& app, int* exit_code) {
    auto options = std::make_shared<E2eFlags>();
    CLI::App* command = app.add_subcommand(
        "e2e", "Measure complete models: tokens per second of prefill (pp) and decode (tg)");
    auto* files = command->add_option("-m,--model", options->files, "GGUF files, comma separated")
                      ->delimiter(',');
    command->add_option("--preset", options->presets, "Dummy models by size, comma separated: 7B")
        ->delimiter(',')
        ->excludes(files);
    add_mode_flags(*command, *options);
    add_test_flags(*command, *options);
    add_setting_flags(*command, *options);
    command->add_option("-r,--repetitions", options->repetitions, "Repetitions, interleaved")
        ->check(CLI::Range(1, 1000000))
        ->capture_default_str();
    add_format_flag(*command, "-o,--output,--format", options->output)->capture_default_str();
    add_load_flags(*command, options->load);
    add_run_flags(*command, options->run, "--csv");
    command->callback([options, exit_code] {
        const ModelAxes axes = e2e_axes(*options);
        const RunOptions run = run_options(options->run, "e2e", options->command_line());
        const auto journal = open_journal(run);
        install_interrupt_handler();
        if (!generate_missing(axes.models)) {
            fmt::print(stderr, "interrupted while generating a model\n");
            *exit_code = kInterrupted;
            return;
        }
        const std::vector<Cell> cells = model_cells(axes);
        const RunResult result =
            run_and_summarise(cells, run, journal.get(),
                              fmt::format("tritbench e2e {} --csv {}", options->command_line(),
                                          shell_word(options->run.csv)));
        print_rows(result, options->output);
        if (options->output == "md") fmt::print("{}", control_note(result.rows));
        *exit_code = result.exit_code();
    });
}

}  // namespace tritbench::cli
