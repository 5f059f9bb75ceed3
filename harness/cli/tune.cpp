// tritbench tune: finds the fastest kernels of a model, or of shapes, and writes them as a plan.
#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <optional>

#include "harness/axes.h"
#include "harness/cli/commands.h"
#include "harness/cli/info_values.h"
#include "harness/cli/model_flags.h"
#include "harness/environment.h"
#include "harness/measure.h"
#include "harness/pins.h"
#include "harness/progress.h"
#include "harness/tune/tune_report.h"
#include "kernels/api/error.h"
#include "kernels/api/registry.h"
#include "model/default_plan.h"
#include "model/printable.h"

namespace tritbench::cli {

namespace {

// The part of the budget that comparing plans in the whole model may take.
constexpr double kModelPart = 0.3;

// Of what a squared ReLU leaves as int8 where weights are random (kernels/README.md).
constexpr double kZeros = 0.65;

struct TuneFlags {
    std::string model, shapes, threads, output, csv;
    std::string batches = "1,8,32,128,512";
    std::string kernels = "*";
    std::string goal = "decode";
    std::string budget = "2m";
    std::string pins = "default";
    std::vector<std::string> allow;
    std::optional<double> zeros;
    uint64_t seed = 1;
    bool dry_run = false;
    LoadFlags load;
};

TuneOptions tune_options(const TuneFlags& flags) {
    TuneOptions options;
    options.rules.globs = flags.kernels;
    for (const std::string& what : flags.allow) {
        if (what == "bounded") {
            options.rules.bounded = true;
        } else if (what == "half") {
            options.rules.half_scales = true;
        } else {
            throw Error(fmt::format("--allow '{}': expected bounded or half", printable(what, 40)));
        }
    }
    options.pins = parse_pins(flags.pins, "--pin");
    const std::string threads =
        flags.threads.empty() ? std::to_string(cpus_of_pins_here(options.pins)) : flags.threads;
    for (const std::string& text : split_list(threads)) {
        for (const int t : parse_threads(text, "-t")) options.threads.push_back(t);
    }
    for (const int t : options.threads) pins_here(t, options.pins);  // throws unless they fit
    for (const std::string& text : split_list(flags.batches)) {
        options.batches.push_back(parse_count(text, 1, "--batch"));
    }
    buckets_of(options.batches);  // throws unless they ascend
    options.goal = parse_goal(flags.goal);
    options.seconds = parse_duration(flags.budget, "--budget");
    options.seed = flags.seed;
    return options;
}

// What is to be tuned, what it is compared with, and where from.
struct TuneSubject {
    Workload workload;
    Plan standard;
    std::shared_ptr<const GgufFile> file;  // null: bare shapes
};

TuneSubject tune_subject(const TuneFlags& flags, TuneOptions& options) {
    if (flags.model.empty() == flags.shapes.empty()) {
        throw Error("tune: expected either a model (-m FILE) or shapes (--shape NxK,...)");
    }
    TuneSubject subject;
    if (flags.model.empty()) {
        std::vector<tb_shape> shapes;
        for (const std::string& text : split_list(flags.shapes)) {
            shapes.push_back(parse_shape(text, "--shape"));
        }
        subject.workload = shapes_workload(shapes, flags.zeros.value_or(0.0));
        subject.standard = default_plan_of_shapes(shapes);
        return subject;
    }
    const LoadOptions load = flags.load.options();
    subject.file = std::make_shared<const GgufFile>(flags.model);
    const double stated = trained_activation_zeros(*subject.file).value_or(kZeros);
    subject.workload = model_workload(*subject.file, load, flags.zeros.value_or(stated));
    // The layouts of the default plan hold one scale.
    subject.standard = subject.workload.row_scales
                           ? stored_plan(*subject.file, load)
                           : default_plan(*subject.file, load, last_level_cache_bytes());
    options.rules.half_scales = options.rules.half_scales || subject.workload.half_scales;
    options.rules.row_scales = subject.workload.row_scales;
    return subject;
}

class TuneProgress {
  public:
    explicit TuneProgress(double seconds)
        : total_(static_cast<uint64_t>(std::max(1.0, seconds))),
          progress_("tune", total_, "s"),
          begin_(now_ns()) {}

