// All of this machine's ceilings for several thread counts, within a limit of time: what
// `tritbench roofline` measures. Rows of result files have ceilings of their own, measured beside
// their cells.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "harness/roofline/ceilings.h"

namespace tritbench {

struct SurveyRequest {
    std::vector<int> threads;           // empty: default_survey_threads
    std::string pins;                   // a policy as parse_pins has it
    std::vector<uint64_t> footprints;   // of all threads together; empty: from L1 to DRAM
    std::vector<AllocationKind> kinds;  // empty: huge pages, and the others above 4 MiB
    bool quick = false;                 // two footprints in huge pages, shorter probes
    double seconds = 25;                // what it may take; probes are shortened to fit
    std::string likwid_bench;           // its path; "": not installed

    // What decides what is measured, in one line; nothing about the machine.
    std::string text() const;
};

// One ceiling. Empty texts do not apply.
struct SurveyRate {
    std::string what;  // read, int8_dot, lookup, float32_fma, mix, likwid_read
    int threads = 0;
    std::string pins, memory;  // CPUs of the threads; kind of allocation (read only)
    uint64_t footprint_bytes = 0;
    double rate = 0;
    std::string unit;  // GB/s, GMAC/s
    std::string probe, note;
    bool best = true;  // of its kind and thread count
    bool operator==(const SurveyRate&) const = default;
};

struct SurveyResult {
    std::vector<SurveyRate> rates;   // reads by threads, kind and footprint; then peaks
    std::vector<std::string> notes;  // what was left out, and why
};

// Called before every measurement; what it throws ends the survey.
using SurveyProgress =
    std::function<void(uint64_t done, uint64_t total, const std::string& what_comes_next)>;

// 1, 2, 4, ... below `cpus`, and `cpus`.
std::vector<int> default_survey_threads(int cpus);

// Throws Error if a thread count, or a footprint that was asked for, does not fit the machine. What
// the request left open is left out where it does not fit the memory; and, but for peaks, huge
// pages and the largest footprint with one thread and with all, where it does not fit the time.
SurveyResult survey_ceilings(const SurveyRequest& request, const SurveyProgress& progress);

}  // namespace tritbench
