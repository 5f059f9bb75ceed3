// The probe tables compiled in, narrowest ISA first, and those that may run here.
#pragma once

#include <string_view>
#include <vector>

#include "harness/roofline/probes.h"

namespace tritbench {

const std::vector<const tb_probe_table*>& all_probe_tables();

// Those whose features the CPU has and TRITBENCH_CPU allows. Never empty: scalar needs none.
std::vector<const tb_probe_table*> allowed_probe_tables();

// 16 hex digits of a hash of their machine code.
std::string_view probe_code_hash();

}  // namespace tritbench
