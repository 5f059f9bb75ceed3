// Pin policies on machines that need not exist.
#include "harness/pins.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>

#include "kernels/api/error.h"
#include "model/thread_pool.h"
#include "tests/temporary_folder.h"

namespace tritbench {
namespace {

using Cpus = std::vector<int>;

// 2 packages of 2 NUMA nodes of 4 cores of 2 hardware threads; numbered along the tree, so that
// 0 and 1 are the first core and 16 begins the second package.
CpuTopology server() {
    return synthetic_topology("package:2 numa:2 core:4 pu:2");
}

// As Linux numbers an ordinary desktop: cores 0 to 3, their second hardware threads 4 to 7.
CpuTopology desktop() {
    return synthetic_topology("package:1 core:4 pu:2(indexes=0,4,1,5,2,6,3,7)");
}

// Two fast cores with two hardware threads each (CPUs 4 to 7), four slow ones (0 to 3).
CpuTopology hybrid() {
    CpuTopology threads;
    for (int cpu = 0; cpu < 4; ++cpu) threads.push_back({cpu, 0, 0, 0, cpu, 0});
    for (int cpu = 4; cpu < 8; ++cpu) threads.push_back({cpu, 0, 0, 0, 4 + (cpu - 4) / 2, 1});
    return threads;
}

Cpus first(const CpuTopology& topology, const std::string& policy, size_t count) {
    Cpus cpus = pin_order(topology, policy);
    cpus.resize(std::min(count, cpus.size()));
    return cpus;
}

TEST(Topology, SyntheticServerHasItsPackagesNodesAndCores) {
    const CpuTopology t = server();
    ASSERT_EQ(t.size(), 32u);
    EXPECT_EQ(t[0], (HardwareThread{0, 0, 0, 0, 0, 0}));
    EXPECT_EQ(t[1], (HardwareThread{1, 0, 0, 0, 0, 0}));
    EXPECT_EQ(t[9], (HardwareThread{9, 0, 1, 1, 4, 0}));
    EXPECT_EQ(t[31], (HardwareThread{31, 1, 3, 3, 15, 0}));
}

TEST(Topology, GarbageIsAnError) {
    EXPECT_THROW(synthetic_topology("two big ones"), Error);
    EXPECT_THROW(topology_of_xml("/nonexistent/machine.xml"), Error);
    const TemporaryFolder folder;
    std::ofstream(folder.path() / "not.xml") << "<topology";
    EXPECT_THROW(topology_of_xml((folder.path() / "not.xml").string()), Error);
}

TEST(Topology, KindsOfCoresComeFromXml) {
    const TemporaryFolder folder;
    const auto path = folder.path() / "hybrid.xml";
    std::ofstream(path)
        << R"(<?xml version="1.0" encoding="UTF-8"?><!DOCTYPE topology SYSTEM "hwloc2.dtd">
<topology version="2.0">
 <object type="Machine" os_index="0" cpuset="0x7" complete_cpuset="0x7" allowed_cpuset="0x7"
         nodeset="0x1" complete_nodeset="0x1" allowed_nodeset="0x1" gp_index="1">
  <object type="NUMANode" os_index="0" cpuset="0x7" complete_cpuset="0x7" nodeset="0x1"
          complete_nodeset="0x1" gp_index="2" local_memory="1000"/>
  <object type="Core" os_index="0" cpuset="0x3" complete_cpuset="0x3" nodeset="0x1"
          complete_nodeset="0x1" gp_index="3">
   <object type="PU" os_index="0" cpuset="0x1" complete_cpuset="0x1" nodeset="0x1"
           complete_nodeset="0x1" gp_index="4"/>
   <object type="PU" os_index="1" cpuset="0x2" complete_cpuset="0x2" nodeset="0x1"
           complete_nodeset="0x1" gp_index="5"/>
  </object>
  <object type="Core" os_index="1" cpuset="0x4" complete_cpuset="0x4" nodeset="0x1"
          complete_nodeset="0x1" gp_index="6">
   <object type="PU" os_index="2" cpuset="0x4" complete_cpuset="0x4" nodeset="0x1"
           complete_nodeset="0x1" gp_index="7"/>
  </object>
 </object>
 <cpukind cpuset="0x4" forced_efficiency="0"/>
 <cpukind cpuset="0x3" forced_efficiency="1"/>
</topology>
)";
    const CpuTopology t = topology_of_xml(path.string());
    ASSERT_EQ(t.size(), 3u);
    EXPECT_EQ(t[0].core, t[1].core);
    EXPECT_NE(t[0].core, t[2].core);
    EXPECT_EQ(t[0].speed, 1);
    EXPECT_EQ(t[2].speed, 0);
}

TEST(Topology, ThisMachineHasTheAllowedCpus) {
    Cpus cpus;
    for (const HardwareThread& t : topology_here()) cpus.push_back(t.cpu);
    std::sort(cpus.begin(), cpus.end());
    EXPECT_EQ(cpus, allowed_cpus());
}

TEST(Pins, CompactFillsCoresInOrder) {
    EXPECT_EQ(first(server(), "compact", 5), (Cpus{0, 1, 2, 3, 4}));
    EXPECT_EQ(first(desktop(), "compact", 5), (Cpus{0, 4, 1, 5, 2}));
}

TEST(Pins, ScatterGoesOverPackagesThenNodesThenCores) {
    EXPECT_EQ(first(server(), "scatter", 9), (Cpus{0, 16, 8, 24, 2, 18, 10, 26, 4}));
    const Cpus all = pin_order(server(), "scatter");
    ASSERT_EQ(all.size(), 32u);
    // The second hardware threads come last, in the same order.
    for (size_t i = 0; i < 16; ++i) EXPECT_EQ(all[16 + i], all[i] + 1) << i;
    EXPECT_EQ(pin_order(desktop(), "scatter"), (Cpus{0, 1, 2, 3, 4, 5, 6, 7}));
}

TEST(Pins, ScatterGoesOverCachesOfANode) {
    const CpuTopology two_caches = synthetic_topology("package:1 l3:2 core:2 pu:1");
    EXPECT_EQ(pin_order(two_caches, "scatter"), (Cpus{0, 2, 1, 3}));
}

TEST(Pins, CoresTakesOneHardwareThreadEachAndRefusesMore) {
    EXPECT_EQ(pin_order(desktop(), "cores"), (Cpus{0, 1, 2, 3}));
    EXPECT_EQ(pin_order(server(), "cores").size(), 16u);
    EXPECT_EQ(why_not_pins(desktop(), "cores", 4), "");
    EXPECT_EQ(why_not_pins(desktop(), "cores", 5), "pins cores: 5 threads, but 4 physical cores");
}

TEST(Pins, DefaultTakesEveryCoreBeforeASecondHardwareThread) {
    EXPECT_EQ(pin_order(desktop(), ""), (Cpus{0, 1, 2, 3, 4, 5, 6, 7}));
    EXPECT_EQ(first(server(), "", 18),
              (Cpus{0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30, 1, 3}));
    EXPECT_EQ(pin_order(synthetic_topology("package:1 core:3 pu:1"), ""), (Cpus{0, 1, 2}));
    EXPECT_EQ(why_not_pins(desktop(), "", 1000), "");
}

TEST(Pins, FastCoresOfAHybridCpuComeFirst) {
    EXPECT_EQ(pin_order(hybrid(), "compact"), (Cpus{4, 5, 6, 7, 0, 1, 2, 3}));
    EXPECT_EQ(pin_order(hybrid(), "cores"), (Cpus{4, 6, 0, 1, 2, 3}));
    EXPECT_EQ(pin_order(hybrid(), "scatter"), (Cpus{4, 6, 0, 1, 2, 3, 5, 7}));
    EXPECT_EQ(pin_order(hybrid(), ""), (Cpus{4, 6, 0, 1, 2, 3, 5, 7}));
}

TEST(Pins, OnlyAllowedCpusAreTaken) {
    // The first hardware thread of core 0 is not ours: the second stands for the core.
    const CpuTopology part = restricted_to(server(), {1, 2, 3, 8, 9, 24});
    EXPECT_EQ(pin_order(part, "compact"), (Cpus{1, 2, 3, 8, 9, 24}));
    EXPECT_EQ(pin_order(part, "cores"), (Cpus{1, 2, 8, 24}));
    EXPECT_EQ(pin_order(part, "scatter"), (Cpus{1, 24, 8, 2, 9, 3}));
    EXPECT_NE(why_not_pins(part, "cores", 5), "");
}

TEST(Pins, AListIsTakenAsItStands) {
    EXPECT_EQ(pin_order(server(), "5,0,2-3"), (Cpus{5, 0, 2, 3}));
    EXPECT_EQ(why_not_pins(server(), "0,2,4-7", 6), "");
    EXPECT_EQ(why_not_pins(server(), "0,2,4-7", 7), "pins 0,2,4-7: 7 threads, but 6 CPUs");
    EXPECT_EQ(why_not_pins(desktop(), "0,8", 1),
              "pins 0,8: CPU 8 is not one of those that may be used (0-7)");
}

TEST(Pins, NamesAreCheckedWhereTheyAreGiven) {
    EXPECT_EQ(parse_pins("default", "--pin"), "");
    for (const char* good : {"compact", "scatter", "cores", "0", "0,2,4-7", "7,0"}) {
        EXPECT_EQ(parse_pins(good, "--pin"), good);
    }
    for (const char* bad :
         {"", "compakt", "0,0", "0-3,2", "3-1", "-1", ",", "0,x", "1.5", "99999999999"}) {
        try {
            parse_pins(bad, "--pin");
            ADD_FAILURE() << bad;
        } catch (const Error& e) {
            EXPECT_EQ(std::string(e.what()).find("--pin: pins"), 0u) << e.what();
        }
    }
}

TEST(Pins, HereTheyFitTheThreads) {
    for (const char* policy : {"", "compact", "scatter", "cores"}) {
        const Cpus one = pins_here(1, policy);
        ASSERT_EQ(one.size(), 1u) << policy;
        const Cpus allowed = allowed_cpus();
        EXPECT_NE(std::find(allowed.begin(), allowed.end(), one[0]), allowed.end());
    }
    EXPECT_THROW(pins_here(100'000, "cores"), Error);
}

TEST(Pins, SharedCoresAreSeen) {
    EXPECT_TRUE(share_a_core(desktop(), {0, 1, 4}));
    EXPECT_FALSE(share_a_core(desktop(), {0, 1, 6}));
    EXPECT_FALSE(share_a_core(desktop(), {3}));
}

}  // namespace
}  // namespace tritbench
