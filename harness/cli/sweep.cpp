// tritbench sweep: an experiment file, resumable.
#include <fmt/format.h>

#include <memory>

#include "harness/budget.h"
#include "harness/cli/commands.h"
#include "harness/cli/row_format.h"
#include "harness/cli/run_command.h"
#include "harness/cli/sweep_list.h"
#include "harness/progress.h"
#include "harness/spec.h"
#include "kernels/api/error.h"

namespace tritbench::cli {
namespace {

struct SweepFlags {
    std::string spec;
    std::string models_folder = "models";
    std::string experiments_folder = "experiments";
    std::string format;
    bool dry_run = false;
    bool list = false;
    RunFlags run;
};

// Flags count, where there are none the keys of the spec.
RunOptions sweep_options(const RunFlags& flags, const Spec& spec) {
    RunOptions run = run_options(flags, spec.name, spec.hash + flags.stopping_flags());
    if (flags.precision.empty()) run.measure.precision = spec.precision;
    if (flags.budget.empty()) run.measure.budget_s = spec.budget_s;
    return run;
}

void print_cells(const Spec& spec, const std::vector<Cell>& cells, const MeasureOptions& measure) {
    for (const Cell& cell : cells) {
        fmt::print("{}{}\n", cell_label(cell),
                   cell.unavailable.empty() ? "" : "  (unavailable: " + cell.unavailable + ")");
    }
    for (const ModelSource& model : spec.models()) {
        if (model.preset.empty()) continue;
        fmt::print("to be generated: {} ({:.2f} GB)\n", model.info.path.string(),
                   static_cast<double>(model.info.file_bytes) / 1e9);
    }
    fmt::print("{} cells\nplan: {}\n", cells.size(), plan_text(cells, measure));
}

void run_sweep(const SweepFlags& options, int* exit_code) {
    const SpecOptions folders{options.models_folder};
    if (options.spec.empty()) {
        if (options.list) return list_experiments(options.experiments_folder, folders);
        throw Error("sweep: spec is missing: name an experiment file, or see them with --list");
    }
    const Spec spec = read_spec(options.spec, folders);
    if (options.list) return list_cells(spec);
    const std::vector<Cell> planned = selected_cells(spec, options.spec);
    RunFlags flags = options.run;
    if (flags.csv.empty()) flags.csv = spec.name + ".csv";
    const RunOptions run = sweep_options(flags, spec);
    if (options.dry_run) return print_cells(spec, planned, run.measure);
    check_row_format(options.format, planned);
    const auto journal = open_journal(run);  // before minutes go into generating models
    install_interrupt_handler();
    if (!generate_missing(spec.models())) {
        fmt::print(stderr, "interrupted while generating a model; run the same command again\n");
        *exit_code = 130;
        return;
    }
    std::string resume =
        fmt::format("tritbench sweep {} -o {}", shell_word(options.spec), shell_word(flags.csv));
    if (options.models_folder != "models") {
        resume += " --models-folder " + shell_word(options.models_folder);
    }
    resume += flags.stopping_flags();
    // Anew: plans of models that were generated just now are known only now.
    const RunResult result = run_and_summarise(spec.cells(), run, journal.get(), resume);
    print_rows(result, options.format);
    *exit_code = result.exit_code();
}

}  // namespace

void add_sweep(CLI::App& app, int* exit_code) {
    auto options = std::make_shared<SweepFlags>();
    CLI::App* command = app.add_subcommand(
        "sweep", "Run an experiment file (experiments/*.toml); resumes an interrupted one");
    command->add_option("spec", options->spec, "Experiment file");
    command
        ->add_option("--models-folder", options->models_folder,
                     "Where generated models are, or are put")
        ->capture_default_str();
    command->add_flag("--dry-run", options->dry_run, "Print the cells, measure nothing");
    command->add_flag("--list", options->list,
                      "Print the cells with their keys, or without a file the experiments that "
                      "there are");
    command->add_option("--experiments-folder", options->experiments_folder, "What --list looks in")
        ->capture_default_str();
    add_format_flag(*command, "--format", options->format);
    add_run_flags(*command, options->run, "-o,--output,--csv");
    command->callback([options, exit_code] { run_sweep(*options, exit_code); });
}

}  // namespace tritbench::cli
