// tritbench sweep: an experiment file, resumable.
#include <fmt/format.h>

#include <memory>

#include "harness/axes.h"
#include "harness/budget.h"
#include "harness/cli/commands.h"
#include "harness/cli/run_command.h"
#include "harness/progress.h"
#include "harness/spec.h"

namespace tritbench::cli {
namespace {

struct SweepFlags {
    std::string spec;
    std::string models_folder = "models";
    bool dry_run = false;
    RunFlags run;
};

// Flags count, where there are none the keys of the spec.
RunOptions sweep_options(const RunFlags& flags, const Spec& spec) {
    RunOptions run = run_options(flags, spec.name, spec.hash + flags.stopping_flags());
    if (flags.precision.empty()) run.measure.precision = spec.precision;
    if (flags.budget.empty()) run.measure.budget_s = spec.budget_s;
    return run;
}

void print_cells(const Spec& spec, const MeasureOptions& measure) {
    const std::vector<Cell> cells = spec.cells();
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

}  // namespace

void add_sweep(CLI::App& app, int* exit_code) {
    auto options = std::make_shared<SweepFlags>();
    CLI::App* command = app.add_subcommand(
        "sweep", "Run an experiment file (experiments/*.toml); resumes an interrupted one");
    command->add_option("spec", options->spec, "Experiment file")->required();
    command
        ->add_option("--models-folder", options->models_folder,
                     "Where generated models are, or are put")
        ->capture_default_str();
    command->add_flag("--dry-run", options->dry_run, "Print the cells, measure nothing");
    add_run_flags(*command, options->run, "-o,--output,--csv");
    command->callback([options, exit_code] {
        const Spec spec = read_spec(options->spec, {options->models_folder});
        RunFlags flags = options->run;
        if (flags.csv.empty()) flags.csv = spec.name + ".csv";
        const RunOptions run = sweep_options(flags, spec);
        if (options->dry_run) return print_cells(spec, run.measure);
        const auto journal = open_journal(run);  // before minutes go into generating models
        install_interrupt_handler();
        if (!generate_missing(spec.models())) {
            fmt::print(stderr,
                       "interrupted while generating a model; run the same command again\n");
            *exit_code = 130;
            return;
        }
        std::string resume = fmt::format("tritbench sweep {} -o {}", shell_word(options->spec),
                                         shell_word(flags.csv));
        if (options->models_folder != "models") {
            resume += " --models-folder " + shell_word(options->models_folder);
        }
        resume += flags.stopping_flags();
        *exit_code = run_and_summarise(spec.cells(), run, journal.get(), resume).exit_code();
    });
}

}  // namespace tritbench::cli
