#include "harness/environment.h"

#include <algorithm>
#include <map>
#include <set>
#include <tuple>

#include "harness/control_groups.h"
#include "harness/cpu_identity.h"
#include "harness/system_files.h"
#include "harness/thermal.h"
#include "model/thread_pool.h"

namespace tritbench {

namespace {

const std::string kCpus = "sys/devices/system/cpu/";

std::string cpu_folder(int cpu) {
    return kCpus + "cpu" + std::to_string(cpu) + "/";
}

// CPUs whose folders are filled: online, else all that /proc/cpuinfo lists.
std::vector<int> online_cpus(const SystemFiles& files, const std::string& cpuinfo) {
    if (const auto text = files.word(kCpus + "online"))
        if (auto cpus = cpu_list(*text); cpus && !cpus->empty()) return *cpus;
    std::vector<int> cpus;
    for (const std::string& line : lines_of(cpuinfo))
        if (line.starts_with("processor")) cpus.push_back(static_cast<int>(cpus.size()));
    return cpus;
}

void read_topology(MachineCard& card, const SystemFiles& files, const std::vector<int>& cpus) {
    // Present rather than online: switching SMT off must not make another machine.
    if (const auto text = files.word(kCpus + "present"))
        if (const auto present = cpu_list(*text); present && !present->empty())
            card.threads = static_cast<int>(present->size());
    if (!card.threads && !cpus.empty()) card.threads = static_cast<int>(cpus.size());

    std::set<std::pair<int64_t, int64_t>> cores;
    for (const int cpu : cpus) {
        const std::string topology = cpu_folder(cpu) + "topology/";
        const auto core = files.integer(topology + "core_id");
        const auto package = files.integer(topology + "physical_package_id");
        if (core) cores.emplace(package.value_or(0), *core);
    }
    if (!cores.empty()) card.cores = static_cast<int>(cores.size());
}

// Of the CPUs allowed, those that are hardware threads of one core.
void read_siblings(MachineCard& card, const SystemFiles& files) {
    const auto allowed = cpu_list(card.allowed_cpus);
    if (!allowed || allowed->empty()) return;
    std::set<std::string> groups;
    for (const int cpu : *allowed) {
        const auto list = files.word(cpu_folder(cpu) + "topology/thread_siblings_list");
        auto siblings = list ? cpu_list(*list) : std::nullopt;
        if (!siblings) return;
        std::erase_if(*siblings, [&](int sibling) {
            return std::find(allowed->begin(), allowed->end(), sibling) == allowed->end();
        });
        if (siblings->size() > 1) groups.insert(cpu_list_text(*siblings));
    }
    card.smt_siblings.emplace(groups.begin(), groups.end());
}

void read_caches(MachineCard& card, const SystemFiles& files, const std::vector<int>& cpus) {
    // (level, type, CPUs that share it) names one cache.
    std::map<std::tuple<int, std::string, std::string>, uint64_t> instances;
    for (const int cpu : cpus) {
        const std::string folder = cpu_folder(cpu) + "cache/";
        for (const std::string& index : files.names(folder)) {
            const auto level = files.integer(folder + index + "/level");
            const auto type = files.word(folder + index + "/type");
            const auto size = files.word(folder + index + "/size");
            if (!level || !type || !size) continue;
            const auto bytes = size_with_suffix(*size);
            const std::string shared =
                files.word(folder + index + "/shared_cpu_list").value_or(std::to_string(cpu));
            if (bytes && *bytes > 0) instances[{static_cast<int>(*level), *type, shared}] = *bytes;
        }
    }
    for (const auto& [key, bytes] : instances) {
        const auto& [level, type, shared] = key;
        const auto sharers = cpu_list(shared);
        CacheInfo cache{level, type, bytes, sharers ? static_cast<int>(sharers->size()) : 1, 1};
        const auto same =
            std::find_if(card.caches.begin(), card.caches.end(), [&](const CacheInfo& c) {
                return c.level == cache.level && c.type == cache.type && c.bytes == cache.bytes &&
                       c.shared_by == cache.shared_by;
            });
        if (same == card.caches.end())
            card.caches.push_back(cache);
        else
            ++same->instances;
    }
}

void read_frequency(MachineCard& card, const SystemFiles& files, const std::vector<int>& cpus) {
    for (const int cpu : cpus) {
        const std::string folder = cpu_folder(cpu) + "cpufreq/";
        const auto governor = files.word(folder + "scaling_governor");
        if (!governor) continue;
        if (!card.governor)
            card.governor = governor;
        else if (*card.governor != *governor)
            card.governor = "mixed";
    }
    if (!cpus.empty()) {
        const std::string folder = cpu_folder(cpus.front()) + "cpufreq/";
        if (const auto khz = files.integer(folder + "cpuinfo_max_freq"); khz && *khz > 0)
            card.max_mhz = static_cast<double>(*khz) / 1000;
        if (const auto khz = files.integer(folder + "scaling_cur_freq"); khz && *khz > 0)
            card.current_mhz = static_cast<double>(*khz) / 1000;
    }
    if (const auto no_turbo = files.integer(kCpus + "intel_pstate/no_turbo"))
        card.boost = *no_turbo == 0;
    else if (const auto boost = files.integer(kCpus + "cpufreq/boost"))
        card.boost = *boost != 0;
}

void read_system(MachineCard& card, const SystemFiles& files, const std::string& cpuinfo) {
    card.kernel = files.word("proc/sys/kernel/osrelease");
    card.microcode = field(cpuinfo, "microcode");
    if (!card.microcode) card.microcode = files.word(kCpus + "cpu0/microcode/version");
    if (const auto smt = files.integer(kCpus + "smt/active")) card.smt_active = *smt != 0;
    if (const auto nodes = files.word("sys/devices/system/node/online"))
        if (const auto list = cpu_list(*nodes); list && !list->empty())
            card.numa_nodes = static_cast<int>(list->size());
    // "always [madvise] never": the brackets mark the one in force.
    if (const auto thp = files.word("sys/kernel/mm/transparent_hugepage/enabled")) {
        const size_t open = thp->find('['), close = thp->find(']');
        if (open != std::string::npos && close != std::string::npos && open < close)
            card.transparent_huge_pages = thp->substr(open + 1, close - open - 1);
    }
    if (const auto aslr = files.integer("proc/sys/kernel/randomize_va_space"))
        card.aslr = static_cast<int>(*aslr);
    if (const auto load = files.word("proc/loadavg")) {
        const auto parts = words_of(*load);
        if (parts.size() >= 3) {
            card.load1 = leading_number(parts[0]);
            card.load5 = leading_number(parts[1]);
            card.load15 = leading_number(parts[2]);
        }
    }
    card.clock_source =
        files.word("sys/devices/system/clocksource/clocksource0/current_clocksource");
    if (const auto uptime = files.word("proc/uptime")) card.uptime_s = leading_number(*uptime);
    if (files.is_real()) {
        // As the process started: since then a pool may have pinned this very thread.
        const std::vector<int> cpus = allowed_cpus();
        card.allowed_cpus = cpu_list_text(cpus);
        card.allowed_cpu_count = static_cast<int>(cpus.size());
    } else if (const auto status = files.text("proc/self/status")) {
        card.allowed_cpus = field(*status, "Cpus_allowed_list").value_or("");
        if (const auto cpus = cpu_list(card.allowed_cpus); cpus && !cpus->empty())
            card.allowed_cpu_count = static_cast<int>(cpus->size());
    }
}

void read_memory(MachineCard& card, const SystemFiles& files) {
    const auto meminfo = files.text("proc/meminfo");
    if (!meminfo) return;
    const auto kilobytes = [&](const char* name) -> std::optional<uint64_t> {
        const auto value = field(*meminfo, name);
        const auto number = value ? leading_integer(*value) : std::nullopt;
        if (!number || *number < 0) return std::nullopt;
        return static_cast<uint64_t>(*number);
    };
    if (const auto total = kilobytes("MemTotal"); total && *total > 0)
        card.memory_bytes = *total << 10;
    if (const auto available = kilobytes("MemAvailable"))
        card.memory_available_bytes = *available << 10;
    const auto swap_total = kilobytes("SwapTotal"), swap_free = kilobytes("SwapFree");
    if (swap_total && swap_free && *swap_total >= *swap_free)
        card.swap_used_bytes = (*swap_total - *swap_free) << 10;
    card.huge_pages_reserved = kilobytes("HugePages_Total");
    if (const auto left = memory_left_by_limit(files); left && card.memory_available_bytes)
        card.memory_available_bytes = std::min(*card.memory_available_bytes, *left);
}

void read_steal(MachineCard& card, const SystemFiles& files) {
    const auto stat = files.text("proc/stat");
    if (!stat || !stat->starts_with("cpu ")) return;
    const auto parts = words_of(lines_of(*stat).front());
    if (parts.size() < 9) return;
    double total = 0, steal = 0;
    for (size_t i = 1; i <= 8; ++i) {
        const auto ticks = leading_number(parts[i]);
        if (!ticks) return;
        total += *ticks;
        if (i == 8) steal = *ticks;
    }
    if (total > 0) card.steal_percent = 100 * steal / total;
}

}  // namespace

MachineCard machine_card(const std::string& sysroot) {
    const SystemFiles files(sysroot);
    const std::string cpuinfo = files.text("proc/cpuinfo").value_or("");
    const std::vector<int> cpus = online_cpus(files, cpuinfo);
    MachineCard card;
    const CpuIdentity cpu = cpu_identity(files, cpuinfo);
    card.cpu_model = cpu.model_name;
    card.vendor = cpu.vendor;
    card.family = cpu.family;
    card.model = cpu.model;
    card.stepping = cpu.stepping;
    card.isa_features = cpu.isa_features;
    card.hypervisor = hypervisor_name(files, cpuinfo);
    card.container = container_name(files);
    card.cpu_quota = cpu_quota(files);
    read_topology(card, files, cpus);
    read_caches(card, files, cpus);
    read_frequency(card, files, cpus);
    read_system(card, files, cpuinfo);
    read_memory(card, files);
    card.temperature_c = cpu_temperature_c(files);
    card.throttle_events = throttle_events(files);
    read_siblings(card, files);
    read_steal(card, files);
    return card;
}

uint64_t last_level_cache_bytes(bool* known) {
    static const MachineCard card = machine_card();
    int last = 0;
    for (const CacheInfo& cache : card.caches) last = std::max(last, cache.level);
    uint64_t bytes = 0;
    for (const CacheInfo& cache : card.caches)
        if (cache.level == last && cache.type != "Instruction")
            bytes += cache.bytes * static_cast<uint64_t>(cache.instances);
    if (known) *known = bytes > 0;
    return bytes > 0 ? bytes : uint64_t{64} << 20;
}

}  // namespace tritbench
