// tritbench bench: single matrix products, every combination of the axes given.
#include <fmt/format.h>

#include <memory>

#include "harness/aa_control.h"
#include "harness/axes.h"
#include "harness/cli/commands.h"
#include "harness/cli/run_command.h"
#include "harness/report.h"
#include "kernels/api/registry.h"

namespace tritbench::cli {
namespace {

struct BenchFlags {
    std::string kernels = "*";
    std::string shapes = "2560x2560";
    std::string batches = "1";
    std::string zeros = "0";
    std::string threads = "1";
    std::vector<std::string> pins;
    std::string caches = "hot";
    std::vector<std::string> tiles;
    int repetitions = 10;
    bool json = false;
    RunFlags run;

    std::string command_line() const {
        std::string text =
            fmt::format("--kernel {} --shape {} --batch {} --threads {} --cache {} --reps {}",
                        shell_word(kernels), shell_word(shapes), shell_word(batches),
                        shell_word(threads), shell_word(caches), repetitions);
        if (zeros != "0") text += " --zeros " + shell_word(zeros);
        text += pins_command_line(pins);
        for (const std::string& tile : tiles) text += " --tile " + shell_word(tile);
        return text + run.stopping_flags();
    }
};

KernelAxes axes_of(const BenchFlags& options) {
    KernelAxes axes;
    axes.spec = "bench";
    axes.kernels = match_kernels(options.kernels);
    for (const std::string& text : split_list(options.shapes)) {
        axes.shapes.push_back(parse_shape(text, "--shape"));
    }
    axes.batches.clear();
    for (const std::string& text : split_list(options.batches)) {
        axes.batches.push_back(parse_count(text, 1, "--batch"));
    }
    axes.zeros.clear();
    for (const std::string& text : split_list(options.zeros)) {
        axes.zeros.push_back(parse_share(text, "--zeros"));
    }
    axes.threads.clear();
    for (const std::string& text : split_list(options.threads)) {
        for (const int t : parse_threads(text, "--threads")) axes.threads.push_back(t);
    }
    axes.pins = pin_policies(options.pins);
    axes.caches.clear();
    for (const std::string& text : split_list(options.caches)) {
        axes.caches.push_back(parse_cache(text, "--cache"));
    }
    if (!options.tiles.empty()) axes.tiles = options.tiles;
    axes.repetitions = options.repetitions;
    return axes;
}

}  // namespace

void add_bench(CLI::App& app, int* exit_code) {
    auto options = std::make_shared<BenchFlags>();
    CLI::App* command =
        app.add_subcommand("bench", "Measure single matrix products y[M,N] = x[M,K] W[N,K]^T");
    command
        ->add_option("-k,--kernel", options->kernels, "Kernels: globs, comma separated, ! excludes")
        ->capture_default_str();
    command
        ->add_option("-s,--shape", options->shapes,
                     "N x K: rows and columns of W, e.g. 2560x6912,512x512")
        ->capture_default_str();
    command->add_option("-b,--batch", options->batches, "Tokens M, comma separated")
        ->capture_default_str();
    command
        ->add_option("--zeros", options->zeros,
                     "Share of the activations made zero, 0 to 1, comma separated")
        ->capture_default_str();
    command->add_option("-t,--threads", options->threads, "Thread counts: 1,2 or 1..n or 1..n*2")
        ->capture_default_str();
    add_pin_flag(*command, options->pins);
    command->add_option("--cache", options->caches, "hot, cold or both")->capture_default_str();
    command->add_option("--tile", options->tiles, "Tile values, name=value,...; repeat for more");
    command->add_option("-r,--reps", options->repetitions, "Repetitions, interleaved over kernels")
        ->check(CLI::Range(1, 1000000))
        ->capture_default_str();
    command->add_flag("--json", options->json, "Print rows as JSON instead of a table");
    add_run_flags(*command, options->run, "--csv");
    command->callback([options, exit_code] {
        const std::vector<Cell> cells = kernel_cells(axes_of(*options));
        const RunOptions run = run_options(options->run, "bench", options->command_line());
        const auto journal = open_journal(run);
        const RunResult result =
            run_and_summarise(cells, run, journal.get(),
                              fmt::format("tritbench bench {} --csv {}", options->command_line(),
                                          shell_word(options->run.csv)));
        fmt::print("{}",
                   options->json ? format_rows(result.rows, "json") : kernel_table(result.rows));
        if (!options->json) fmt::print("{}", control_note(result.rows));
        *exit_code = result.exit_code();
    });
}

}  // namespace tritbench::cli
