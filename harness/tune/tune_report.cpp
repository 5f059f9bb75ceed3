#include "harness/tune/tune_report.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <map>

#include "harness/environment.h"
#include "harness/version.h"
#include "kernels/api/error.h"
#include "kernels/api/registry.h"
#include "model/printable.h"

namespace tritbench {

namespace {

std::string joined(const std::vector<int>& values) {
    return fmt::format("{}", fmt::join(values, ", "));
}

std::string duration(double seconds) {
    return seconds < 100 ? fmt::format("{:.0f} s", seconds)
                         : fmt::format("{:.1f} min", seconds / 60);
}

// As a TOML text in quotes.
std::string quoted(const std::string& text) {
    std::string out = "\"";
    for (const char c : printable(text, 300)) {
        if (c == '"' || c == '\\') out += '\\';
        out += c;
    }
    return out + "\"";
}

std::string partial_name(const std::string& path) {
    return fmt::format("{}.partial-{}", path, getpid());
}

[[noreturn]] void cannot_write(const std::string& path, int cause) {
    throw Error(
        fmt::format("{}: cannot write there: {}; expected the name of a file in a folder "
                    "that may be written to",
                    printable(path, 300), std::strerror(cause)));
}

}  // namespace

std::string forecast_text(const Workload& workload, const std::vector<LayerForecast>& forecast,
                          const TuneOptions& options) {
    std::string text;
    for (size_t i = 0; i < workload.layers.size(); ++i) {
        const TuneLayer& layer = workload.layers[i];
        text += fmt::format("{}{}\n", layer_name(layer),
                            layer.roles.empty() ? "" : fmt::format(", {} layers", layer.count));
        // Kernels with their tiles and packed variants, in the order of registration.
        std::vector<const tb_kernel*> order;
        std::map<const tb_kernel*, std::pair<size_t, size_t>> counts;
        for (const PackedVariant& variant : forecast[i].variants) {
            const tb_kernel* last = nullptr;
            for (const Candidate& c : variant.candidates) {
                if (!counts.contains(c.kernel)) order.push_back(c.kernel);
                auto& [tiles, variants] = counts[c.kernel];
                ++tiles;
                if (c.kernel != last) ++variants;
                last = c.kernel;
            }
        }
        for (const tb_kernel* kernel : order) {
            const auto [tiles, variants] = counts[kernel];
            text += fmt::format("  {:<22} {} tile{}{}\n", kernel->id, tiles, tiles == 1 ? "" : "s",
                                variants == 1 ? "" : fmt::format(", packed in {} ways", variants));
        }
    }
    double least = 0;
    for (const LayerForecast& layer : forecast) least += layer.least_seconds;
    text += fmt::format("threads {}; batches {}; for {}; about {}, of which {} cannot be saved\n",
                        joined(options.threads), fmt::join(options.batches, ", "),
                        goal_name(options.goal), duration(predicted_seconds(forecast, options)),
                        duration(least));
    return text;
}

std::string gains_table(const Workload& workload, const ThreadsResult& result) {
    std::vector<std::vector<std::string>> rows = {
        {"layer", "batch", "default", "tuned", "gain [95%]"}};
    for (size_t i = 0; i < workload.layers.size(); ++i) {
        for (const BucketResult& b : result.layers[i].buckets) {
            const bool same = same_candidate(b.winner, b.standard);
            const bool kept = !same && same_candidate(b.choice, b.standard);
            std::string gain = same ? "the same" : gain_text(b.gain);
            if (kept) gain += ", the default stays";
            rows.push_back({layer_name(workload.layers[i]), bucket_name(b.bucket),
                            candidate_name(b.standard), candidate_name(b.winner), gain});
        }
    }
    std::vector<size_t> widths(rows.front().size(), 0);
    for (const auto& row : rows) {
        for (size_t c = 0; c < row.size(); ++c) widths[c] = std::max(widths[c], row[c].size());
    }
    std::string text;
    for (const auto& row : rows) {
        for (size_t c = 0; c + 1 < row.size(); ++c) {
            text += fmt::format("{:<{}}  ", row[c], widths[c]);
        }
        text += row.back() + "\n";
    }
    return text;
}

std::string threads_text(const std::vector<ThreadsResult>& results, size_t best) {
    std::string text;
    for (size_t i = 0; i < results.size(); ++i) {
        text += fmt::format(
            "{} thread{}: products of a token alone {:.3f} ms, in a batch {:.3f} "
            "ms{}\n",
            results[i].threads, results[i].threads == 1 ? "" : "s", results[i].decode_ns * 1e-6,
            results[i].prefill_ns * 1e-6, i == best && results.size() > 1 ? "  <- the plan" : "");
    }
    return text;
}

std::string notes_text(const Workload& workload, const ThreadsResult& result) {
    std::string text;
    for (size_t i = 0; i < workload.layers.size(); ++i) {
        for (const std::string& note : result.layers[i].notes) {
            text += fmt::format("note: {}: {}\n", layer_name(workload.layers[i]), note);
        }
    }
    return text;
}

std::string phase_text(const char* name, const AbPhase& phase) {
    return fmt::format("{:<8} {:.2f} tokens/s, default {:.2f}: {}\n", name, phase.ours,
                       phase.standard, gain_text(phase.gain));
}

std::string plan_file_text(const Plan& plan, const TuneOptions& options,
                           const std::vector<ThreadsResult>& results, const std::string& of_model,
                           const AbResult* compared) {
    const auto best_for = [&](double ThreadsResult::*ns) {
        return std::min_element(
                   results.begin(), results.end(),
                   [&](const ThreadsResult& a, const ThreadsResult& b) { return a.*ns < b.*ns; })
            ->threads;
    };
    std::string text = "# A plan of tritbench tune: tritbench run --plan FILE, and others.\n";
    text += plan_text(plan);
    text += "\n[notes]\n";
    text += fmt::format("tritbench = {}\n", quoted(version_text()));
    text += fmt::format("cpu = {}\n", quoted(machine_card().cpu_model));
    if (!of_model.empty()) text += fmt::format("model = {}\n", quoted(of_model));
    text += fmt::format("for = \"{}\"\n", goal_name(options.goal));
    text += fmt::format("threads_tried = [{}]\n", joined(options.threads));
    if (!options.pins.empty()) text += fmt::format("pins = \"{}\"\n", options.pins);
    text += fmt::format("best_threads_decode = {}\n", best_for(&ThreadsResult::decode_ns));
    text += fmt::format("best_threads_prefill = {}\n", best_for(&ThreadsResult::prefill_ns));
    if (compared != nullptr) {
        text += fmt::format("gain_decode = \"{}\"\n", gain_text(compared->decode.gain));
        text += fmt::format("gain_prefill = \"{}\"\n", gain_text(compared->prefill.gain));
    }
    return text;
}

std::string race_csv(const Workload& workload, const std::vector<ThreadsResult>& results) {
    std::string text =
        "layer,n,k,threads,batch,kernel,tile,outcome,rounds,ns,ratio,ratio_lo,ratio_hi\n";
    for (const ThreadsResult& result : results) {
        for (size_t i = 0; i < workload.layers.size(); ++i) {
            const TuneLayer& layer = workload.layers[i];
            for (const BucketResult& bucket : result.layers[i].buckets) {
                for (const Finish& f : bucket.field) {
                    const Standing& s = f.standing;
                    std::string outcome = f.outcome;
                    std::replace(outcome.begin(), outcome.end(), '"', '\'');
                    text += fmt::format(
                        "{},{},{},{},{},{},\"{}\",\"{}\",{},{:.1f},{:.4f},{},{}\n",
                        fmt::join(layer.roles, " "), layer.shape.n, layer.shape.k, result.threads,
                        bucket.bucket.raced, f.candidate.kernel->id,
                        tile_name(*f.candidate.kernel, f.candidate.tile), outcome, s.rounds, s.ns,
                        s.ratio, s.interval ? fmt::format("{:.4f}", s.interval->first) : "",
                        s.interval ? fmt::format("{:.4f}", s.interval->second) : "");
                }
            }
        }
    }
    return text;
}

void require_writable(const std::string& path) {
    const std::string partial = partial_name(path);
    std::FILE* file = std::fopen(partial.c_str(), "wb");
    if (file == nullptr) cannot_write(path, errno);
    std::fclose(file);
    std::remove(partial.c_str());
}

void write_whole(const std::string& path, const std::string& text) {
    const std::string partial = partial_name(path);
    std::FILE* file = std::fopen(partial.c_str(), "wb");
    if (file == nullptr) cannot_write(path, errno);
    bool good = std::fwrite(text.data(), 1, text.size(), file) == text.size();
    good = std::fclose(file) == 0 && good;
    good = good && std::rename(partial.c_str(), path.c_str()) == 0;
    if (good) return;
    const int cause = errno;
    std::remove(partial.c_str());
    cannot_write(path, cause);
}

}  // namespace tritbench
