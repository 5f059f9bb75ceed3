#include "harness/cli/roofline_text.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <tuple>

namespace tritbench::cli {
namespace {

std::string footprint_text(uint64_t bytes) {
    if (bytes < 1'000'000) return fmt::format("{:.0f} kB", static_cast<double>(bytes) / 1e3);
    return fmt::format("{:.4g} MB", static_cast<double>(bytes) / 1e6);
}

// One line of the table of read bandwidths: a footprint, a column for each kind of memory.
struct FootprintLine {
    std::map<std::string, double> gb_per_s;
    std::string probe;  // of the first kind
    std::set<std::string> notes;
};

// Footprints are rounded down to what the threads really read, a little more or less for each
// kind: those within 3% share a line.
using FootprintLines = std::map<std::pair<int, uint64_t>, FootprintLine>;

FootprintLine& line_of(FootprintLines& lines, int threads, uint64_t footprint) {
    for (auto& [key, line] : lines) {
        const auto larger = static_cast<double>(std::max(key.second, footprint));
        const auto smaller = static_cast<double>(std::min(key.second, footprint));
        if (key.first == threads && smaller > 0.97 * larger) return line;
    }
    return lines[{threads, footprint}];
}

std::string read_table(const std::vector<SurveyRate>& rates) {
    FootprintLines lines;
    std::set<std::string> present;
    for (const SurveyRate& rate : rates) {
        const bool likwid = rate.what == "likwid_read";
        if (rate.what != "read" && !likwid) continue;
        const std::string column = likwid ? "likwid" : rate.memory;
        FootprintLine& line = line_of(lines, rate.threads, rate.footprint_bytes);
        line.gb_per_s[column] = rate.rate;
        present.insert(column);
        if (!likwid && (line.probe.empty() || column == "huge")) line.probe = rate.probe;
        if (!rate.note.empty()) line.notes.insert(column + ": " + rate.note);
    }
    std::vector<std::string> columns;
    for (const char* column : {"huge", "4k", "mapped", "likwid"}) {
        if (present.contains(column)) columns.emplace_back(column);
    }
    std::string text = fmt::format("  {:>7}  {:>10}", "threads", "footprint");
    for (const std::string& column : columns) text += fmt::format("  {:>8}", column);
    text += "  best probe\n";
    for (const auto& [key, line] : lines) {
        text += fmt::format("  {:>7}  {:>10}", key.first, footprint_text(key.second));
        for (const std::string& column : columns) {
            const auto found = line.gb_per_s.find(column);
            text += found == line.gb_per_s.end() ? fmt::format("  {:>8}", "-")
                                                 : fmt::format("  {:>8.1f}", found->second);
        }
        text += fmt::format(
            "  {}{}\n", line.probe,
            line.notes.empty() ? "" : fmt::format(" ({})", fmt::join(line.notes, "; ")));
    }
    return text;
}

// A line for each probe, a column for each thread count.
std::string peak_table(const std::vector<SurveyRate>& rates, const std::string& what) {
    std::set<int> counts;
    std::vector<std::string> probes;
    std::map<std::pair<std::string, int>, double> found;
    for (const SurveyRate& rate : rates) {
        if (rate.what != what) continue;
        counts.insert(rate.threads);
        found[{rate.probe, rate.threads}] = rate.rate;
        if (std::find(probes.begin(), probes.end(), rate.probe) == probes.end()) {
            probes.push_back(rate.probe);
        }
    }
    std::string text = fmt::format("  {:<60}", "threads");
    for (const int count : counts) text += fmt::format("  {:>9}", count);
    text += "\n";
    for (const std::string& probe : probes) {
        text += fmt::format("  {:<60}", probe);
        for (const int count : counts) {
            const auto rate = found.find({probe, count});
            text += rate == found.end() ? fmt::format("  {:>9}", "-")
                                        : fmt::format("  {:>9.1f}", rate->second);
        }
        text += "\n";
    }
    return text;
}

std::string pins_table(const std::vector<SurveyRate>& rates) {
    std::map<int, std::string> pins;
    for (const SurveyRate& rate : rates) {
        if (!rate.pins.empty()) pins[rate.threads] = rate.pins;
    }
    std::string text;
    for (const auto& [threads, cpus] : pins) {
        text += fmt::format("{}{} thread{} on CPU {}", text.empty() ? "" : "; ", threads,
                            threads > 1 ? "s" : "", cpus);
    }
    return text;
}

}  // namespace

std::string SurveyText::origin() const {
    if (age.empty()) return "";
    return fmt::format(
        "measured {} ({}), under: {}; --fresh measures anew", age, survey.utc,
        survey.noise.empty() ? "no noise marks" : fmt::format("{}", fmt::join(survey.noise, ", ")));
}

std::string SurveyText::table() const {
    const std::vector<SurveyRate>& rates = survey.result.rates;
    std::string text = fmt::format("machine {} ({})\n", card.machine_id(),
                                   card.cpu_model.empty() ? "unknown CPU" : card.cpu_model);
    if (!age.empty()) text += origin() + "\n";
    text += pins_table(rates) + "\n";
    text +=
        "\nread bandwidth, GB/s, best of the probes; footprint of all threads together, memory in "
        "huge pages, in 4 KiB pages, or a mapped file\n" +
        read_table(rates);
    const std::pair<const char*, const char*> peaks[] = {
        {"int8_dot", "int8 dot products from registers, GMAC/s"},
        {"lookup", "byte lookups from registers, GB/s looked up"},
        {"float32_fma", "float32 multiply-adds from registers, GMAC/s"},
        {"mix", "dot and unpacking: inner loops of our kernels without their loads, GMAC/s"}};
    for (const auto& [what, title] : peaks) {
        text += fmt::format("\n{}\n{}", title, peak_table(rates, what));
    }
    if (!survey.result.notes.empty()) text += "\n";
    for (const std::string& note : survey.result.notes) text += note + "\n";
    if (age.empty() && !survey.noise.empty()) {
        text += fmt::format("\nnoise: {} (tritbench env says what to do)\n",
                            fmt::join(survey.noise, ", "));
    }
    return text;
}

// The unit is a column of its own in JSON and CSV: a rate is either GB/s or GMAC/s.
std::string SurveyText::json() const {
    const auto known = [](const std::string& value) {
        return value.empty() ? nlohmann::json(nullptr) : nlohmann::json(value);
    };
    nlohmann::json list = nlohmann::json::array();
    for (const SurveyRate& rate : survey.result.rates) {
        list.push_back(
            {{"what", rate.what},
             {"threads", rate.threads},
             {"pins", known(rate.pins)},
             {"memory", known(rate.memory)},
             {"footprint_bytes", rate.footprint_bytes > 0 ? nlohmann::json(rate.footprint_bytes)
                                                          : nlohmann::json(nullptr)},
             {"rate", rate.rate},
             {"unit", rate.unit},
             {"probe", rate.probe},
             {"best", rate.best},
             {"note", known(rate.note)}});
    }
    return nlohmann::json{{"machine_id", card.machine_id()}, {"measured_utc", survey.utc},
                          {"from_cache", !age.empty()},      {"noise_marks", survey.noise},
                          {"notes", survey.result.notes},    {"ceilings", list}}
               .dump(2) +
           "\n";
}

std::string SurveyText::csv() const {
    const std::string id = card.machine_id();
    std::string text =
        "machine_id,what,threads,pins,memory,footprint_bytes,gb_per_s,gmac_per_s,probe,best,note,"
        "noise_marks,measured_utc\n";
    for (const SurveyRate& rate : survey.result.rates) {
        const std::string value = fmt::format("{:.4f}", rate.rate);
        const bool bytes = rate.unit == "GB/s";
        text += fmt::format("{},{},{},{},{},{},{},{},\"{}\",{},\"{}\",{},{}\n", id, rate.what,
                            rate.threads, rate.pins, rate.memory,
                            rate.footprint_bytes > 0 ? fmt::format("{}", rate.footprint_bytes) : "",
                            bytes ? value : "", bytes ? "" : value, rate.probe, rate.best,
                            rate.note, fmt::join(survey.noise, " "), survey.utc);
    }
    return text;
}

}  // namespace tritbench::cli
