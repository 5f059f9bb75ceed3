// /proc and /sys of machines that may not exist.
#pragma once

#include <gtest/gtest.h>
#include <stdlib.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "harness/environment.h"

namespace tritbench {

// A root folder with proc/ and sys/ of a machine that may not exist.
class FakeRoot : public ::testing::Test {
  protected:
    void SetUp() override {
        std::string name =
            (std::filesystem::temp_directory_path() / "tritbench-root-XXXXXX").string();
        ASSERT_NE(mkdtemp(name.data()), nullptr);
        root_ = name;
    }
    void TearDown() override { std::filesystem::remove_all(root_); }

    void put(const std::string& path, const std::string& text) const {
        std::filesystem::create_directories((root_ / path).parent_path());
        std::ofstream(root_ / path) << text << '\n';
    }
    void drop(const std::string& path) const { std::filesystem::remove_all(root_ / path); }
    MachineCard card() const { return machine_card(root_.string()); }

    void put_cpu(int cpu, int core, int package, const std::string& siblings) const {
        const std::string folder = cpus_ + "cpu" + std::to_string(cpu) + "/topology/";
        put(folder + "core_id", std::to_string(core));
        put(folder + "physical_package_id", std::to_string(package));
        put(folder + "thread_siblings_list", siblings);
    }
    void put_cache(int cpu, int index, int level, const std::string& type, const std::string& size,
                   const std::string& shared) const {
        const std::string folder =
            cpus_ + "cpu" + std::to_string(cpu) + "/cache/index" + std::to_string(index) + "/";
        put(folder + "level", std::to_string(level));
        put(folder + "type", type);
        put(folder + "size", size);
        put(folder + "shared_cpu_list", shared);
    }

    // 2 cores, no SMT, a quiet machine with nothing to complain about.
    void put_intel() const {
        std::string cpuinfo;
        for (int cpu = 0; cpu < 2; ++cpu)
            cpuinfo += "processor\t: " + std::to_string(cpu) +
                       "\nvendor_id\t: GenuineIntel\ncpu family\t: 6\nmodel\t\t: 143\n"
                       "model name\t: Intel(R) Xeon(R) Gold 6430 CPU @ 2.10GHz\nstepping\t: 8\n"
                       "microcode\t: 0x2b000590\n"
                       "flags\t\t: fpu ssse3 sse4_1 avx f16c fma avx2 avx512f avx512dq avx512bw "
                       "avx512vl avx_vnni avx512_vnni avx512vbmi\n\n";
        put("proc/cpuinfo", cpuinfo);
        put("proc/meminfo",
            "MemTotal:       65535000 kB\nMemAvailable:   60000000 kB\n"
            "SwapTotal:  1000 kB\nSwapFree:  1000 kB\nHugePages_Total:  0");
        put("proc/loadavg", "0.01 0.05 0.09 1/88 7020");
        put("proc/uptime", "4000.25 7900.00");
        put("proc/stat", "cpu  100 0 50 9850 0 0 0 0 0 0\ncpu0 100 0 50 9850 0 0 0 0 0 0");
        put("proc/sys/kernel/osrelease", "6.1.0-18-amd64");
        put("proc/sys/kernel/randomize_va_space", "0");
        put("proc/self/status", "Name:\tx\nCpus_allowed_list:\t0-1");
        put("sys/devices/system/node/online", "0");
        put("sys/kernel/mm/transparent_hugepage/enabled", "always [madvise] never");
        put("sys/devices/system/clocksource/clocksource0/current_clocksource", "tsc");
        put(cpus_ + "present", "0-1");
        put(cpus_ + "online", "0-1");
        put(cpus_ + "smt/active", "0");
        put(cpus_ + "intel_pstate/no_turbo", "1");
        for (int cpu = 0; cpu < 2; ++cpu) {
            const std::string own = std::to_string(cpu);
            put_cpu(cpu, cpu, 0, own);
            put_cache(cpu, 0, 1, "Data", "48K", own);
            put_cache(cpu, 1, 1, "Instruction", "32K", own);
            put_cache(cpu, 2, 2, "Unified", "2048K", own);
            put_cache(cpu, 3, 3, "Unified", "60M", "0-1");
            put(cpus_ + "cpu" + own + "/cpufreq/scaling_governor", "performance");
            put(cpus_ + "cpu" + own + "/cpufreq/cpuinfo_max_freq", "3400000");
        }
    }

    // 2 cores, 4 threads (0 and 2 share a core), one L3 per core.
    void put_amd_smt() const {
        put("proc/cpuinfo",
            "processor\t: 0\nvendor_id\t: AuthenticAMD\ncpu family\t: 25\nmodel\t\t: 33\n"
            "model name\t: AMD Ryzen 9 5950X 16-Core Processor\nstepping\t: 2\n"
            "flags\t\t: ssse3 sse4_1 avx f16c fma avx2");
        put("proc/meminfo", "MemTotal:       32768000 kB");
        put(cpus_ + "present", "0-3");
        put(cpus_ + "online", "0-3");
        put(cpus_ + "smt/active", "1");
        put(cpus_ + "cpufreq/boost", "1");
        for (int cpu = 0; cpu < 4; ++cpu) {
            const std::string siblings = cpu % 2 ? "1,3" : "0,2";
            put_cpu(cpu, cpu % 2, 0, siblings);
            put_cache(cpu, 0, 1, "Data", "32K", siblings);
            put_cache(cpu, 3, 3, "Unified", "32768K", siblings);
            put(cpus_ + "cpu" + std::to_string(cpu) + "/cpufreq/scaling_governor", "schedutil");
        }
    }

    std::filesystem::path root_;
    const std::string cpus_ = "sys/devices/system/cpu/";
};

inline bool mentions(const std::vector<std::string>& reasons, const std::string& word) {
    return std::any_of(reasons.begin(), reasons.end(),
                       [&](const std::string& r) { return r.find(word) != std::string::npos; });
}

inline bool has(const std::vector<std::string>& marks, const std::string& mark) {
    return std::find(marks.begin(), marks.end(), mark) != marks.end();
}

}  // namespace tritbench
