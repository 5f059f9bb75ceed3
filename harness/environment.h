// The machine card: what a timing was measured on, and everything that makes it untrustworthy.
//
// A machine has a stable part, from which its id follows, and a volatile part that may differ
// between two runs on it. What cannot be read is empty, never zero. Everything is read from /proc
// and /sys below a root that tests replace by a fake tree.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

namespace tritbench {

// One kind of cache. Hybrid CPUs have several kinds at one level.
struct CacheInfo {
    int level = 0;
    std::string type;    // "Data", "Instruction", "Unified"
    uint64_t bytes = 0;  // of one instance
    int shared_by = 0;   // hardware threads that share one instance
    int instances = 0;
    bool operator==(const CacheInfo&) const = default;
};

struct MachineCard {
    // ---- stable: these make the id -----------------------------------------------------------
    std::string cpu_model;                       // marketing name, or the ARM core's name
    std::string vendor;                          // GenuineIntel, AuthenticAMD, ARM, ...
    std::optional<int> family, model, stepping;  // x86; ARM: empty, part, revision
    std::optional<int> cores;                    // physical cores
    std::optional<int> threads;  // hardware threads present, whether switched on or not
    std::vector<CacheInfo> caches;
    std::optional<uint64_t> memory_bytes;   // MemTotal; the id takes it rounded up to GiB
    std::vector<std::string> isa_features;  // names of kernels/api/cpu.h

    // ---- volatile ------------------------------------------------------------------------------
    std::optional<std::string> kernel;     // release of the operating system kernel
    std::optional<std::string> microcode;  // "0x2b000590"
    std::optional<std::string> governor;   // of cpu 0, or "mixed"
    std::optional<double> max_mhz, current_mhz;
    std::optional<bool> boost;  // turbo allowed
    std::optional<bool> smt_active;
    // Hardware threads of one core among the allowed CPUs, "0,4"; empty: none are.
    std::optional<std::vector<std::string>> smt_siblings;
    std::optional<int> numa_nodes;
    std::optional<std::string> transparent_huge_pages;  // always, madvise, never
    std::optional<uint64_t> huge_pages_reserved;        // of the default size
    std::optional<int> aslr;                            // 0, 1, 2
    std::optional<double> load1, load5, load15;
    std::optional<std::string> hypervisor;    // "kvm", "vmware", "unnamed", ...; empty: none seen
    std::optional<std::string> container;     // "docker", "podman", ...; empty: none seen
    std::optional<double> cpu_quota;          // CPUs a control group grants; empty: no limit
    std::optional<double> temperature_c;      // hottest CPU sensor
    std::optional<uint64_t> throttle_events;  // thermal throttling since boot, all cores
    std::optional<double> steal_percent;      // CPU time taken by the hypervisor since boot
    std::optional<std::string> clock_source;
    std::optional<double> uptime_s;
    std::optional<uint64_t> memory_available_bytes, swap_used_bytes;
    std::string allowed_cpus;  // CPUs this process may use, "0-3"; "" unknown
    std::optional<int> allowed_cpu_count;

    // "<short name of the CPU>-<8 hex digits>": equal on equal machines.
    std::string machine_id() const;

    // {"machine_id":, "stable": {...}, "volatile": {...}}; unknown values are null.
    nlohmann::json json() const;
};

// Reads the card. `sysroot` has proc/ and sys/ below it. The ISA features of the root "/" are those
// detected on the running CPU; of a fake root, those its cpuinfo lists.
MachineCard machine_card(const std::string& sysroot = "/");

// Every reason why a timing on this machine cannot be trusted, one line each: "what: what to do".
std::vector<std::string> distrust_reasons(const MachineCard& card);

// The same for the binary itself: not a Release build, sanitizers, a tree with changes.
std::vector<std::string> build_distrust_reasons();

// Marks for a result row, snake_case, sorted: virtual_machine, governor_not_performance, boost_on,
// high_load (more runnable tasks than CPUs), cpu_quota, no_huge_pages, slow_clock_source,
// swap_in_use, hot_cpu (over 90 C), not_release_build.
std::vector<std::string> noise_marks(const MachineCard& card);
std::vector<std::string> noise_marks_now();

// All last-level caches of the machine together: what a cold rotation must exceed. Where nothing
// tells the size, 64 MiB is assumed (*known = false).
uint64_t last_level_cache_bytes(bool* known = nullptr);

// MemAvailable, or what the memory limit of the control group leaves, whichever is less.
uint64_t available_memory_bytes();

// Largest resident set of this process since it was started.
uint64_t peak_rss_bytes();

// Counters that tell a disturbed measurement. Take one before and one after, outside the timing
// (a sample reads a few files, about 0.1 ms).
struct NoiseSample {
    std::optional<uint64_t> steal_ticks;      // all CPUs, ticks of `ticks_per_s`
    std::optional<uint64_t> busy_ticks;       // all CPUs: user, nice, system, irq, softirq
    double own_cpu_s = 0;                     // user and system time of this process, all threads
    uint64_t involuntary_switches = 0;        // of this process
    uint64_t major_faults = 0;                // pages read from disk
    std::optional<uint64_t> throttle_events;  // thermal throttling, all cores
    std::optional<uint64_t> migrations;       // of the threads that there are, between CPUs
    double ticks_per_s = 100;
};
// What getrusage tells is of the running process; all else comes from `sysroot`.
NoiseSample noise_sample_now(const std::string& sysroot = "/");

// Marks for what happened in between, sorted: steal_time (over 1% of `seconds`),
// cpu_taken_by_others (other processes used over 5% of a CPU, and over 3 ticks),
// involuntary_switches (over 50 a second, and over 5), major_faults (any), thermal_throttling,
// migrations (any: threads that are timed are pinned).
std::vector<std::string> marks_between(const NoiseSample& before, const NoiseSample& after,
                                       double seconds);

}  // namespace tritbench
