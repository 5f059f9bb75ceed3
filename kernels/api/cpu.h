// What this CPU can do, what the user allows, and the names of both.
//
// TRITBENCH_CPU names the features allowed, comma separated, e.g. "avx2,fma,f16c", or a level that
// stands for a list: baseline, x86-64-v2, x86-64-v3, x86-64-v4, icelake, armv8.0, armv8.2. It can
// only take away. A feature brings what it is built on (avx2 brings avx, sse4.1 and ssse3).
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "kernels/api/features.h"

namespace tritbench {

// One feature: its bit, its name on the command line, and what it cannot exist without.
struct FeatureInfo {
    tb_features bit;
    std::string_view name;
    tb_features needs;
};

// Every feature known, in the order of their bits.
const std::vector<FeatureInfo>& all_features();

// Features of the CPU and the operating system, before any restriction.
tb_features detected_features();

// Parses a TRITBENCH_CPU value to the features it allows. Throws Error on an unknown name.
tb_features parse_feature_list(std::string_view list);

// detected_features(), less what TRITBENCH_CPU does not allow. Read once; throws Error the first
// time if the variable names something unknown.
tb_features allowed_features();

// Whether the hardware prefetchers of this CPU keep a few long streams at full read bandwidth by
// themselves, so that software prefetches only cost: AMD since Zen 4 (measured there).
bool cpu_prefetches_well();

// "avx2,fma,f16c"; "none" for the empty set.
std::string feature_names(tb_features features);

}  // namespace tritbench
