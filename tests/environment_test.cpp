// The machine card from fake trees: what is read, what stays unknown, what makes the id.
#include "harness/environment.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <set>

#include "harness/cpu_identity.h"
#include "harness/system_files.h"
#include "model/aligned_buffer.h"
#include "tests/fake_root.h"

namespace tritbench {
namespace {

TEST_F(FakeRoot, IntelCardIsRead) {
    put_intel();
    const MachineCard c = card();
    EXPECT_EQ(c.cpu_model, "Intel(R) Xeon(R) Gold 6430 CPU @ 2.10GHz");
    EXPECT_EQ(c.vendor, "GenuineIntel");
    EXPECT_EQ(c.family, 6);
    EXPECT_EQ(c.model, 143);
    EXPECT_EQ(c.stepping, 8);
    EXPECT_EQ(c.cores, 2);
    EXPECT_EQ(c.threads, 2);
    EXPECT_EQ(c.memory_bytes, uint64_t{65535000} << 10);
    const std::vector<CacheInfo> caches{{1, "Data", 48u << 10, 1, 2},
                                        {1, "Instruction", 32u << 10, 1, 2},
                                        {2, "Unified", 2u << 20, 1, 2},
                                        {3, "Unified", 60u << 20, 2, 1}};
    EXPECT_EQ(c.caches, caches);
    for (const char* feature :
         {"ssse3", "avx2", "fma", "f16c", "avxvnni", "avx512f", "avx512vnni", "avx512vbmi"})
        EXPECT_TRUE(has(c.isa_features, feature)) << feature;
    EXPECT_FALSE(has(c.isa_features, "avx512fp16"));
    EXPECT_EQ(c.governor, "performance");
    EXPECT_EQ(c.max_mhz, 3400);
    EXPECT_EQ(c.boost, false);
    EXPECT_EQ(c.smt_active, false);
    EXPECT_EQ(c.numa_nodes, 1);
    EXPECT_EQ(c.transparent_huge_pages, "madvise");
    EXPECT_EQ(c.load1, 0.01);
    EXPECT_EQ(c.steal_percent, 0);
    EXPECT_EQ(c.uptime_s, 4000.25);
    EXPECT_EQ(c.microcode, "0x2b000590");
    EXPECT_EQ(c.allowed_cpu_count, 2);
    EXPECT_TRUE(c.machine_id().starts_with("intel-xeon-gold-6430-")) << c.machine_id();
    EXPECT_EQ(c.machine_id().size(), std::string("intel-xeon-gold-6430-").size() + 8);
}

TEST_F(FakeRoot, QuietMachineGivesNoReasonAndNoMark) {
    put_intel();
    EXPECT_EQ(distrust_reasons(card()), std::vector<std::string>{});
    auto marks = noise_marks(card());
    std::erase(marks, "not_release_build");  // of this binary, not of the machine
    EXPECT_EQ(marks, std::vector<std::string>{});
}

TEST_F(FakeRoot, IdIgnoresWhatIsVolatile) {
    put_intel();
    const std::string id = card().machine_id();
    put("proc/sys/kernel/osrelease", "6.12.0");
    put("proc/loadavg", "7.00 5.00 3.00 1/88 7020");
    put("proc/uptime", "12");
    put("proc/self/status", "Cpus_allowed_list:\t1");
    put("sys/kernel/mm/transparent_hugepage/enabled", "always madvise [never]");
    put(cpus_ + "cpu0/cpufreq/scaling_governor", "powersave");
    put(cpus_ + "intel_pstate/no_turbo", "0");
    // A new kernel keeps some megabytes more for itself.
    put("proc/meminfo", "MemTotal:       65480000 kB\nMemAvailable:   100000 kB");
    const MachineCard other = card();
    EXPECT_EQ(other.load1, 7.0);
    EXPECT_EQ(other.governor, "mixed");
    EXPECT_EQ(other.machine_id(), id);
}

TEST_F(FakeRoot, IdSurvivesSwitchingSmtOff) {
    put_amd_smt();
    const std::string id = card().machine_id();
    EXPECT_TRUE(id.starts_with("amd-ryzen-9-5950x-")) << id;
    put(cpus_ + "online", "0-1");
    put(cpus_ + "smt/active", "0");
    for (int cpu = 2; cpu < 4; ++cpu) {
        drop(cpus_ + "cpu" + std::to_string(cpu) + "/topology");
        drop(cpus_ + "cpu" + std::to_string(cpu) + "/cache");
    }
    for (int cpu = 0; cpu < 2; ++cpu) {
        put_cpu(cpu, cpu, 0, std::to_string(cpu));
        put_cache(cpu, 0, 1, "Data", "32K", std::to_string(cpu));
        put_cache(cpu, 3, 3, "Unified", "32768K", std::to_string(cpu));
    }
    EXPECT_EQ(card().machine_id(), id);
}

TEST_F(FakeRoot, IdDiffersWithEachStablePart) {
    put_intel();
    MachineCard base = card();
    std::set<std::string> ids{base.machine_id()};
    const auto distinct = [&](auto&& change) {
        MachineCard changed = base;
        change(changed);
        return ids.insert(changed.machine_id()).second;
    };
    EXPECT_TRUE(distinct([](MachineCard& c) { c.cpu_model = "Intel(R) Xeon(R) Gold 6448Y"; }));
    EXPECT_TRUE(distinct([](MachineCard& c) { c.vendor = "Other"; }));
    EXPECT_TRUE(distinct([](MachineCard& c) { c.family = 7; }));
    EXPECT_TRUE(distinct([](MachineCard& c) { c.model = 144; }));
    EXPECT_TRUE(distinct([](MachineCard& c) { c.stepping = 9; }));
    EXPECT_TRUE(distinct([](MachineCard& c) { c.stepping.reset(); }));
    EXPECT_TRUE(distinct([](MachineCard& c) { c.cores = 4; }));
    EXPECT_TRUE(distinct([](MachineCard& c) { c.threads = 4; }));
    EXPECT_TRUE(distinct([](MachineCard& c) { c.caches[3].bytes *= 2; }));
    EXPECT_TRUE(distinct([](MachineCard& c) { c.caches[3].instances = 2; }));
    EXPECT_TRUE(distinct([](MachineCard& c) { c.memory_bytes = *c.memory_bytes * 2; }));
    EXPECT_TRUE(distinct([](MachineCard& c) { c.isa_features.pop_back(); }));
}

TEST_F(FakeRoot, AmdWithSmtBoostAndGovernor) {
    put_amd_smt();
    const MachineCard c = card();
    EXPECT_EQ(c.cores, 2);
    EXPECT_EQ(c.threads, 4);
    EXPECT_EQ(c.smt_active, true);
    EXPECT_EQ(c.boost, true);
    EXPECT_EQ(c.governor, "schedutil");
    const std::vector<CacheInfo> caches{{1, "Data", 32u << 10, 2, 2},
                                        {3, "Unified", 32u << 20, 2, 2}};
    EXPECT_EQ(c.caches, caches);
    const auto reasons = distrust_reasons(c);
    EXPECT_TRUE(mentions(reasons, "SMT is active"));
    EXPECT_TRUE(mentions(reasons, "boost"));
    EXPECT_TRUE(mentions(reasons, "'schedutil'"));
    EXPECT_TRUE(mentions(reasons, "cpupower frequency-set"));
    EXPECT_FALSE(mentions(reasons, "virtual machine"));
    const auto marks = noise_marks(c);
    EXPECT_TRUE(has(marks, "governor_not_performance"));
    EXPECT_TRUE(has(marks, "boost_on"));
    EXPECT_TRUE(std::is_sorted(marks.begin(), marks.end()));
}

TEST_F(FakeRoot, ArmWithoutMostFiles) {
    put("proc/cpuinfo",
        "processor\t: 0\nBogoMIPS\t: 243.75\nFeatures\t: fp asimd asimddp i8mm sve\n"
        "CPU implementer\t: 0x41\nCPU architecture: 8\nCPU variant\t: 0x1\nCPU part\t: 0xd40\n"
        "CPU revision\t: 1\n\nprocessor\t: 1\nFeatures\t: fp asimd asimddp\n"
        "CPU implementer\t: 0x41\nCPU variant\t: 0x1\nCPU part\t: 0xd40\nCPU revision\t: 1");
    const MachineCard c = card();
    EXPECT_EQ(c.cpu_model, "Neoverse-V1");
    EXPECT_EQ(c.vendor, "ARM");
    EXPECT_EQ(c.model, 0xd40);
    EXPECT_EQ(c.stepping, 0x11);
    EXPECT_EQ(c.threads, 2);
    EXPECT_TRUE(has(c.isa_features, "neon"));
    EXPECT_TRUE(has(c.isa_features, "dotprod"));
    EXPECT_TRUE(has(c.isa_features, "i8mm"));
    EXPECT_FALSE(has(c.isa_features, "sve2"));
    // Unknown is empty, never zero.
    EXPECT_EQ(c.family, std::nullopt);
    EXPECT_EQ(c.cores, std::nullopt);
    EXPECT_EQ(c.memory_bytes, std::nullopt);
    EXPECT_EQ(c.governor, std::nullopt);
    EXPECT_EQ(c.load1, std::nullopt);
    EXPECT_EQ(c.temperature_c, std::nullopt);
    EXPECT_EQ(c.steal_percent, std::nullopt);
    EXPECT_TRUE(c.caches.empty());
    const nlohmann::json json = c.json();
    EXPECT_TRUE(json["stable"]["memory_bytes"].is_null());
    EXPECT_TRUE(json["volatile"]["load1"].is_null());
    EXPECT_TRUE(json["volatile"]["smt_active"].is_null());
    EXPECT_EQ(json["stable"]["cpu_model"], "Neoverse-V1");
    EXPECT_EQ(json["machine_id"], c.machine_id());
    EXPECT_TRUE(c.machine_id().starts_with("neoverse-v1-"));
    EXPECT_TRUE(mentions(distrust_reasons(c), "governor unknown"));
}

TEST_F(FakeRoot, BigAndLittleCoresAreBothNamed) {
    put("proc/cpuinfo",
        "processor\t: 0\nCPU implementer\t: 0x41\nCPU part\t: 0xd05\n\n"
        "processor\t: 1\nCPU implementer\t: 0x41\nCPU part\t: 0xd0b\n\n"
        "processor\t: 2\nCPU implementer\t: 0x41\nCPU part\t: 0xfff");
    EXPECT_EQ(card().cpu_model, "Cortex-A55 + Cortex-A76 + ARM part 0xfff");
}

TEST_F(FakeRoot, VirtualMachineInAContainer) {
    put_intel();
    put("proc/cpuinfo",
        "processor\t: 0\nmodel name\t: Intel(R) Xeon(R) Processor\n"
        "flags\t\t: avx2 hypervisor");
    put("sys/class/dmi/id/sys_vendor", "Amazon EC2");
    put("proc/stat", "cpu  100 0 50 9000 0 0 0 850 0 0");
    put("proc/loadavg", "3.00 2.00 1.00 1/88 7020");
    put("proc/self/cgroup", "0::/system.slice/job");
    put("sys/fs/cgroup/cpu.max", "max 100000");
    put("sys/fs/cgroup/system.slice/cpu.max", "150000 100000");
    put("sys/fs/cgroup/system.slice/memory.max", "8000000");
    put("sys/fs/cgroup/system.slice/memory.current", "3000000");
    put("run/.containerenv", "");
    put("sys/devices/system/clocksource/clocksource0/current_clocksource", "hpet");
    put("sys/kernel/mm/transparent_hugepage/enabled", "always madvise [never]");
    const MachineCard c = card();
    EXPECT_EQ(c.hypervisor, "kvm");
    EXPECT_EQ(c.container, "podman");
    EXPECT_EQ(c.cpu_quota, 1.5);
    EXPECT_EQ(c.steal_percent, 8.5);
    EXPECT_EQ(c.memory_available_bytes, 5'000'000u);
    const auto reasons = distrust_reasons(c);
    for (const char* word : {"virtual machine (kvm)", "8.5% of CPU time", "load average is 3.00",
                             "1.50 CPUs", "'hpet'", "huge pages are off"})
        EXPECT_TRUE(mentions(reasons, word)) << word;
    const auto marks = noise_marks(c);
    for (const char* mark :
         {"virtual_machine", "high_load", "cpu_quota", "slow_clock_source", "no_huge_pages"})
        EXPECT_TRUE(has(marks, mark)) << mark;
    for (const std::string& mark : marks)
        EXPECT_EQ(mark.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789_"),
                  std::string::npos)
            << mark;
}

TEST_F(FakeRoot, EveryReasonSaysWhatToDo) {
    put_intel();
    MachineCard c = card();
    c.hypervisor = "kvm";
    c.load1 = 9;
    c.cpu_quota = 1;
    c.smt_active = true;
    c.smt_siblings = {"0,1"};
    c.throttle_events = 3;
    c.allowed_cpu_count = 1;
    c.governor = "powersave";
    c.boost = true;
    c.temperature_c = 99;
    c.clock_source = "acpi_pm";
    c.transparent_huge_pages = "never";
    c.numa_nodes = 2;
    c.swap_used_bytes = 1u << 30;
    c.aslr = 2;
    c.steal_percent = 3;
    const auto reasons = distrust_reasons(c);
    EXPECT_EQ(reasons.size(), 15u);
    for (const std::string& reason : reasons) {
        EXPECT_NE(reason.find(';'), std::string::npos) << reason;
        EXPECT_EQ(reason.find('\n'), std::string::npos) << reason;
    }
}

TEST_F(FakeRoot, BareMetalCloudMachineIsNotVirtual) {
    put_intel();
    put("sys/class/dmi/id/sys_vendor", "Amazon EC2");
    put("sys/class/dmi/id/product_name", "m7i.metal-24xl");
    EXPECT_EQ(card().hypervisor, std::nullopt);
}

TEST_F(FakeRoot, TemperatureIgnoresOtherSensorsAndDeadOnes) {
    put("sys/class/hwmon/hwmon0/name", "nvme");
    put("sys/class/hwmon/hwmon0/temp1_input", "95000");
    put("sys/class/hwmon/hwmon1/name", "coretemp");
    put("sys/class/hwmon/hwmon1/temp1_input", "0");
    EXPECT_EQ(card().temperature_c, std::nullopt);
    put("sys/class/hwmon/hwmon1/temp2_input", "61500");
    put("sys/class/hwmon/hwmon1/temp3_input", "58000");
    EXPECT_EQ(card().temperature_c, 61.5);
}

TEST_F(FakeRoot, GarbageIsUnknownNotACrash) {
    put("proc/cpuinfo", "processor\nmodel name\t:\n::::\nflags");
    put("proc/meminfo", "MemTotal: lots\nMemAvailable: -5 kB");
    put("proc/loadavg", "high");
    put("proc/stat", "cpu  a b c d e f g h");
    put(cpus_ + "online", "3-1,x");
    put(cpus_ + "present", "0-99999999999");
    put(cpus_ + "cpu0/cache/index0/size", "K");
    put("sys/kernel/mm/transparent_hugepage/enabled", "]always[");
    put("sys/fs/cgroup/cpu.max", "100000 0");
    const MachineCard c = card();
    EXPECT_EQ(c.memory_bytes, std::nullopt);
    EXPECT_EQ(c.load1, std::nullopt);
    EXPECT_EQ(c.steal_percent, std::nullopt);
    EXPECT_EQ(c.transparent_huge_pages, std::nullopt);
    EXPECT_EQ(c.cpu_quota, std::nullopt);
    EXPECT_TRUE(c.machine_id().starts_with("unknown-cpu-"));
}

TEST_F(FakeRoot, EmptyRootIsAllUnknown) {
    const MachineCard c = card();
    const nlohmann::json json = c.json();
    EXPECT_GT(json["volatile"].size(), 20u);
    for (const auto& [name, value] : json["volatile"].items()) EXPECT_TRUE(value.is_null()) << name;
    EXPECT_EQ(c.machine_id(), card().machine_id());
}

TEST(MachineSlug, IsShortAndReadable) {
    EXPECT_EQ(cpu_slug("Intel(R) Core(TM) i7-8550U CPU @ 1.80GHz"), "intel-core-i7-8550u");
    EXPECT_EQ(cpu_slug("AMD EPYC 9654 96-Core Processor"), "amd-epyc-9654");
    EXPECT_EQ(cpu_slug("AMD Ryzen 7 7840U w/ Radeon 780M Graphics").substr(0, 17),
              "amd-ryzen-7-7840u");
    EXPECT_EQ(cpu_slug(""), "unknown-cpu");
    EXPECT_LE(cpu_slug(std::string(300, 'x') + " y").size(), 40u);
}

TEST(ThisMachine, HasAStableIdAndPlausibleSizes) {
    const MachineCard c = machine_card();
    EXPECT_EQ(c.machine_id(), machine_card().machine_id());
    EXPECT_GE(c.threads.value_or(0), 1);
    EXPECT_GE(c.allowed_cpu_count.value_or(0), 1);
    EXPECT_GE(last_level_cache_bytes(), 32u << 10);
    EXPECT_GT(available_memory_bytes(), 1u << 20);
    const uint64_t before = peak_rss_bytes();
    EXPECT_GT(before, 100u << 10);
    constexpr size_t kTouched = size_t{256} << 20;
    {
        const AlignedBuffer touched(kTouched);
        volatile char* bytes = touched.as<char>();
        for (size_t i = 0; i < kTouched; i += 4096) bytes[i] = 1;
    }
    EXPECT_GE(peak_rss_bytes(), kTouched);
    const auto marks = noise_marks_now();
    EXPECT_TRUE(std::is_sorted(marks.begin(), marks.end()));
}

TEST(Noise, QuietIntervalHasNoMarks) {
    NoiseSample a;
    a.steal_ticks = 10;
    a.busy_ticks = 1000;
    a.throttle_events = 5;
    NoiseSample b = a;
    b.busy_ticks = 1200;
    b.own_cpu_s = 2.0;
    b.involuntary_switches = 5;
    EXPECT_EQ(marks_between(a, b, 1.0), std::vector<std::string>{});
}

TEST(Noise, EachDisturbanceHasItsMark) {
    NoiseSample a;
    a.steal_ticks = 10;
    a.busy_ticks = 1000;
    a.throttle_events = 5;
    const auto marks = [&](auto&& change) {
        NoiseSample b = a;
        b.busy_ticks = 1100;
        b.own_cpu_s = 1.0;
        change(b);
        return marks_between(a, b, 1.0);
    };
    using Marks = std::vector<std::string>;
    EXPECT_EQ(marks([](NoiseSample& s) { s.steal_ticks = 12; }), Marks{"steal_time"});
    EXPECT_EQ(marks([](NoiseSample& s) { s.busy_ticks = 1150; }), Marks{"cpu_taken_by_others"});
    EXPECT_EQ(marks([](NoiseSample& s) { s.involuntary_switches = 60; }),
              Marks{"involuntary_switches"});
    EXPECT_EQ(marks([](NoiseSample& s) { s.major_faults = 1; }), Marks{"major_faults"});
    EXPECT_EQ(marks([](NoiseSample& s) { s.throttle_events = 6; }), Marks{"thermal_throttling"});
    a.migrations = 4;
    EXPECT_EQ(marks([](NoiseSample& s) { s.migrations = 5; }), Marks{"migrations"});
    EXPECT_EQ(marks([](NoiseSample& s) { s.migrations = 3; }), Marks{});  // a thread has ended
    EXPECT_EQ(marks([](NoiseSample& s) { s.migrations.reset(); }), Marks{});
    // Unknown counters say nothing.
    EXPECT_EQ(marks([](NoiseSample& s) { s.steal_ticks.reset(), s.throttle_events.reset(); }),
              Marks{});
}

TEST_F(FakeRoot, NoiseSampleReadsTheSystemCounters) {
    put("proc/stat", "cpu  10 20 30 1000 7 4 5 6 99 0\ncpu0 1 2 3 4");
    put(cpus_ + "online", "0-1");
    put(cpus_ + "cpu0/thermal_throttle/core_throttle_count", "3");
    put(cpus_ + "cpu1/thermal_throttle/core_throttle_count", "4");
    const NoiseSample sample = noise_sample_now(root_.string());
    EXPECT_EQ(sample.busy_ticks, 10u + 20 + 30 + 4 + 5);
    EXPECT_EQ(sample.steal_ticks, 6u);
    EXPECT_EQ(sample.throttle_events, 7u);
    EXPECT_EQ(sample.migrations, std::nullopt);
    put("proc/self/task/70/sched", "x (70, #threads: 2)\n---\nse.nr_migrations   :    3");
    put("proc/self/task/71/sched", "se.nr_migrations   :    2\nnr_switches  :  9");
    put("proc/self/task/72/sched", "nothing of use");
    EXPECT_EQ(noise_sample_now(root_.string()).migrations, 5u);
    drop("proc");
    drop("sys");
    const NoiseSample none = noise_sample_now(root_.string());
    EXPECT_EQ(none.busy_ticks, std::nullopt);
    EXPECT_EQ(none.steal_ticks, std::nullopt);
    EXPECT_EQ(none.throttle_events, std::nullopt);
}

TEST(SystemText, ListsAndSizes) {
    EXPECT_EQ(cpu_list("0-2,5"), (std::vector<int>{0, 1, 2, 5}));
    EXPECT_EQ(cpu_list(""), std::vector<int>{});
    EXPECT_EQ(cpu_list("2-1"), std::nullopt);
    EXPECT_EQ(cpu_list("0-9999999"), std::nullopt);
    EXPECT_EQ(cpu_list_text({0, 1, 2, 5, 7, 8}), "0-2,5,7-8");
    EXPECT_EQ(cpu_list_text({}), "");
    EXPECT_EQ(size_with_suffix("48K"), 48u << 10);
    EXPECT_EQ(size_with_suffix("3M"), 3u << 20);
    EXPECT_EQ(size_with_suffix("12"), 12u);
    EXPECT_EQ(size_with_suffix("K"), std::nullopt);
    EXPECT_EQ(field("a b\t: 1\nab: 2", "ab"), "2");
    EXPECT_EQ(field("ab:", "ab"), std::nullopt);
}

}  // namespace
}  // namespace tritbench
