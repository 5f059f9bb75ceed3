// The hardware threads of a machine and what they share, as hwloc finds them.
#pragma once

#include <string>
#include <vector>

namespace tritbench {

// The ordinals count over the whole machine, in the order of hwloc's tree; where the system does
// not tell, every hardware thread is a core of its own on one node of one package.
struct HardwareThread {
    int cpu = 0;  // the system's number, as pins have it
    int package = 0;
    int node = 0;   // NUMA node
    int cache = 0;  // level 3
    int core = 0;
    int speed = 0;  // of hybrid CPUs the kind of core, higher is faster; else 0
    bool operator==(const HardwareThread&) const = default;
};

// In the order of hwloc's tree: neighbours in the list share the most.
using CpuTopology = std::vector<HardwareThread>;

// What this process may use, as it was when first asked. Binds no thread.
const CpuTopology& topology_here();

// Of a machine that may not exist: "package:2 numa:2 core:4 pu:2", or the XML that hwloc's lstopo
// writes. Throws Error naming the description or the file.
CpuTopology synthetic_topology(const std::string& description);
CpuTopology topology_of_xml(const std::string& path);

// What is left of it where only these CPUs may be used.
CpuTopology restricted_to(const CpuTopology& topology, const std::vector<int>& cpus);

// Some of these CPUs are hardware threads of one core.
bool share_a_core(const CpuTopology& topology, const std::vector<int>& cpus);

}  // namespace tritbench
