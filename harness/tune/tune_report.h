// What a search prints and writes.
#pragma once

#include <string>
#include <vector>

#include "harness/tune/model_ab.h"
#include "harness/tune/tuner.h"

namespace tritbench {

// The candidates of each layer, by layout, and what they take.
std::string forecast_text(const Workload& workload, const std::vector<LayerForecast>& forecast,
                          const TuneOptions& options);

// A line for each layer and bucket: default kernel, winner, gain with its interval.
std::string gains_table(const Workload& workload, const ThreadsResult& result);

// A line for each thread count: what the products of a token take with the choices.
std::string threads_text(const std::vector<ThreadsResult>& results, size_t best);

// What was left out, or turned out to be wrong; a line each.
std::string notes_text(const Workload& workload, const ThreadsResult& result);

// "decode   24.01 tokens/s, default 22.50: 1.067x [1.060, 1.075]".
std::string phase_text(const char* name, const AbPhase& phase);

// The plan as a file: plan_text, and a table [notes] of how it came about.
std::string plan_file_text(const Plan& plan, const TuneOptions& options,
                           const std::vector<ThreadsResult>& results, const std::string& of_model,
                           const AbResult* compared);

// A row for each candidate that raced or was heated.
std::string race_csv(const Workload& workload, const std::vector<ThreadsResult>& results);

// Throws Error unless a file can be made there; leaves none.
void require_writable(const std::string& path);
// Whole or not at all.
void write_whole(const std::string& path, const std::string& text);

}  // namespace tritbench
