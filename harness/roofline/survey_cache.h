// Surveys of this machine's ceilings kept between runs, one file per machine:
// $XDG_CACHE_HOME/tritbench/roofline-<machine id>.json (without XDG_CACHE_HOME: ~/.cache).
//
// A survey is found again by everything that it depends on: machine, CPUs this process may use,
// instruction sets, the machine code of the probes, compiler and flags, and the request.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "harness/roofline/survey.h"

namespace tritbench {

struct KeptSurvey {
    SurveyResult result;
    std::string utc;                 // when it was measured, ISO 8601
    std::vector<std::string> noise;  // marks of the machine at that time
};

class SurveyCache {
  public:
    // `file`: of the cache; empty: nothing is kept.
    explicit SurveyCache(std::filesystem::path file) : file_(std::move(file)) {}

    // The survey of that key. Nothing if there is none. *problem says in one line why a file that
    // is there is not used; it stays empty otherwise.
    std::optional<KeptSurvey> find(const std::string& key, std::string* problem) const;

    // Replaces the survey of that key, and a file that cannot be read; written aside and renamed.
    // Throws Error when it cannot be written.
    void keep(const std::string& key, const KeptSurvey& survey) const;

    const std::filesystem::path& file() const { return file_; }

  private:
    nlohmann::json read(std::string* problem) const;
    std::filesystem::path file_;
};

// The file of this machine; empty where neither XDG_CACHE_HOME nor HOME is an absolute path.
std::filesystem::path survey_cache_file(const std::string& machine_id);

// What a survey depends on, in one line.
std::string survey_key(const SurveyRequest& request, const std::string& machine_id);

// "3 hours ago"; "" if utc is not a time. `now`: seconds since 1970.
std::string age_text(const std::string& utc, int64_t now);

}  // namespace tritbench
