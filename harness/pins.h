// Which CPUs threads are pinned to, by a policy's name or a list.
//
//   default  one thread per core in the order of the CPUs' numbers, of hybrid CPUs the fast cores
//            first, then the second hardware threads of the cores. Two threads share a core only
//            when there is no other left; on a machine without SMT these are its CPUs in order.
//   compact  the hardware threads of a core, then the next core of the same cache, node and
//            package: as little of the machine as holds the threads
//   scatter  in turn over packages, then NUMA nodes, caches and cores, and second hardware threads
//            last: as much memory bandwidth and cache as there is
//   cores    one thread per core in compact order, and never more
//   0,2,4-7  these CPUs, in this order: thread 0 on the first
//
// The names are those of OpenMP's affinity policies as Intel's and LLVM's runtimes have them
// (KMP_AFFINITY=compact, scatter). Only the CPUs that the process may use are taken.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "harness/topology.h"

namespace tritbench {

// The policy as the functions below and Cell::pins have it: "" for default. Of a list only the form
// is checked. Throws Error naming `where`.
std::string parse_pins(std::string_view text, const std::string& where);

// The CPUs in the order in which threads get them.
std::vector<int> pin_order(const CpuTopology& topology, const std::string& policy);

// Why so many threads cannot be pinned so; empty if they can. The default takes any number.
std::string why_not_pins(const CpuTopology& topology, const std::string& policy, int threads);

// Of each thread on this machine, as ThreadPool takes them. Throws Error where why_not_pins has a
// reason.
std::vector<int> pins_here(int threads, const std::string& policy);

// CPUs that a policy has on this machine: the most threads with one each.
int cpus_of_pins_here(const std::string& policy);

}  // namespace tritbench
