#include "harness/topology.h"

#include <fmt/format.h>
#include <hwloc.h>

#include <algorithm>
#include <memory>
#include <set>

#include "kernels/api/error.h"
#include "model/printable.h"
#include "model/thread_pool.h"

namespace tritbench {
namespace {

struct DestroyTopology {
    void operator()(hwloc_topology_t topology) const { hwloc_topology_destroy(topology); }
};
using HwlocTopology = std::unique_ptr<hwloc_topology, DestroyTopology>;

// Null if there is no memory for it.
HwlocTopology new_topology() {
    hwloc_topology_t made = nullptr;
    if (hwloc_topology_init(&made) != 0) return nullptr;
    HwlocTopology topology(made);
    // It asks every CPU with the cpuid instruction, for which it would bind this thread to each.
    hwloc_topology_set_components(made, HWLOC_TOPOLOGY_COMPONENTS_FLAG_BLACKLIST, "x86");
    // CPUs that were taken away later still have a place; which may be used is ours to say.
    hwloc_topology_set_flags(made, HWLOC_TOPOLOGY_FLAG_INCLUDE_DISALLOWED);
    return topology;
}

int ordinal_above(hwloc_topology_t topology, hwloc_obj_type_t type, hwloc_obj_t pu, int fallback) {
    const hwloc_obj* above = hwloc_get_ancestor_obj_by_type(topology, type, pu);
    return above == nullptr ? fallback : static_cast<int>(above->logical_index);
}

int node_of(hwloc_topology_t topology, hwloc_obj_t pu) {
    const int number = pu->nodeset == nullptr ? -1 : hwloc_bitmap_first(pu->nodeset);
    if (number < 0) return 0;
    const hwloc_obj* node =
        hwloc_get_numanode_obj_by_os_index(topology, static_cast<unsigned>(number));
    return node == nullptr ? 0 : static_cast<int>(node->logical_index);
}

// hwloc's efficiency of a kind is higher for more powerful cores, -1 where it does not know.
int speed_of(hwloc_topology_t topology, hwloc_obj_t pu) {
    const int kind = hwloc_cpukinds_get_by_cpuset(topology, pu->cpuset, 0);
    int efficiency = 0;
    if (kind < 0 || hwloc_cpukinds_get_info(topology, static_cast<unsigned>(kind), nullptr,
                                            &efficiency, nullptr, nullptr, 0) != 0) {
        return 0;
    }
    return std::max(0, efficiency);
}

CpuTopology hardware_threads(hwloc_topology_t topology) {
    CpuTopology threads;
    const int count = hwloc_get_nbobjs_by_type(topology, HWLOC_OBJ_PU);
    for (int i = 0; i < count; ++i) {
        hwloc_obj_t pu = hwloc_get_obj_by_type(topology, HWLOC_OBJ_PU, static_cast<unsigned>(i));
        HardwareThread thread;
        thread.cpu = static_cast<int>(pu->os_index);
        thread.package = ordinal_above(topology, HWLOC_OBJ_PACKAGE, pu, 0);
        thread.node = node_of(topology, pu);
        thread.cache = ordinal_above(topology, HWLOC_OBJ_L3CACHE, pu, thread.node);
        thread.core = ordinal_above(topology, HWLOC_OBJ_CORE, pu, i);
        thread.speed = speed_of(topology, pu);
        threads.push_back(thread);
    }
    return threads;
}

CpuTopology read_here() {
    const std::vector<int> allowed = allowed_cpus();
    const HwlocTopology topology = new_topology();
    CpuTopology threads;
    if (topology && hwloc_topology_load(topology.get()) == 0) {
        threads = restricted_to(hardware_threads(topology.get()), allowed);
    }
    if (threads.size() == allowed.size()) return threads;
    // Without /sys: nothing is known of them.
    threads.clear();
    for (const int cpu : allowed) {
        threads.push_back({cpu, 0, 0, 0, static_cast<int>(threads.size()), 0});
    }
    return threads;
}

}  // namespace

const CpuTopology& topology_here() {
    static const CpuTopology threads = read_here();
    return threads;
}

CpuTopology synthetic_topology(const std::string& description) {
    const HwlocTopology topology = new_topology();
    if (!topology || hwloc_topology_set_synthetic(topology.get(), description.c_str()) != 0 ||
        hwloc_topology_load(topology.get()) != 0) {
        throw Error(
            fmt::format("topology '{}': not a description that hwloc reads; expected e.g. "
                        "'package:2 core:4 pu:2'",
                        printable(description, 200)));
    }
    return hardware_threads(topology.get());
}

CpuTopology topology_of_xml(const std::string& path) {
    const HwlocTopology topology = new_topology();
    if (!topology || hwloc_topology_set_xml(topology.get(), path.c_str()) != 0 ||
        hwloc_topology_load(topology.get()) != 0) {
        throw Error(fmt::format("{}: not a topology that hwloc reads; expected the XML of lstopo",
                                printable(path, 300)));
    }
    return hardware_threads(topology.get());
}

CpuTopology restricted_to(const CpuTopology& topology, const std::vector<int>& cpus) {
    CpuTopology left;
    for (const HardwareThread& thread : topology) {
        if (std::find(cpus.begin(), cpus.end(), thread.cpu) != cpus.end()) left.push_back(thread);
    }
    return left;
}

bool share_a_core(const CpuTopology& topology, const std::vector<int>& cpus) {
    std::set<int> cores;
    const CpuTopology used = restricted_to(topology, cpus);
    return std::any_of(used.begin(), used.end(),
                       [&](const HardwareThread& t) { return !cores.insert(t.core).second; });
}

}  // namespace tritbench
