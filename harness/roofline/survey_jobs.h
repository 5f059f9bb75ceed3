// What a survey of the ceilings measures, in which order.
#pragma once

#include <cstdint>
#include <vector>

#include "harness/roofline/survey.h"

namespace tritbench {

enum class SurveyStep { Read, Likwid, Int8Dot, Lookup, Float32Fma, Mix };

struct SurveyJob {
    SurveyStep step = SurveyStep::Read;
    int threads = 1;
    uint64_t footprint = 0;
    AllocationKind kind = AllocationKind::HugePages;
    bool optional = false;  // left out when time is short
};

// Those of a request, for these thread counts: what may be left out comes last.
std::vector<SurveyJob> survey_jobs(const SurveyRequest& request, const std::vector<int>& threads,
                                   uint64_t max_footprint_bytes);

}  // namespace tritbench
