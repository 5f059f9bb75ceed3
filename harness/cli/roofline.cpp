// tritbench roofline: this machine's ceilings, measured, or as they were measured last.
#include <fmt/format.h>
#include <unistd.h>

#include <cstdio>
#include <ctime>
#include <memory>

#include "harness/cli/commands.h"
#include "harness/cli/model_flags.h"
#include "harness/cli/roofline_text.h"
#include "harness/environment.h"
#include "harness/journal.h"
#include "harness/pins.h"
#include "harness/progress.h"
#include "harness/roofline/likwid_bench.h"
#include "harness/roofline/survey.h"
#include "harness/roofline/survey_cache.h"
#include "harness/system_files.h"
#include "kernels/api/error.h"

namespace tritbench::cli {

namespace {

struct RooflineFlags {
    std::vector<int> threads;
    std::string pins = "default";
    std::vector<std::string> footprints, memory;
    double seconds = 0;
    bool json = false, csv = false, quick = false, fresh = false;
};

uint64_t parse_footprint(const std::string& text) {
    const auto bytes = size_with_suffix(text);
    const bool plain =
        !text.empty() && text.find_first_not_of("0123456789KMGkB") == std::string::npos;
    if (!plain || !bytes || *bytes == 0)
        throw Error(fmt::format(
            "roofline --footprint: '{}' is not a size; expected bytes such as 32K, 64M or 1G",
            text));
    return *bytes;
}

SurveyRequest survey_request(const RooflineFlags& options) {
    SurveyRequest request;
    request.threads = options.threads;
    request.pins = parse_pins(options.pins, "--pin");
    for (const std::string& text : options.footprints) {
        request.footprints.push_back(parse_footprint(text));
    }
    for (const std::string& name : options.memory) request.kinds.push_back(parse_allocation(name));
    request.quick = options.quick;
    request.seconds = options.quick ? 5 : 25;
    if (options.seconds > 0) request.seconds = options.seconds;
    request.likwid_bench = find_likwid_bench(std::getenv("PATH"));
    return request;
}

KeptSurvey measure_ceilings(const SurveyRequest& request, const MachineCard& card) {
    std::unique_ptr<Progress> progress;
    SurveyResult result = survey_ceilings(
        request, [&](uint64_t done, uint64_t total, const std::string& what_comes_next) {
            if (interrupted()) throw Error("roofline: interrupted, nothing was written");
            if (!progress) progress = std::make_unique<Progress>("roofline", total);
            progress->update(done, what_comes_next);
        });
    if (progress) progress->finish(fmt::format("{} rates", result.rates.size()));
    return {std::move(result), utc_iso(), noise_marks(card)};
}

SurveyText kept_or_measured(const RooflineFlags& options) {
    SurveyText text;
    text.card = machine_card();
    const std::string machine = text.card.machine_id();
    const SurveyRequest request = survey_request(options);
    const SurveyCache cache(survey_cache_file(machine));
    const std::string key = survey_key(request, machine);
    if (!options.fresh) {
        std::string problem;
        const auto kept = cache.find(key, &problem);
        if (!problem.empty()) fmt::print(stderr, "tritbench: {}\n", problem);
        if (kept) {
            text.survey = *kept;
            text.age = age_text(kept->utc, std::time(nullptr));
            return text;
        }
    }
    text.survey = measure_ceilings(request, text.card);
    try {
        cache.keep(key, text.survey);
    } catch (const Error& e) {
        // Measured is measured: that it cannot be kept is no reason to withhold it.
        fmt::print(stderr, "tritbench: {}; the ceilings are not kept for the next time\n",
                   e.what());
    }
    return text;
}

void add_roofline_flags(CLI::App& command, RooflineFlags& options) {
    command
        .add_option("--threads", options.threads, "Thread counts (default: 1, 2, 4, ... and all)")
        ->delimiter(',');
    add_one_pin_flag(command, options.pins);
    command
        .add_option("--footprint", options.footprints,
                    "Bytes read by all threads together, e.g. 32K,8M,1G (at most 1 GB)")
        ->delimiter(',');
    command
        .add_option("--memory", options.memory,
                    "Kinds of memory: huge, 4k, mapped (default: huge, and all above 4 MiB)")
        ->delimiter(',');
    command.add_flag("--quick", options.quick, "Two footprints, shorter probes: a few seconds");
    command
        .add_option("--seconds", options.seconds,
                    "What it may take; probes are shortened to fit (default: 25, quick: 5)")
        ->check(CLI::Range(1.0, 3600.0));
    command.add_flag("--fresh", options.fresh,
                     "Measure anew, where this machine's ceilings were measured before and kept "
                     "in $XDG_CACHE_HOME/tritbench (~/.cache)");
    CLI::Option* json = command.add_flag("--json", options.json, "Print JSON");
    command.add_flag("--csv", options.csv, "Print CSV")->excludes(json);
}

}  // namespace

void add_roofline(CLI::App& app, int* /*exit_code*/) {
    CLI::App* command = app.add_subcommand(
        "roofline", "Measure this machine's ceilings: read bandwidth, dot products, lookups");
    auto options = std::make_shared<RooflineFlags>();
    add_roofline_flags(*command, *options);
    command->callback([options] {
        install_interrupt_handler();
        const SurveyText text = kept_or_measured(*options);
        if (options->json) {
            fmt::print("{}", text.json());
        } else if (options->csv) {
            fmt::print("{}", text.csv());
            if (!text.age.empty()) fmt::print(stderr, "{}\n", text.origin());
        } else {
            fmt::print("{}", text.table());
        }
    });
}

}  // namespace tritbench::cli
