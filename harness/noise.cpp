// What makes a timing untrustworthy: reasons with remedies, marks for a row, samples around it.
#include <fmt/format.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <set>
#include <string_view>

#include "harness/control_groups.h"
#include "harness/environment.h"
#include "harness/system_files.h"
#include "harness/thermal.h"
#include "harness/version.h"

namespace tritbench {

namespace {

constexpr double kHotCelsius = 90;
constexpr double kBusyLoad = 0.5;
constexpr double kStealPercent = 1;

// Sources that take a system call or a device access per reading: a microsecond each.
bool slow_clock(const std::string& source) {
    static const std::set<std::string> fast{"tsc", "kvm-clock", "hyperv_clocksource_tsc_page",
                                            "arch_sys_counter", "timebase"};
    return !fast.contains(source);
}

bool release_build() {
    return std::string_view(build_info().build_type) == "Release";
}

bool sanitized_build() {
    return std::string_view(build_info().flags).find("-fsanitize") != std::string_view::npos;
}

void clock_reasons(const MachineCard& card, std::vector<std::string>& reasons) {
    if (card.governor && *card.governor != "performance")
        reasons.push_back(
            fmt::format("frequency governor is '{}': the clock follows the load; set it with "
                        "'cpupower frequency-set -g performance' (root)",
                        *card.governor));
    if (!card.governor && !card.hypervisor)
        reasons.push_back(
            "frequency governor unknown: the clock may change unseen; check the firmware's power "
            "profile (maximum performance)");
    if (card.boost.value_or(false))
        reasons.push_back(
            "boost (turbo) is on: the clock depends on temperature and on busy cores; switch it "
            "off with 'echo 1 > /sys/devices/system/cpu/intel_pstate/no_turbo' or "
            "'echo 0 > /sys/devices/system/cpu/cpufreq/boost' (root), or compare within one run "
            "only");
    if (card.temperature_c && *card.temperature_c > kHotCelsius)
        reasons.push_back(
            fmt::format("CPU at {:.0f} C: it may throttle; let it cool down, improve the cooling",
                        *card.temperature_c));
    if (card.throttle_events.value_or(0) > 0)
        reasons.push_back(fmt::format(
            "cores were slowed {} times since boot for being too hot; improve the cooling, and see "
            "whether rows are marked thermal_throttling",
            *card.throttle_events));
    if (card.clock_source && slow_clock(*card.clock_source))
        reasons.push_back(
            fmt::format("clock source is '{}': reading the time is slow and coarse; boot with "
                        "'clocksource=tsc tsc=reliable' if the CPU allows it",
                        *card.clock_source));
}

// ", CPUs 0,4 and 1,5 are the hardware threads of one core": a few of them.
std::string siblings_text(const std::vector<std::string>& groups) {
    constexpr size_t kMost = 4;
    const std::vector<std::string> few(
        groups.begin(),
        groups.begin() + static_cast<std::ptrdiff_t>(std::min(kMost, groups.size())));
    return fmt::format(", CPUs {}{} are hardware threads of one core", fmt::join(few, " and "),
                       groups.size() > kMost ? " and so on" : "");
}

void sharing_reasons(const MachineCard& card, std::vector<std::string>& reasons) {
    if (card.hypervisor)
        reasons.push_back(fmt::format(
            "virtual machine ({}): neighbours share caches, memory and perhaps cores; compare "
            "within one run, repeat at another time, or use a machine of your own",
            *card.hypervisor));
    if (card.steal_percent && *card.steal_percent > kStealPercent)
        reasons.push_back(fmt::format(
            "{:.1f}% of CPU time was stolen by the hypervisor since boot; use dedicated cores",
            *card.steal_percent));
    if (card.load1 && *card.load1 > kBusyLoad)
        reasons.push_back(fmt::format(
            "load average is {:.2f}: other work is running; stop it ('top' shows it) and wait a "
            "minute",
            *card.load1));
    if (card.cpu_quota)
        reasons.push_back(fmt::format(
            "control group grants {:.2f} CPUs: threads are stopped when it is used up; run "
            "without a CPU limit (docker: without --cpus, with --cpuset-cpus)",
            *card.cpu_quota));
    if (card.smt_active.value_or(false) && (!card.smt_siblings || !card.smt_siblings->empty()))
        reasons.push_back(fmt::format(
            "SMT is active{}: two threads may share one core; pin one to each ('--pin cores'), or "
            "'echo off > /sys/devices/system/cpu/smt/control' (root)",
            card.smt_siblings ? siblings_text(*card.smt_siblings) : ""));
    if (card.allowed_cpu_count && card.threads && *card.allowed_cpu_count < *card.threads)
        reasons.push_back(fmt::format(
            "only CPUs {} of {} may be used: results are of that part of the machine; check "
            "'taskset -p $$' and the container's cpuset",
            card.allowed_cpus, *card.threads));
}

void memory_reasons(const MachineCard& card, std::vector<std::string>& reasons) {
    if (card.transparent_huge_pages && *card.transparent_huge_pages == "never")
        reasons.push_back(
            "transparent huge pages are off: weights sit in 4 KiB pages and miss the TLB; "
            "'echo madvise > /sys/kernel/mm/transparent_hugepage/enabled' (root)");
    if (card.numa_nodes.value_or(1) > 1)
        reasons.push_back(fmt::format(
            "{} NUMA nodes: memory of another node is slower; keep to one with 'numactl "
            "--cpunodebind=0 --membind=0'",
            *card.numa_nodes));
    if (card.swap_used_bytes.value_or(0) > 0)
        reasons.push_back(fmt::format(
            "{} MB of swap in use: memory was short; free some and run 'swapoff -a' (root)",
            *card.swap_used_bytes >> 20));
    if (card.aslr.value_or(0) > 0)
        reasons.push_back(
            "address space layout is randomised: code and buffers land elsewhere in each process "
            "(differences of a few percent); repeat in several processes, or run under "
            "'setarch -R'");
}

}  // namespace

std::vector<std::string> distrust_reasons(const MachineCard& card) {
    std::vector<std::string> reasons;
    sharing_reasons(card, reasons);
    clock_reasons(card, reasons);
    memory_reasons(card, reasons);
    return reasons;
}

std::vector<std::string> build_distrust_reasons() {
    const BuildInfo& build = build_info();
    std::vector<std::string> reasons;
    if (sanitized_build())
        reasons.emplace_back("built with sanitizers: nothing it times is of use; build Release");
    if (!release_build())
        reasons.push_back(
            fmt::format("this binary is a '{}' build; configure with -DCMAKE_BUILD_TYPE=Release",
                        build.build_type));
    if (build.dirty)
        reasons.push_back(fmt::format(
            "the source tree had changes on top of {}: results cannot be traced to a commit; "
            "commit, then build again",
            build.revision));
    return reasons;
}

std::vector<std::string> noise_marks(const MachineCard& card) {
    std::set<std::string> marks;
    if (card.hypervisor) marks.insert("virtual_machine");
    if (card.governor && *card.governor != "performance") marks.insert("governor_not_performance");
    if (card.boost.value_or(false)) marks.insert("boost_on");
    // The benchmark itself raises the load; more runnable tasks than CPUs is somebody else.
    const std::optional<int> cpus = card.allowed_cpu_count ? card.allowed_cpu_count : card.threads;
    if (card.load1 && cpus && *card.load1 > *cpus + kBusyLoad) marks.insert("high_load");
    if (card.cpu_quota) marks.insert("cpu_quota");
    if (card.transparent_huge_pages && *card.transparent_huge_pages == "never")
        marks.insert("no_huge_pages");
    if (card.clock_source && slow_clock(*card.clock_source)) marks.insert("slow_clock_source");
    if (card.swap_used_bytes.value_or(0) > 0) marks.insert("swap_in_use");
    if (card.temperature_c && *card.temperature_c > kHotCelsius) marks.insert("hot_cpu");
    if (!release_build() || sanitized_build()) marks.insert("not_release_build");
    return {marks.begin(), marks.end()};
}

std::vector<std::string> noise_marks_now() {
    return noise_marks(machine_card());
}

uint64_t available_memory_bytes() {
    const SystemFiles files("/");
    const auto meminfo = files.text("proc/meminfo");
    const auto value = meminfo ? field(*meminfo, "MemAvailable") : std::nullopt;
    const auto kilobytes = value ? leading_integer(*value) : std::nullopt;
    uint64_t bytes = 0;
    if (kilobytes && *kilobytes > 0) {
        bytes = static_cast<uint64_t>(*kilobytes) << 10;
    } else {
        const long pages = sysconf(_SC_AVPHYS_PAGES), page = sysconf(_SC_PAGESIZE);
        if (pages > 0 && page > 0)
            bytes = static_cast<uint64_t>(pages) * static_cast<uint64_t>(page);
    }
    const auto left = memory_left_by_limit(files);
    return left ? std::min(bytes, *left) : bytes;
}

uint64_t peak_rss_bytes() {
    // VmHWM starts anew with each program; ru_maxrss survives an exec and would show the parent's.
    const auto status = SystemFiles("/").text("proc/self/status");
    const auto value = status ? field(*status, "VmHWM") : std::nullopt;
    if (const auto kilobytes = value ? leading_integer(*value) : std::nullopt)
        return static_cast<uint64_t>(*kilobytes) << 10;
    rusage usage{};
    getrusage(RUSAGE_SELF, &usage);
    return static_cast<uint64_t>(usage.ru_maxrss) << 10;
}

namespace {

// Of every thread of this process; nothing where the system's kernel does not tell.
std::optional<uint64_t> thread_migrations(const SystemFiles& files) {
    const std::string tasks = "proc/self/task/";
    std::optional<uint64_t> sum;
    for (const std::string& task : files.names(tasks)) {
        const auto text = files.text(tasks + task + "/sched");
        const auto value = text ? field(*text, "se.nr_migrations") : std::nullopt;
        const auto count = value ? leading_integer(*value) : std::nullopt;
        if (count && *count >= 0) sum = sum.value_or(0) + static_cast<uint64_t>(*count);
    }
    return sum;
}

}  // namespace

NoiseSample noise_sample_now(const std::string& sysroot) {
    const SystemFiles files(sysroot);
    NoiseSample sample;
    sample.ticks_per_s = static_cast<double>(std::max(1L, sysconf(_SC_CLK_TCK)));
    if (const auto stat = files.text("proc/stat"); stat && stat->starts_with("cpu ")) {
        // cpu user nice system idle iowait irq softirq steal; user contains guest.
        const auto parts = words_of(lines_of(*stat).front());
        uint64_t busy = 0;
        for (const size_t column : {1, 2, 3, 6, 7})
            if (column < parts.size())
                busy += static_cast<uint64_t>(leading_integer(parts[column]).value_or(0));
        if (parts.size() > 7) sample.busy_ticks = busy;
        const auto steal = parts.size() > 8 ? leading_integer(parts[8]) : std::nullopt;
        if (steal) sample.steal_ticks = static_cast<uint64_t>(*steal);
    }
    sample.throttle_events = throttle_events(files);
    sample.migrations = thread_migrations(files);
    rusage usage{};
    getrusage(RUSAGE_SELF, &usage);
    const auto seconds = [](const timeval& t) {
        return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) * 1e-6;
    };
    sample.own_cpu_s = seconds(usage.ru_utime) + seconds(usage.ru_stime);
    sample.involuntary_switches = static_cast<uint64_t>(usage.ru_nivcsw);
    sample.major_faults = static_cast<uint64_t>(usage.ru_majflt);
    return sample;
}

