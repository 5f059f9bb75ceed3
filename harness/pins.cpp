#include "harness/pins.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>
#include <tuple>
#include <utility>

#include "harness/axes.h"
#include "harness/system_files.h"
#include "kernels/api/error.h"
#include "model/printable.h"

namespace tritbench {
namespace {

const std::vector<std::string> kPolicies{"default", "compact", "scatter", "cores"};

bool is_list(std::string_view policy) {
    return !policy.empty() && policy.find_first_not_of("0123456789,-") == std::string_view::npos;
}

// A hardware thread and where it stands among what it has around it.
struct Placed {
    HardwareThread thread;
    int sibling = 0;          // among the hardware threads of its core
    int core_in_cache = 0;    // among the cores of its level 3 cache
    int cache_in_node = 0;    // among the caches of its node
    int node_in_package = 0;  // among the nodes of its package
    int at = 0;               // in the topology
};

// The place of `value` among those seen in `group` before.
template <class Group>
int place_in(std::map<Group, std::vector<int>>& seen, const Group& group, int value) {
    std::vector<int>& values = seen[group];
    const auto found = std::find(values.begin(), values.end(), value);
    const auto place = static_cast<int>(found - values.begin());
    if (found == values.end()) values.push_back(value);
    return place;
}

std::vector<Placed> placed(const CpuTopology& topology) {
    using Pair = std::pair<int, int>;
    using Triple = std::tuple<int, int, int>;
    std::map<int, std::vector<int>> threads_of_core, nodes_of_package;
    std::map<Pair, std::vector<int>> caches_of_node;
    std::map<Triple, std::vector<int>> cores_of_cache;
    std::vector<Placed> all;
    for (const HardwareThread& t : topology) {
        Placed p;
        p.thread = t;
        p.at = static_cast<int>(all.size());
        p.sibling = place_in(threads_of_core, t.core, t.cpu);
        p.node_in_package = place_in(nodes_of_package, t.package, t.node);
        p.cache_in_node = place_in(caches_of_node, Pair{t.package, t.node}, t.cache);
        p.core_in_cache = place_in(cores_of_cache, Triple{t.package, t.node, t.cache}, t.core);
        all.push_back(p);
    }
    return all;
}

// Sorted by a key; the CPUs in that order.
template <class Key>
std::vector<int> cpus_by(std::vector<Placed> threads, Key&& key) {
    std::sort(threads.begin(), threads.end(), [&](const Placed& a, const Placed& b) {
        return std::pair(key(a), a.at) < std::pair(key(b), b.at);
    });
    std::vector<int> cpus;
    for (const Placed& p : threads) cpus.push_back(p.thread.cpu);
    return cpus;
}

}  // namespace

std::string parse_pins(std::string_view text, const std::string& where) {
    if (text == "default") return "";
    if (std::find(kPolicies.begin(), kPolicies.end(), text) != kPolicies.end()) {
        return std::string(text);
    }
    const auto cpus = is_list(text) ? cpu_list(text) : std::nullopt;
    if (!cpus || cpus->empty()) {
        throw Error(
            fmt::format("{}: pins '{}' are not known; expected default, compact, scatter, "
                        "cores, or CPUs such as 0,2,4-7{}",
                        where, printable(std::string(text), 60), did_you_mean(text, kPolicies)));
    }
    std::set<int> seen;
    for (const int cpu : *cpus) {
        if (seen.insert(cpu).second) continue;
        throw Error(fmt::format("{}: pins '{}' name CPU {} twice; expected one thread per CPU",
                                where, printable(std::string(text), 60), cpu));
    }
    return std::string(text);
}

std::vector<int> pin_order(const CpuTopology& topology, const std::string& policy) {
    if (is_list(policy)) return cpu_list(policy).value_or(std::vector<int>{});
    std::vector<Placed> threads = placed(topology);
    if (policy == "scatter") {
        return cpus_by(threads, [](const Placed& p) {
            return std::tuple(p.sibling, -p.thread.speed, p.core_in_cache, p.cache_in_node,
                              p.node_in_package, p.thread.package);
        });
    }
    if (policy == "compact" || policy == "cores") {
        if (policy == "cores")
            std::erase_if(threads, [](const Placed& p) { return p.sibling > 0; });
        return cpus_by(threads, [](const Placed& p) { return std::pair(-p.thread.speed, p.at); });
    }
    return cpus_by(threads, [](const Placed& p) {
        return std::tuple(p.sibling, -p.thread.speed, p.thread.cpu);
    });
}

std::string why_not_pins(const CpuTopology& topology, const std::string& policy, int threads) {
    if (policy.empty()) return "";
    const std::vector<int> order = pin_order(topology, policy);
    for (const int cpu : order) {
        const bool known = std::any_of(topology.begin(), topology.end(),
                                       [&](const HardwareThread& t) { return t.cpu == cpu; });
        if (known) continue;
        std::vector<int> cpus;
        for (const HardwareThread& t : topology) cpus.push_back(t.cpu);
        std::sort(cpus.begin(), cpus.end());
        return fmt::format("pins {}: CPU {} is not one of those that may be used ({})", policy, cpu,
                           cpu_list_text(cpus));
    }
    if (static_cast<size_t>(threads) <= order.size()) return "";
    return fmt::format("pins {}: {} threads, but {} {}", policy, threads, order.size(),
                       policy == "cores" ? "physical cores" : "CPUs");
}

int cpus_of_pins_here(const std::string& policy) {
    return static_cast<int>(pin_order(topology_here(), policy).size());
}

std::vector<int> pins_here(int threads, const std::string& policy) {
    const CpuTopology& topology = topology_here();
    const std::string reason = why_not_pins(topology, policy, threads);
    if (!reason.empty()) throw Error(reason);
    std::vector<int> cpus = pin_order(topology, policy);
    if (static_cast<size_t>(threads) < cpus.size()) cpus.resize(static_cast<size_t>(threads));
    return cpus;
}

}  // namespace tritbench
