// tritbench bench: single matrix products, every combination of the axes given.
#include <fmt/format.h>

#include <memory>

#include "harness/aa_control.h"
#include "harness/axes.h"
#include "harness/cli/commands.h"
#include "harness/cli/row_format.h"
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
    std::string format;  // empty: a table
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
        for (const tb_shape shape : parse_shapes(text, "--shape")) axes.shapes.push_back(shape);
    }
    axes.batches.clear();
    for (const std::string& text : split_list(options.batches)) {
        for (const int64_t m : parse_counts(text, 1, "--batch")) axes.batches.push_back(m);
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
                     "N x K: rows and columns of W, e.g. 2560x6912,512x512;\nor the layers of a "
                     "model, all or one: 2B-4T, 2B-4T:ffn_down")
        ->capture_default_str();
    command
        ->add_option("-b,--batch", options->batches, "Tokens M: 1,8 or 1..8 or 1..64*2 or 8..64+8")
        ->capture_default_str();
    command
        ->add_option("--zeros", options->zeros,
                     "Share of the activations made zero, 0 to 1, comma separated")
        ->capture_default_str();
    command->add_option("-t,--threads", options->threads, "Thread counts: 1,2 or 1..n or 1..n*2")
        ->capture_default_str();
    add_pin_flag(*command, options->pins);
    command->add_option("--cache", options->caches, "hot, cold or both")->capture_default_str();
    command->add_option("--tile", options->tiles,
                        "Tile values, name=value,... or all; repeat for more");
    command->add_option("-r,--reps", options->repetitions, "Repetitions, interleaved over kernels")
        ->check(CLI::Range(1, 1000000))
        ->capture_default_str();
    auto* format = add_format_flag(*command, "--format", options->format);
    command
        ->add_flag_callback(
            "--json", [options] { options->format = "json"; }, "The same as --format json")
        ->excludes(format);
    add_run_flags(*command, options->run, "--csv");
    command->callback([options, exit_code] {
        const std::vector<Cell> cells = kernel_cells(axes_of(*options));
        check_row_format(options->format, cells);
        const RunOptions run = run_options(options->run, "bench", options->command_line());
        const auto journal = open_journal(run);
        const RunResult result =
            run_and_summarise(cells, run, journal.get(),
                              fmt::format("tritbench bench {} --csv {}", options->command_line(),
                                          shell_word(options->run.csv)));
        if (options->format.empty()) {
            fmt::print("{}{}", kernel_table(result.rows), control_note(result.rows));
        }
        print_rows(result, options->format);
        *exit_code = result.exit_code();
    });
}

}  // namespace tritbench::cli