    bool operator()(const std::string& what) {
        const auto seconds = static_cast<uint64_t>((now_ns() - begin_) / 1'000'000'000);
        progress_.update(std::min(seconds, total_ - 1), what);
        return !interrupted();
    }
    void finish() { progress_.finish(); }

  private:
    uint64_t total_;
    Progress progress_;
    int64_t begin_;
};

// Holds the choices against the default in the whole model, and puts the default back where it is
// as good. Null if nothing differs.
std::unique_ptr<AbResult> confirm(const TuneFlags& flags, const TuneOptions& options,
                                  const TuneSubject& subject, bool keep_default, double seconds,
                                  ThreadsResult& result, const TuneReport& report) {
    if (all_default(result)) return nullptr;
    AbOptions ab;
    ab.threads = result.threads;
    ab.pins = options.pins;
    ab.seconds = seconds;
    ab.same_logits = !options.rules.bounded;
    ab.seed = options.seed;
    const bool one_load = same_layouts(result);
    auto compared = std::make_unique<AbResult>(
        compare_plans(subject.file, flags.load.options(), tuned_plan(subject.workload, result),
                      subject.standard, one_load, ab, report));
    if (keep_default) {
        const Confirmed good = confirmed(*compared, options.goal, one_load);
        fall_back(result, !good.decode, !good.prefill);
    }
    return compared;
}

int tune(const TuneFlags& flags) {
    TuneOptions options = tune_options(flags);
    const TuneSubject subject = tune_subject(flags, options);
    const double budget = options.seconds;
    if (subject.file != nullptr) options.seconds = budget * (1 - kModelPart);
    const auto forecast = foresee(subject.workload, subject.standard, options);
    if (flags.dry_run) {
        fmt::print("{}", forecast_text(subject.workload, forecast, options));
        return 0;
    }
    if (flags.output.empty()) throw Error("tune: expected -o FILE.toml for the plan, or --dry-run");
    require_writable(flags.output);
    if (!flags.csv.empty()) require_writable(flags.csv);

    const double expected = predicted_seconds(forecast, options) + budget - options.seconds;
    fmt::print(stderr, "tune: about {:.0f} s\n", expected);
    for (const std::string& mark : noise_marks_now()) {
        if (mark == "high_load" || mark == "cpu_quota") {
            fmt::print(stderr, "tune: {}: timings here are doubtful ('tritbench env' says why)\n",
                       mark);
        }
    }
    install_interrupt_handler();
    TuneProgress progress(expected);
    const TuneReport report = [&](const std::string& what) { return progress(what); };
    std::vector<ThreadsResult> results;
    std::unique_ptr<AbResult> compared;
    size_t best = 0;
    try {
        results = search(subject.workload, forecast, options, report);
        best = best_threads(results);
        if (subject.file != nullptr) {
            const bool keep =
                std::all_of(forecast.begin(), forecast.end(),
                            [](const LayerForecast& layer) { return layer.standard_races; });
            compared = confirm(flags, options, subject, keep, budget - options.seconds,
                               results[best], report);
        }
    } catch (const TuneInterrupted&) {
        fmt::print(stderr, "tune: interrupted, nothing written\n");
        return kInterrupted;
    }
    progress.finish();

    const ThreadsResult& result = results[best];
    fmt::print("{}\n{}{}", gains_table(subject.workload, result), threads_text(results, best),
               notes_text(subject.workload, result));
    if (compared != nullptr) {
        fmt::print("whole model, {} threads:\n{}{}", result.threads,
                   phase_text("decode", compared->decode),
                   phase_text("prefill", compared->prefill));
    }
    if (all_default(result)) {
        fmt::print(
            "nothing is faster than the default plan beyond doubt: the plan is the default\n");
    }
    const Plan plan = tuned_plan(subject.workload, result);
    write_whole(flags.output, plan_file_text(plan, options, results, flags.model, compared.get()));
    if (!flags.csv.empty()) write_whole(flags.csv, race_csv(subject.workload, results));
    fmt::print("wrote {}\n", printable(flags.output, 300));
    return 0;
}

}  // namespace

void add_tune(CLI::App& app, int* exit_code) {
    auto flags = std::make_shared<TuneFlags>();
    CLI::App* command = app.add_subcommand(
        "tune", "Find the fastest kernels of a model or of shapes, and write them as a plan");
    command->add_option("-m,--model", flags->model, "GGUF file: tunes its linear layers");
    command->add_option("-s,--shape", flags->shapes, "N x K instead of a model: 2560x6912,512x512");
    command->add_option("-o,--output", flags->output, "The plan to write (TOML)");
    command->add_option(
        "-t,--threads", flags->threads,
        "Thread counts to tune for: 1,2 or 1..n (default: one per allowed CPU); the "
        "plan is that of the best");
    add_one_pin_flag(*command, flags->pins);
    command
        ->add_option("-b,--batch", flags->batches,
                     "Batches that are raced, each for all that are larger than the one before")
        ->capture_default_str();
    command
        ->add_option("--for", flags->goal, "What layouts are chosen for: decode, prefill, balanced")
        ->capture_default_str();
    command
        ->add_option("-k,--kernel", flags->kernels, "Kernels: globs, comma separated, ! excludes")
        ->capture_default_str();
    command
        ->add_option("--allow", flags->allow,
                     "Kernels that change logits: bounded (not exact), half (scales as halves)")
        ->delimiter(',');
    command->add_option("--budget", flags->budget, "Time to take: 90s, 2m, 1h")
        ->capture_default_str();
    command
        ->add_option("--zeros", flags->zeros,
                     "Share of zeros in what a squared ReLU leaves for ffn_down (default: what "
                     "the file\nsays, or 0.65), or in the input of shapes (default: 0)")
        ->check(CLI::Range(0.0, 1.0));
    command->add_option("--csv", flags->csv, "File for the times of every candidate");
    command->add_option("--seed", flags->seed, "Of weights, activations and order")
        ->capture_default_str();
    command->add_flag("--dry-run", flags->dry_run, "Print candidates and time, and race nothing");
    add_load_flags(*command, flags->load);
    command->callback([flags, exit_code] { *exit_code = tune(*flags); });
}

}  // namespace tritbench::cli
