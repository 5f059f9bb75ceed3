// tritbench verify: proves kernels against the oracle, each in a child process.
#include <fmt/format.h>
#include <unistd.h>

#include <chrono>
#include <nlohmann/json.hpp>

#include "harness/child.h"
#include "harness/cli/commands.h"
#include "harness/progress.h"
#include "harness/verify/gate.h"
#include "kernels/api/error.h"
#include "kernels/api/registry.h"

namespace tritbench::cli {

namespace {

struct VerifyFlags {
    std::string globs = "*";
    bool full = false;
    bool json = false;
};

struct Verdict {
    const tb_kernel* kernel;
    std::string proof;   // bitexact, bounded, no; empty when it cannot run here
    std::string reason;  // why not
    size_t cases = 0;
    double seconds = 0;
};

// The gate of one kernel over all its tiles, in a child: a crash is a verdict, not the end.
Verdict prove(const tb_kernel& kernel, GateDepth depth, const std::string& title) {
    Verdict verdict{&kernel, "no", "", 0, 0};
    const std::vector<tb_tile> tiles = all_tiles(kernel);
    std::vector<std::vector<GateCase>> cases;
    size_t total = 0;
    for (size_t i = 0; i < tiles.size(); ++i) {
        cases.push_back(gate_cases_of_tile(kernel, tiles[i], depth, i, tiles.size()));
        total += cases.back().size();
    }
    Progress progress(title, total);
    const auto start = std::chrono::steady_clock::now();
    ChildOptions options;
    options.on_tick = [&](int, uint64_t done) { progress.update(done); };
    const ChildOutcome outcome = run_in_child(
        [&](ChildReporter& reporter) {
            for (size_t i = 0; i < tiles.size(); ++i) {
                const tb_tile& tile = tiles[i];
                reporter.begin(0, 120);
                const auto done = [&](size_t, size_t) {
                    reporter.alive();
                    reporter.advance(1);
                };
                const ProofResult result = run_gate(kernel, tile, cases[i], done);
                std::string reason = result.reason;
                if (!result.ok() && kernel.tile_param_count > 0) {
                    reason = fmt::format("tile {}: {}", tile_name(kernel, tile), reason);
                }
                reporter.send({{"proof", proof_name(result.proof)}, {"reason", reason}});
                if (!result.ok()) return;
            }
        },
        [&](const nlohmann::json& message) {
            verdict.proof = message.at("proof");
            verdict.reason = message.at("reason");
        },
        options);
    if (outcome.end == ChildEnd::Interrupted) throw Error("interrupted");
    if (outcome.end != ChildEnd::Finished) {
        verdict.proof = "no";
        verdict.reason = outcome.reason + " while being proved (an access outside its buffers?)";
    }
    verdict.cases = total;
    verdict.seconds =
        std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    progress.finish();
    return verdict;
}

void print_json(const std::vector<Verdict>& verdicts) {
    nlohmann::json rows = nlohmann::json::array();
    for (const Verdict& v : verdicts) {
        rows.push_back({{"kernel", v.kernel->id},
                        {"class", exactness_name(v.kernel->exactness)},
                        {"verified", v.proof},
                        {"cases", v.cases},
                        {"seconds", v.seconds},
                        {"reason", v.reason}});
    }
    fmt::print("{}\n", rows.dump(2));
}

void print_line(const Verdict& v) {
    if (v.proof.empty()) {
        fmt::print("{:<20} {:<10} not here: {}\n", v.kernel->id, "-", v.reason);
    } else {
        fmt::print("{:<20} {:<10} {} cases, {:.1f} s{}{}\n", v.kernel->id,
                   v.proof == "no" ? "WRONG" : v.proof, v.cases, v.seconds,
                   v.reason.empty() ? "" : "\n    ", v.reason);
    }
    std::fflush(stdout);
}

int run(const VerifyFlags& options) {
    const std::vector<const tb_kernel*> kernels = match_kernels(options.globs);
    std::vector<Verdict> verdicts;
    size_t wrong = 0, proved = 0;
    for (size_t i = 0; i < kernels.size(); ++i) {
        const tb_kernel& kernel = *kernels[i];
        const std::string absent = why_not_here(kernel);
        verdicts.push_back(
            !absent.empty() ? Verdict{&kernel, "", absent, 0, 0}
                            : prove(kernel, options.full ? GateDepth::Full : GateDepth::Quick,
                                    fmt::format("[{}/{}] {}", i + 1, kernels.size(), kernel.id)));
        const Verdict& v = verdicts.back();
        wrong += v.proof == "no" ? 1 : 0;
        proved += v.proof == "bitexact" || v.proof == "bounded" ? 1 : 0;
        if (!options.json) print_line(v);
    }
    if (options.json) {
        print_json(verdicts);
    } else {
        fmt::print("{} proved, {} wrong, {} cannot run here\n", proved, wrong,
                   kernels.size() - proved - wrong);
    }
    return wrong > 0 ? 1 : 0;
}

}  // namespace

void add_verify(CLI::App& app, int* exit_code) {
    auto options = std::make_shared<VerifyFlags>();
    CLI::App* command =
        app.add_subcommand("verify", "Prove kernels against the oracle (exit 1 if one is wrong)");
    command->add_option("kernels", options->globs, "globs, comma separated; !glob takes away");
    command->add_flag("--full", options->full, "more shapes, batches and every tile; minutes");
    command->add_flag("--json", options->json, "print the verdicts as JSON");
    command->callback([options, exit_code] { *exit_code = run(*options); });
}

}  // namespace tritbench::cli
