#include "harness/thermal.h"

#include <algorithm>
#include <set>
#include <string>
#include <vector>

namespace tritbench {
namespace {

void consider(std::optional<double>& hottest, std::optional<int64_t> milli) {
    // Unconnected sensors read 0, or far below freezing.
    if (!milli || *milli <= 0 || *milli > 150'000) return;
    hottest = std::max(hottest.value_or(0), static_cast<double>(*milli) / 1000);
}

}  // namespace

std::optional<double> cpu_temperature_c(const SystemFiles& files) {
    // A board may have dozens of other sensors.
    static const std::set<std::string> cpu_sensors{"coretemp", "k10temp", "zenpower", "cpu_thermal",
                                                   "scpi_sensors"};
    std::optional<double> hottest;
    for (const std::string& sensor : files.names("sys/class/hwmon")) {
        const std::string folder = "sys/class/hwmon/" + sensor + "/";
        if (!cpu_sensors.contains(files.word(folder + "name").value_or(""))) continue;
        for (const std::string& name : files.names(folder))
            if (name.starts_with("temp") && name.ends_with("_input"))
                consider(hottest, files.integer(folder + name));
    }
    if (hottest) return hottest;
    for (const std::string& zone : files.names("sys/class/thermal")) {
        const std::string folder = "sys/class/thermal/" + zone + "/";
        const std::string type = files.word(folder + "type").value_or("");
        if (type == "x86_pkg_temp" || type.starts_with("cpu"))
            consider(hottest, files.integer(folder + "temp"));
    }
    return hottest;
}

std::optional<uint64_t> throttle_events(const SystemFiles& files) {
    const std::string cpus = "sys/devices/system/cpu/";
    const auto online = files.word(cpus + "online");
    std::optional<uint64_t> events;
    for (const int cpu : cpu_list(online.value_or("")).value_or(std::vector<int>{})) {
        const std::string folder = cpus + "cpu" + std::to_string(cpu) + "/thermal_throttle/";
        const auto count = files.integer(folder + "core_throttle_count");
        if (!count) break;
        events = events.value_or(0) + static_cast<uint64_t>(*count);
    }
    return events;
}

}  // namespace tritbench
