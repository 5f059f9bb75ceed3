// Limits that a control group (a container, a service) sets on CPU time and memory.
#pragma once

#include <cstdint>
#include <optional>

#include "harness/system_files.h"

namespace tritbench {

// CPUs' worth of time granted per second, the least of all groups above this process; empty when
// there is no limit or none can be read.
std::optional<double> cpu_quota(const SystemFiles& files);

// Bytes that the tightest memory limit leaves; empty when there is no limit.
std::optional<uint64_t> memory_left_by_limit(const SystemFiles& files);

}  // namespace tritbench
