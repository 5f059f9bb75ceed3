#include "harness/cli/run_command.h"

#include <fmt/format.h>

#include <set>

#include "harness/axes.h"
#include "harness/budget.h"
#include "harness/disk_note.h"
#include "harness/environment.h"
#include "harness/pins.h"
#include "harness/progress.h"

namespace tritbench::cli {
namespace {

constexpr int kShownProblems = 10;

// How many rows ended how, why the bad ones did, and where the files are.
void print_summary(const RunResult& result, const RunOptions& options, const std::string& resume) {
    std::string counts;
    for (const auto& [status, count] : result.by_status) {
        counts += fmt::format("{}{} {}", counts.empty() ? "" : ", ", count, status);
    }
    fmt::print(stderr, "{}: {} of {} cells done: {}\n", options.name, result.rows.size(),
               result.cells, counts.empty() ? "none" : counts);
    int problems = 0;
    for (const Row& row : result.rows) {
        const std::string& status = row[Column::Status];
        if (status == "ok" || status == "unavailable" || ++problems > kShownProblems) continue;
        fmt::print(stderr, "  {} {}: {}\n", status, row[Column::Kernel], row[Column::Reason]);
    }
    if (problems > kShownProblems) {
        fmt::print(stderr, "  ... and {} more\n", problems - kShownProblems);
    }
    if (options.csv) {
        std::filesystem::path samples = *options.csv, card = *options.csv;
        fmt::print(stderr, "rows    {}\nsamples {}\nmachine {}\n", options.csv->string(),
                   samples.replace_extension(".samples.jsonl").string(),
                   card.replace_extension(".machine.json").string());
    }
    if (!result.interrupted) return;
    if (options.csv) {
        const uint64_t seed = options.measure.seed;
        fmt::print(stderr, "interrupted; resume with: {}{}\n", resume,
                   seed == 1 ? "" : fmt::format(" --seed {}", seed));
    } else {
        fmt::print(stderr, "interrupted; nothing was kept, give --csv FILE to keep rows\n");
    }
}

// Once for each file.
void warn_of_disk(const std::vector<Cell>& cells) {
    const uint64_t available = available_memory_bytes();
    std::set<std::string> told;
    for (const Cell& cell : cells) {
        if (!cell.unavailable.empty()) continue;
        const std::string note = disk_note(cell.model.path.string(), cell.model.file_bytes,
                                           cell.mapped_weights, available);
        if (note.empty() || !told.insert(note).second) continue;
        fmt::print(stderr, "tritbench: warning: {}\n", note);
    }
}

}  // namespace

void add_run_flags(CLI::App& command, RunFlags& flags, const std::string& csv_option) {
    command.add_option(csv_option, flags.csv,
                       "Result file (.csv); raw samples and the machine card go beside it. A run "
                       "that was interrupted is resumed, a complete file is refused");
    CLI::Option* resume = command.add_flag(
        "--resume", flags.resume,
        "Also resume a complete file, or one of an earlier text of the experiment: what is done "
        "is skipped; what an edit of a kernel, of flags or of the experiment has invalidated is "
        "measured again, and its old rows go to NAME.superseded.csv");
    command.add_flag("--fresh", flags.fresh, "Move an existing result file aside and start anew")
        ->excludes(resume);
    command
        .add_option("--timeout", flags.timeout_s,
                    "Seconds that one step of a cell may take (default: from its predicted "
                    "time, at least 60)")
        ->check(CLI::PositiveNumber);
    command.add_option("--seed", flags.seed, "Of weights, activations, tokens and order")
        ->capture_default_str();
    command.add_flag("-q,--quiet", flags.quiet, "No progress");
    const char* group = "When repetitions end (results/SCHEMA.md)";
    command
        .add_option("--precision", flags.precision,
                    "Go on until half the 95% interval of the median is so narrow: 1%; the "
                    "repetitions are the first look")
        ->group(group);
    command
        .add_option("--budget", flags.budget,
                    "Time that all of it may take, model files aside: 90s, 20m, 1h")
        ->group(group);
    command
        .add_flag("--no-control", flags.no_control,
                  "Do not measure a cell of each block twice (A/A), to save its time")
        ->group(group);
}

std::string RunFlags::stopping_flags() const {
    std::string text;
    if (!precision.empty()) text += " --precision " + shell_word(precision);
    if (!budget.empty()) text += " --budget " + shell_word(budget);
    return text + (no_control ? " --no-control" : "");
}

void add_pin_flag(CLI::App& command, std::vector<std::string>& pins) {
    command
        .add_option("--pin", pins,
                    "Which CPUs the threads are on: default (a core each while there are any), "
                    "compact, scatter, cores (never two on one), or CPUs such as 0,2,4-7; repeat "
                    "for more")
        ->allow_extra_args(false);
}

std::vector<std::string> pin_policies(const std::vector<std::string>& pins) {
    if (pins.empty()) return {""};
    std::vector<std::string> policies;
    for (const std::string& text : pins) policies.push_back(parse_pins(text, "--pin"));
    return policies;
}

std::string pins_command_line(const std::vector<std::string>& pins) {
    std::string text;
    for (const std::string& policy : pins) text += " --pin " + shell_word(policy);
    return text;
}

RunOptions run_options(const RunFlags& flags, const std::string& name,
                       const std::string& identity) {
    RunOptions options;
    options.name = name;
    const std::string text = fmt::format("{}|{}|{}", name, identity, flags.seed);
    options.spec_hash = hex16(fnv1a64(text.data(), text.size()));
    if (!flags.csv.empty()) options.csv = flags.csv;
    options.fresh = flags.fresh;
    options.resume = flags.resume;
    options.measure.seed = flags.seed;
    options.measure.timeout_s = flags.timeout_s;
    if (!flags.precision.empty()) {
        options.measure.precision = parse_precision(flags.precision, "--precision");
    }
    if (!flags.budget.empty()) options.measure.budget_s = parse_duration(flags.budget, "--budget");
    options.measure.control = !flags.no_control;
    options.show_progress = !flags.quiet;
    return options;
}

RunResult run_and_summarise(const std::vector<Cell>& cells, const RunOptions& options,
                            Journal* journal, const std::string& resume) {
    install_interrupt_handler();
    warn_of_disk(cells);
    const MeasureOptions& measure = options.measure;
    if (options.show_progress && (measure.precision > 0 || measure.budget_s > 0)) {
        fmt::print(stderr, "{}: {}\n", options.name, plan_text(cells, measure));
    }
    RunResult result = run_cells(cells, options, journal);
    if (result.resumed && options.csv) fmt::print(stderr, "resumed {}\n", options.csv->string());
    if (!result.moved_to.empty()) {
        fmt::print(stderr, "the older results are now {}\n", result.moved_to.string());
    }
    if (result.superseded > 0 && journal != nullptr) {
        fmt::print(
            stderr,
            "superseded rows ({}), of cells that have changed or are not asked for, are now in "
            "{}\n",
            result.superseded, journal->superseded_path().string());
    }
    if (options.csv || result.exit_code() != 0) print_summary(result, options, resume);
    return result;
}

std::string shell_word(const std::string& word) {
    const bool plain = !word.empty() && word.find_first_not_of(
                                            "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                            "0123456789_-./=,:+@%") == std::string::npos;
    if (plain) return word;
    std::string quoted = "'";
    for (const char c : word) quoted += c == '\'' ? std::string("'\\''") : std::string(1, c);
    return quoted + "'";
}

}  // namespace tritbench::cli
