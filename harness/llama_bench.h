// e2e rows as llama-bench writes its tests, so that what reads its JSON reads ours.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "harness/schema.h"

namespace tritbench {

// One JSON object: the fields of llama-bench (llama.cpp, tools/llama-bench) that mean something
// here, under its names and in its order, then every known column of the row. As there a sample is
// a repetition (all tokens of a decode row together), avg_ts the mean of its tokens per second, and
// stddev the estimate from n - 1. Without samples, of a row that was not measured, these are
// absent.
std::string llama_bench_object(const Row& row, std::span<const double> samples_ns);

// One JSON object with every field of llama-bench and no other, in its order: what scripts that
// check for all of them (llama.cpp, scripts/compare-llama-bench.py) take. `backends` tells the plan
// or kernel: "tritbench default". What a CPU without llama.cpp's settings has nothing to say to has
// the value that llama-bench gives where nothing was asked for.
std::string llama_bench_row(const Row& row, std::span<const double> samples_ns);

// The names of those fields.
const std::vector<std::string>& llama_bench_fields();

}  // namespace tritbench
