// Every reason to distrust a machine: a tree that has it and one that has not.
#include <gtest/gtest.h>

#include "harness/environment.h"
#include "tests/fake_root.h"

namespace tritbench {
namespace {

class Reasons : public FakeRoot {
  protected:
    // The quiet machine has none; with the file it has exactly this one.
    void expect_reason(const std::string& path, const std::string& text, const std::string& word) {
        put_intel();
        EXPECT_TRUE(distrust_reasons(card()).empty()) << word;
        put(path, text);
        const auto reasons = distrust_reasons(card());
        ASSERT_EQ(reasons.size(), 1u) << word;
        EXPECT_TRUE(mentions(reasons, word)) << reasons[0];
        // What to do stands after what is wrong.
        EXPECT_NE(reasons[0].find("; "), std::string::npos) << reasons[0];
    }
};

TEST_F(Reasons, Governor) {
    expect_reason(cpus_ + "cpu1/cpufreq/scaling_governor", "powersave", "governor is 'mixed'");
}

TEST_F(Reasons, UnknownGovernor) {
    put_intel();
    drop(cpus_ + "cpu0/cpufreq");
    drop(cpus_ + "cpu1/cpufreq");
    ASSERT_EQ(distrust_reasons(card()).size(), 1u);
    EXPECT_TRUE(mentions(distrust_reasons(card()), "governor unknown"));
}

TEST_F(Reasons, Turbo) {
    expect_reason(cpus_ + "intel_pstate/no_turbo", "0", "boost (turbo) is on");
}

TEST_F(Reasons, Heat) {
    put("sys/class/hwmon/hwmon0/name", "coretemp");
    put("sys/class/hwmon/hwmon0/temp1_input", "60000");
    expect_reason("sys/class/hwmon/hwmon0/temp1_input", "95000", "CPU at 95 C");
}

TEST_F(Reasons, Throttling) {
    put(cpus_ + "cpu0/thermal_throttle/core_throttle_count", "0");
    expect_reason(cpus_ + "cpu0/thermal_throttle/core_throttle_count", "12",
                  "cores were slowed 12 times");
}

TEST_F(Reasons, SlowClock) {
    expect_reason("sys/devices/system/clocksource/clocksource0/current_clocksource", "hpet",
                  "clock source is 'hpet'");
}

TEST_F(Reasons, VirtualMachine) {
    expect_reason("sys/hypervisor/type", "xen", "virtual machine (xen)");
}

TEST_F(Reasons, StolenTime) {
    expect_reason("proc/stat", "cpu  100 0 50 9000 0 0 0 850 0 0", "8.5% of CPU time was stolen");
}

TEST_F(Reasons, Load) {
    expect_reason("proc/loadavg", "0.90 0.05 0.09 1/88 7020", "load average is 0.90");
}

TEST_F(Reasons, CpuQuota) {
    put("sys/fs/cgroup/cpu.max", "max 100000");
    expect_reason("sys/fs/cgroup/cpu.max", "150000 100000", "1.50 CPUs");
}

TEST_F(Reasons, AllowedCpus) {
    expect_reason("proc/self/status", "Cpus_allowed_list:\t1", "only CPUs 1 of 2");
}

TEST_F(Reasons, SmallPages) {
    expect_reason("sys/kernel/mm/transparent_hugepage/enabled", "always madvise [never]",
                  "huge pages are off");
}

TEST_F(Reasons, NumaNodes) {
    expect_reason("sys/devices/system/node/online", "0-1", "2 NUMA nodes");
}

TEST_F(Reasons, Swap) {
    expect_reason("proc/meminfo",
                  "MemTotal: 65535000 kB\nMemAvailable: 60000000 kB\nSwapTotal: 9000 kB\n"
                  "SwapFree: 4000 kB",
                  "MB of swap in use");
}

TEST_F(Reasons, AddressSpaceLayout) {
    expect_reason("proc/sys/kernel/randomize_va_space", "2", "address space layout");
}

TEST_F(Reasons, SiblingsAmongTheAllowedCpus) {
    put_intel();
    put(cpus_ + "smt/active", "1");
    // Two CPUs are allowed, of different cores: nothing can be shared.
    put_cpu(0, 0, 0, "0,2");
    put_cpu(1, 1, 0, "1,3");
    EXPECT_EQ(card().smt_siblings, std::vector<std::string>{});
    EXPECT_FALSE(mentions(distrust_reasons(card()), "SMT"));
    put_cpu(0, 0, 0, "0-1");
    put_cpu(1, 0, 0, "0-1");
    EXPECT_EQ(card().smt_siblings, std::vector<std::string>{"0-1"});
    EXPECT_TRUE(mentions(distrust_reasons(card()),
                         "SMT is active, CPUs 0-1 are hardware threads of one core"));
    // Where the system does not say which they are, they may be any.
    drop(cpus_ + "cpu0/topology/thread_siblings_list");
    EXPECT_EQ(card().smt_siblings, std::nullopt);
    EXPECT_TRUE(mentions(distrust_reasons(card()), "SMT is active: two threads may share"));
    put(cpus_ + "smt/active", "0");
    EXPECT_FALSE(mentions(distrust_reasons(card()), "SMT"));
}

}  // namespace
}  // namespace tritbench
