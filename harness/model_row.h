// The columns of a model cell, from what was measured.
#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include "harness/cell.h"
#include "harness/schema.h"
#include "harness/statistics.h"
#include "harness/timeline.h"

namespace tritbench {

struct ModelMeasurement {
    std::vector<double> samples_ns;      // of the prompt, of each step, or of prompt and tokens
    std::vector<double> first_token_ns;  // of cells with a prompt
    // Of each repetition of decode: its mean bandwidth, and that of reading the weights after it.
    std::vector<double> gb_per_s, read_gb_per_s;
    RoleTimes roles;  // of a token
    double load_ms = 0;
    uint64_t bytes_per_step = 0;  // of decode
    double skipped_bytes = 0;     // of these, weights that were not read
    double layer_factor = 1;      // what times of layers were multiplied with
};

// Bytes that a decode step touched.
double touched_bytes(const ModelMeasurement& measured);

// Tokens that one sample stands for: of the prompt, of a step's sequences, or both phases'
// together.
double tokens_per_sample(const Cell& cell);

// Of all the layers that the model has, from those that were run.
RoleTimes with_all_layers(RoleTimes roles, double factor);

// Times, speeds, bytes, timeline and latencies: everything but ceilings and proofs.
// `confidence`: of the interval of the median.
void set_model_times(Row& row, const Cell& cell, const ModelMeasurement& measured,
                     std::set<std::string>& marks, double confidence = kUsualConfidence);

// product_pct_of_peak, once peak_gmac_per_s is there.
void set_product_peak(Row& row);

}  // namespace tritbench
