// The id of a machine, and the card as JSON.
#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <tuple>

#include "harness/cpu_identity.h"
#include "harness/environment.h"

namespace tritbench {

namespace {

using nlohmann::json;

template <class T>
json or_null(const std::optional<T>& value) {
    return value ? json(*value) : json(nullptr);
}

json or_null(const std::string& value) {
    return value.empty() ? json(nullptr) : json(value);
}

// MemTotal is what the firmware and the operating system kernel leave of the memory fitted, and
// moves by some megabytes with their versions: round up to what modules come in.
uint64_t memory_fitted_gib(uint64_t bytes) {
    const uint64_t gib = uint64_t{1} << 30;
    const uint64_t step = std::max(gib, std::bit_floor(bytes) / 16);
    return (bytes + step - 1) / step * step / gib;
}

// 32 bits of FNV-1a: stable across compilers and versions, unlike std::hash.
uint32_t hash32(const std::string& text) {
    uint64_t hash = 0xcbf29ce484222325u;
    for (const char c : text) {
        hash ^= static_cast<unsigned char>(c);
        hash *= 0x100000001b3u;
    }
    return static_cast<uint32_t>(hash ^ (hash >> 32));
}

}  // namespace

std::string MachineCard::machine_id() const {
    const auto number = [](const std::optional<int>& n) {
        return n ? std::to_string(*n) : std::string("?");
    };
    std::string text = fmt::format("v1|{}|{}|{}|{}|{}|{}|{}|", cpu_model, vendor, number(family),
                                   number(model), number(stepping), number(cores), number(threads));
    // Not how many threads share a cache: that changes when SMT is switched off. The number of
    // instances beside the number of cores says the same.
    std::vector<std::tuple<int, std::string, uint64_t, int>> sorted;
    for (const CacheInfo& c : caches) sorted.emplace_back(c.level, c.type, c.bytes, c.instances);
    std::sort(sorted.begin(), sorted.end());
    for (const auto& [level, type, bytes, instances] : sorted)
        text += fmt::format("L{}{}:{}x{},", level, type, bytes, instances);
    text += fmt::format(
        "|{}|", memory_bytes ? std::to_string(memory_fitted_gib(*memory_bytes)) : std::string("?"));
    std::vector<std::string> features = isa_features;
    std::sort(features.begin(), features.end());
    text += fmt::format("{}", fmt::join(features, ","));
    return fmt::format("{}-{:08x}", cpu_slug(cpu_model), hash32(text));
}

json MachineCard::json() const {
    nlohmann::json list = nlohmann::json::array();
    for (const CacheInfo& c : caches)
        list.push_back({{"level", c.level},
                        {"type", c.type},
                        {"bytes", c.bytes},
                        {"shared_by", c.shared_by},
                        {"instances", c.instances}});
    return {
        {"machine_id", machine_id()},
        {"stable",
         {{"cpu_model", or_null(cpu_model)},
          {"vendor", or_null(vendor)},
          {"family", or_null(family)},
          {"model", or_null(model)},
          {"stepping", or_null(stepping)},
          {"cores", or_null(cores)},
          {"threads", or_null(threads)},
          {"caches", list},
          {"memory_bytes", or_null(memory_bytes)},
          {"isa_features", isa_features}}},
        {"volatile",
         {{"kernel", or_null(kernel)},
          {"microcode", or_null(microcode)},
          {"governor", or_null(governor)},
          {"max_mhz", or_null(max_mhz)},
          {"current_mhz", or_null(current_mhz)},
          {"boost", or_null(boost)},
          {"smt_active", or_null(smt_active)},
          {"smt_siblings", or_null(smt_siblings)},
          {"numa_nodes", or_null(numa_nodes)},
          {"transparent_huge_pages", or_null(transparent_huge_pages)},
          {"huge_pages_reserved", or_null(huge_pages_reserved)},
          {"aslr", or_null(aslr)},
          {"load1", or_null(load1)},
          {"load5", or_null(load5)},
          {"load15", or_null(load15)},
          {"hypervisor", or_null(hypervisor)},
          {"container", or_null(container)},
          {"cpu_quota", or_null(cpu_quota)},
          {"temperature_c", or_null(temperature_c)},
          {"throttle_events", or_null(throttle_events)},
          {"steal_percent", or_null(steal_percent)},
          {"clock_source", or_null(clock_source)},
          {"uptime_s", or_null(uptime_s)},
          {"memory_available_bytes", or_null(memory_available_bytes)},
          {"swap_used_bytes", or_null(swap_used_bytes)},
          {"allowed_cpus", or_null(allowed_cpus)},
          {"allowed_cpu_count", or_null(allowed_cpu_count)}}},
    };
}

}  // namespace tritbench
