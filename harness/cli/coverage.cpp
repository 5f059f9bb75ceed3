// tritbench coverage: how often intervals hold the truth (results/studies/README.md). Not listed
// among the commands: it studies the bench, not a kernel.
#include <fmt/format.h>

#include <memory>

#include "harness/axes.h"
#include "harness/cli/commands.h"
#include "harness/progress.h"
#include "harness/statistics.h"
#include "harness/study/real_coverage.h"
#include "kernels/api/error.h"
#include "kernels/api/registry.h"

namespace tritbench::cli {
namespace {

struct CoverageFlags {
    int trials = 2000;
    uint64_t seed = 1;
    std::string real;  // time; empty: the fake machines
    std::string kernel = "i2s_avx2", shape = "2560x2560", cache = "hot";
    int threads = 1, repetitions = 20;
};

void study_fakes(const CoverageFlags& flags) {
    const std::vector<CoverageCase> cases = coverage_cases();
    Progress progress("coverage", cases.size());
    fmt::print("{}", coverage_header());
    for (size_t i = 0; i < cases.size() && !interrupted(); ++i) {
        const CoverageCase& one = cases[i];
        progress.update(i, one.noise.name);
        // Each case on the same machines as its neighbours.
        fmt::print("{}", coverage_line(one.noise.name, std::string(schedule_name(one.schedule)),
                                       rule_text(one), study_case(one, flags.trials, flags.seed)));
    }
    progress.finish();
}

void study_here(const CoverageFlags& flags) {
    KernelAxes axes;
    axes.spec = "coverage";
    axes.kernels = match_kernels(flags.kernel);
    axes.shapes = {parse_shape(flags.shape, "--shape")};
    axes.threads = {flags.threads};
    axes.caches = {parse_cache(flags.cache, "--cache")};
    axes.repetitions = flags.repetitions;
    const Cell cell = kernel_cells(axes).front();
    if (!cell.unavailable.empty()) throw Error("--real: " + cell.unavailable);
    RealCoverageOptions options;
    options.seconds = parse_duration(flags.real, "--real");
    options.seed = flags.seed;
    options.stop = interrupted;
    const RealCoverageResult result = real_coverage(cell, options);
    fmt::print(stderr, "{}; the slower one has {} rows and takes {:.4f} times as long\n",
               cell_label(cell), result.slower.n, result.true_ratio);
    fmt::print(
        "{}{}", coverage_header(),
        coverage_line("real", "interleaved", fmt::format("{}", flags.repetitions), result.counts));
}

}  // namespace

void add_coverage(CLI::App& app, int* exit_code) {
    auto flags = std::make_shared<CoverageFlags>();
    CLI::App* command = app.add_subcommand(
        "coverage", "How often the 95% intervals of paired ratios hold the truth, as CSV");
    command->group("");
    command->add_option("--trials", flags->trials, "Of each case on fake machines")
        ->check(CLI::Range(1, 10'000'000))
        ->capture_default_str();
    command->add_option("--seed", flags->seed, "Of all that is random")->capture_default_str();
    command->add_option("--real", flags->real, "On this machine instead, for so long: 10m");
    command->add_option("-k,--kernel", flags->kernel, "--real: kernel")->capture_default_str();
    command->add_option("-s,--shape", flags->shape, "--real: N x K")->capture_default_str();
    command->add_option("-t,--threads", flags->threads, "--real: threads")->capture_default_str();
    command->add_option("--cache", flags->cache, "--real: hot or cold")->capture_default_str();
    command->add_option("-r,--reps", flags->repetitions, "--real: repetitions of a trial")
        ->check(CLI::Range(kSmallestIntervalSample, 1000000))
        ->capture_default_str();
    command->callback([flags, exit_code] {
        install_interrupt_handler();
        if (flags->real.empty()) {
            study_fakes(*flags);
        } else {
            study_here(*flags);
        }
        if (interrupted()) *exit_code = kInterrupted;
    });
}

}  // namespace tritbench::cli
