// likwid-bench (https://github.com/RRZE-HPC/likwid) as a second opinion on read bandwidth, where
// it is installed. It places its threads itself, from the first hardware thread on.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace tritbench {

// Path of the program: in the folders of `path` (as PATH, colons between); "" if it is in none.
std::string find_likwid_bench(const char* path);

// "load_avx512": its loop for the widest loads that may run here.
std::string likwid_load_test();

// GB/s (1e9) of its output, from the line "MByte/s:" (1e6). Nothing where there is no such line,
// more than one, or no positive number on it.
std::optional<double> parse_likwid_bandwidth(std::string_view output);

struct LikwidReading {
    double gb_per_s = 0;
    std::string problem;  // one line, where there is no reading
};

// Runs a load test over `footprint_bytes` of all threads together, `iterations` times; what takes
// longer than `limit_s` is killed.
LikwidReading run_likwid_bench(const std::string& program, const std::string& test, int threads,
                               uint64_t footprint_bytes, uint64_t iterations, double limit_s);

}  // namespace tritbench