std::vector<std::string> marks_between(const NoiseSample& before, const NoiseSample& after,
                                       double seconds) {
    std::set<std::string> marks;
    const auto grown = [](uint64_t from, uint64_t to) {
        return to > from ? static_cast<double>(to - from) : 0.0;
    };
    if (before.steal_ticks && after.steal_ticks) {
        const double stolen_s = grown(*before.steal_ticks, *after.steal_ticks) / after.ticks_per_s;
        if (stolen_s > 0.01 * seconds) marks.insert("steal_time");
    }
    if (before.busy_ticks && after.busy_ticks) {
        const double busy_s = grown(*before.busy_ticks, *after.busy_ticks) / after.ticks_per_s;
        const double others_s = busy_s - (after.own_cpu_s - before.own_cpu_s);
        if (others_s > 0.05 * seconds && others_s * after.ticks_per_s > 3)
            marks.insert("cpu_taken_by_others");
    }
    const double switches = grown(before.involuntary_switches, after.involuntary_switches);
    if (switches > 5 && switches > 50 * seconds) marks.insert("involuntary_switches");
    if (after.major_faults > before.major_faults) marks.insert("major_faults");
    if (before.throttle_events && after.throttle_events &&
        *after.throttle_events > *before.throttle_events)
        marks.insert("thermal_throttling");
    if (before.migrations && after.migrations && *after.migrations > *before.migrations)
        marks.insert("migrations");
    return {marks.begin(), marks.end()};
}

}  // namespace tritbench
