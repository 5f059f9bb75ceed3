// How hot the CPU is, and how often that made it slower.
#pragma once

#include <cstdint>
#include <optional>

#include "harness/system_files.h"

namespace tritbench {

// The hottest sensor of the CPU itself.
std::optional<double> cpu_temperature_c(const SystemFiles& files);

// Thermal throttling of all online cores since boot. Counts repeat on the threads of a core.
std::optional<uint64_t> throttle_events(const SystemFiles& files);

}  // namespace tritbench
