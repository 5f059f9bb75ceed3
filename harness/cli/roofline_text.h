// A survey of the ceilings as a table, as JSON, as CSV.
#pragma once

#include <string>

#include "harness/environment.h"
#include "harness/roofline/survey_cache.h"

namespace tritbench::cli {

// What is printed of a survey, and where it comes from.
struct SurveyText {
    MachineCard card;
    KeptSurvey survey;
    std::string age;  // "3 hours ago"; "": measured now

    std::string table() const;
    std::string json() const;
    std::string csv() const;
    // "measured 3 hours ago (2026-...), under: boost_on"; "" if it was measured now.
    std::string origin() const;
};

}  // namespace tritbench::cli
