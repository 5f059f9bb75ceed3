// e2e rows as llama-bench writes its tests, so that what reads its JSON reads ours.
#pragma once

#include <span>
#include <string>

#include "harness/schema.h"

namespace tritbench {

// One JSON object: the fields of llama-bench (llama.cpp, tools/llama-bench) that mean something
// here, under its names and in its order, then every known column of the row. As there a sample is
// a repetition (all tokens of a decode row together), avg_ts the mean of its tokens per second, and
// stddev the estimate from n - 1. Without samples, of a row that was not measured, these are
// absent.
std::string llama_bench_object(const Row& row, std::span<const double> samples_ns);

}  // namespace tritbench
