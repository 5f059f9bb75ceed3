// tritbench env: the machine card, and everything that would make a timing untrustworthy.
#include <fmt/format.h>

#include <cstdio>

#include "harness/cli/commands.h"
#include "harness/core_sharing.h"
#include "harness/environment.h"
#include "harness/version.h"
#include "kernels/api/cpu.h"

namespace tritbench::cli {

namespace {

struct EnvFlags {
    bool as_json = false;
    bool probe = true;
};

// "unknown" where the system does not tell.
template <class T>
std::string known(const std::optional<T>& value, const char* format = "{}") {
    return value ? fmt::format(fmt::runtime(format), *value) : "unknown";
}

std::string gib(const std::optional<uint64_t>& bytes) {
    return bytes ? fmt::format("{:.1f} GiB", static_cast<double>(*bytes) / (1u << 30)) : "unknown";
}

std::string on_off(const std::optional<bool>& value) {
    return value ? (*value ? "on" : "off") : "unknown";
}

void line(const char* name, const std::string& value) {
    fmt::print("  {:<16} {}\n", name, value);
}

std::string cache_text(const CacheInfo& c) {
    const std::string size =
        c.bytes >= (1u << 20) ? fmt::format("{:.4g} MiB", static_cast<double>(c.bytes) / (1u << 20))
                              : fmt::format("{} KiB", c.bytes >> 10);
    const std::string sharing =
        c.shared_by == 1 ? "one thread each" : fmt::format("shared by {} threads", c.shared_by);
    return fmt::format("L{} {:<11} {:>9} x {}, {}", c.level, c.type, size, c.instances, sharing);
}

std::string load_text(const MachineCard& card) {
    if (!card.load1 || !card.load5 || !card.load15) return "unknown";
    return fmt::format("{:.2f} {:.2f} {:.2f}", *card.load1, *card.load5, *card.load15);
}

void print_machine(const MachineCard& card) {
    fmt::print("machine {}\n", card.machine_id());
    line("cpu", card.cpu_model.empty() ? "unknown" : card.cpu_model);
    line("identity", fmt::format("{} family {} model {} stepping {}",
                                 card.vendor.empty() ? "unknown" : card.vendor, known(card.family),
                                 known(card.model), known(card.stepping)));
    line("cores",
         fmt::format("{} cores, {} hardware threads", known(card.cores), known(card.threads)));
    if (card.caches.empty()) line("caches", "unknown");
    for (const CacheInfo& cache : card.caches)
        line(&cache == &card.caches.front() ? "caches" : "", cache_text(cache));
    line("memory", gib(card.memory_bytes));
    line("isa", card.isa_features.empty() ? "none known"
                                          : fmt::format("{}", fmt::join(card.isa_features, " ")));
}

void print_today(const MachineCard& card) {
    fmt::print("\ntoday\n");
    line("kernel", known(card.kernel));
    line("microcode", known(card.microcode));
    line("governor", known(card.governor));
    line("clock", fmt::format("{} MHz now, {} MHz at most", known(card.current_mhz, "{:.0f}"),
                              known(card.max_mhz, "{:.0f}")));
    line("boost", on_off(card.boost));
    line("smt", on_off(card.smt_active));
    if (card.smt_siblings && !card.smt_siblings->empty()) {
        line("siblings", fmt::format("CPUs {}", fmt::join(*card.smt_siblings, "  ")));
    }
    line("numa nodes", known(card.numa_nodes));
    line("huge pages",
         fmt::format("transparent: {}, reserved: {}", known(card.transparent_huge_pages),
                     known(card.huge_pages_reserved)));
    line("aslr", known(card.aslr));
    line("load average", load_text(card));
    line("hypervisor", card.hypervisor.value_or("none seen"));
    line("container", card.container.value_or("none seen"));
    line("allowed",
         fmt::format("CPUs {}, quota {}", card.allowed_cpus.empty() ? "unknown" : card.allowed_cpus,
                     card.cpu_quota ? fmt::format("{:.2f} CPUs", *card.cpu_quota) : "none seen"));
    line("allowed isa", feature_names(allowed_features()));
    line("throttled", known(card.throttle_events, "{} times since boot"));
    line("temperature",
         card.temperature_c ? fmt::format("{:.0f} C", *card.temperature_c) : "unknown");
    line("stolen time", known(card.steal_percent, "{:.2f}% since boot"));
    line("clock source", known(card.clock_source));
    line("uptime", card.uptime_s ? fmt::format("{:.1f} h", *card.uptime_s / 3600) : "unknown");
    line("free memory", gib(card.memory_available_bytes));
    line("swap in use", gib(card.swap_used_bytes));
    line("binary", version_text());
}

// "CPUs 0+1 1.02x": how much longer a loop takes when both run it.
std::string core_sharing_text(const CoreProbe& probe) {
    if (probe.pairs.empty()) return "one CPU";
    constexpr size_t kMostPrinted = 6;
    std::vector<std::string> texts;
    for (const CpuPair& pair : probe.pairs) {
        if (texts.size() == kMostPrinted) break;
        texts.push_back(fmt::format("{}+{} {}", pair.first, pair.second,
                                    pair.slowdown ? fmt::format("{:.2f}x", *pair.slowdown) : "?"));
    }
    return fmt::format("CPUs {}{}; {} of {} pairs measured", fmt::join(texts, ", "),
                       probe.pairs.size() > texts.size() ? " ..." : "", probe.pairs.size(),
                       probe.pairs_in_all);
}

nlohmann::json core_sharing_json(const CoreProbe& probe) {
    nlohmann::json pairs = nlohmann::json::array();
    for (const CpuPair& pair : probe.pairs) {
        pairs.push_back({{"cpus", {pair.first, pair.second}},
                         {"slowdown", pair.slowdown ? nlohmann::json(*pair.slowdown) : nullptr},
                         {"siblings", pair.siblings},
                         {"shared", core_verdict(pair.slowdown) == CoreVerdict::Shared}});
    }
    return {{"pairs", pairs}, {"pairs_in_all", probe.pairs_in_all}};
}

void print_reasons(const std::vector<std::string>& reasons) {
    if (reasons.empty()) {
        fmt::print("\nnothing found that would make timings here untrustworthy\n");
        return;
    }
    fmt::print("\nwhy timings here may not be trusted, and what to do\n");
    for (const std::string& reason : reasons) fmt::print("  - {}\n", reason);
}

}  // namespace

void add_env(CLI::App& app, int* /*exit_code*/) {
    CLI::App* command = app.add_subcommand(
        "env", "Show the machine card, and everything that makes timings here untrustworthy");
    auto flags = std::make_shared<EnvFlags>();
    command->add_flag("--json", flags->as_json,
                      "Print the card, the reasons and the marks as JSON");
    command->add_flag("!--no-probe", flags->probe,
                      "Do not measure which CPUs share a core (at most 2 s)");
    command->callback([flags] {
        const MachineCard card = machine_card();
        std::vector<std::string> reasons = distrust_reasons(card);
        std::optional<CoreProbe> probe;
        if (flags->probe) probe = probe_cores_here();
        if (probe) {
            for (const std::string& reason : probe_reasons(*probe)) reasons.push_back(reason);
        }
        for (const std::string& reason : build_distrust_reasons()) reasons.push_back(reason);
        if (flags->as_json) {
            nlohmann::json out = card.json();
            out["distrust"] = reasons;
            out["noise_marks"] = noise_marks(card);
            out["core_sharing"] = probe ? core_sharing_json(*probe) : nlohmann::json(nullptr);
            out["allowed_isa"] = feature_names(allowed_features());
            out["binary"] = version_text();
            fmt::print("{}\n", out.dump(2));
            return;
        }
        print_machine(card);
        print_today(card);
        if (probe) line("two at a time", core_sharing_text(*probe));
        print_reasons(reasons);
    });
}

}  // namespace tritbench::cli
