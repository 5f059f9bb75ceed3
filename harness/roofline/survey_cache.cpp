#include "harness/roofline/survey_cache.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cmath>
#include <cstdlib>
#include <ctime>

#include "harness/durable_file.h"
#include "harness/roofline/probe_tables.h"
#include "harness/system_files.h"
#include "harness/version.h"
#include "kernels/api/cpu.h"
#include "kernels/api/error.h"
#include "model/thread_pool.h"

namespace tritbench {
namespace {

namespace fs = std::filesystem;

constexpr int kFormat = 1;
constexpr size_t kMostSurveys = 16;  // of different requests; the oldest goes first

nlohmann::json json_of(const SurveyRate& rate) {
    return {{"what", rate.what},
            {"threads", rate.threads},
            {"pins", rate.pins},
            {"memory", rate.memory},
            {"footprint_bytes", rate.footprint_bytes},
            {"rate", rate.rate},
            {"unit", rate.unit},
            {"probe", rate.probe},
            {"note", rate.note},
            {"best", rate.best}};
}

// Throws nlohmann's exceptions, or Error, on anything that json_of would not write.
SurveyRate rate_of(const nlohmann::json& json) {
    SurveyRate rate;
    json.at("what").get_to(rate.what);
    json.at("threads").get_to(rate.threads);
    json.at("pins").get_to(rate.pins);
    json.at("memory").get_to(rate.memory);
    json.at("footprint_bytes").get_to(rate.footprint_bytes);
    json.at("rate").get_to(rate.rate);
    json.at("unit").get_to(rate.unit);
    json.at("probe").get_to(rate.probe);
    json.at("note").get_to(rate.note);
    json.at("best").get_to(rate.best);
    if (!std::isfinite(rate.rate) || rate.rate <= 0) throw Error("a rate is not positive");
    return rate;
}

std::optional<KeptSurvey> survey_of(const nlohmann::json& json) {
    try {
        KeptSurvey survey;
        json.at("utc").get_to(survey.utc);
        json.at("noise").get_to(survey.noise);
        json.at("notes").get_to(survey.result.notes);
        for (const auto& rate : json.at("ceilings")) survey.result.rates.push_back(rate_of(rate));
        if (survey.result.rates.empty() || age_text(survey.utc, 0).empty()) return std::nullopt;
        return survey;
    } catch (const std::exception&) {
        return std::nullopt;
    }
}

const char* absolute_path_in(const char* variable) {
    const char* value = std::getenv(variable);
    return value != nullptr && value[0] == '/' ? value : nullptr;
}

}  // namespace

// An object with a list of surveys, whatever the file holds.
nlohmann::json SurveyCache::read(std::string* problem) const {
    const nlohmann::json empty = {{"format", kFormat}, {"surveys", nlohmann::json::array()}};
    std::error_code ignored;
    if (file_.empty() || !fs::exists(file_, ignored)) return empty;
    try {
        nlohmann::json json = nlohmann::json::parse(read_whole_file(file_), nullptr, false);
        if (json.is_object() && json.contains("format") && json["format"] == kFormat &&
            json.contains("surveys") && json["surveys"].is_array()) {
            return json;
        }
        *problem = fmt::format("{}: is not a cache of format {}; ignored, and written anew",
                               file_.string(), kFormat);
    } catch (const Error& e) {
        *problem = fmt::format("{}; measured anew", e.what());
    }
    return empty;
}

std::optional<KeptSurvey> SurveyCache::find(const std::string& key, std::string* problem) const {
    const nlohmann::json all = read(problem);
    for (const auto& json : all["surveys"]) {
        if (!json.is_object() || !json.contains("key") || json["key"] != key) continue;
        auto survey = survey_of(json);
        if (!survey) {
            *problem = fmt::format("{}: its survey for this request is damaged; measured anew",
                                   file_.string());
        }
        return survey;
    }
    return std::nullopt;
}

void SurveyCache::keep(const std::string& key, const KeptSurvey& survey) const {
    if (file_.empty()) return;
    std::string ignored;
    const nlohmann::json old = read(&ignored);
    nlohmann::json ceilings = nlohmann::json::array();
    for (const SurveyRate& rate : survey.result.rates) ceilings.push_back(json_of(rate));
    nlohmann::json surveys = nlohmann::json::array({{{"key", key},
                                                     {"utc", survey.utc},
                                                     {"noise", survey.noise},
                                                     {"notes", survey.result.notes},
                                                     {"ceilings", std::move(ceilings)}}});
    for (const auto& json : old["surveys"]) {
        const bool other = json.is_object() && json.contains("key") && json["key"] != key;
        if (other && surveys.size() < kMostSurveys) surveys.push_back(json);
    }
    std::error_code problem;
    fs::create_directories(file_.parent_path(), problem);
    const nlohmann::json all = {{"format", kFormat}, {"surveys", std::move(surveys)}};
    write_atomically(file_, all.dump(1) + "\n", fmt::format(".{}.partial", ::getpid()));
}

fs::path survey_cache_file(const std::string& machine_id) {
    fs::path folder;
    if (const char* cache = absolute_path_in("XDG_CACHE_HOME")) {
        folder = cache;
    } else if (const char* home = absolute_path_in("HOME")) {
        folder = fs::path(home) / ".cache";
    } else {
        return {};
    }
    return folder / "tritbench" / fmt::format("roofline-{}.json", machine_id);
}

std::string survey_key(const SurveyRequest& request, const std::string& machine_id) {
    const BuildInfo& build = build_info();
    return fmt::format("{} | cpus {} | features {} | probes {} | {} {} | {}", machine_id,
                       cpu_list_text(allowed_cpus()), feature_names(allowed_features()),
                       probe_code_hash(), build.compiler, build.flags, request.text());
}

std::string age_text(const std::string& utc, int64_t now) {
    std::tm parts{};
    const char* end = strptime(utc.c_str(), "%Y-%m-%dT%H:%M:%SZ", &parts);
    if (end == nullptr || *end != '\0') return "";
    const int64_t seconds = std::max<int64_t>(0, now - static_cast<int64_t>(timegm(&parts)));
    struct Unit {
        int64_t seconds;
        const char* name;
    };
    for (const Unit unit : {Unit{86400, "day"}, Unit{3600, "hour"}, Unit{60, "minute"}}) {
        const int64_t count = seconds / unit.seconds;
        if (count > 0) return fmt::format("{} {}{} ago", count, unit.name, count > 1 ? "s" : "");
    }
    return "less than a minute ago";
}

}  // namespace tritbench
