// Two plans in one model, in one process, in turns: what tuning really gained.
#pragma once

#include <memory>
#include <string>

#include "harness/tune/choose.h"
#include "harness/tune/shape_race.h"
#include "model/plan.h"
#include "model/transformer.h"

namespace tritbench {

struct AbOptions {
    int threads = 1;
    std::string pins;      // as parse_pins has them
    int64_t prompt = 128;  // tokens of a prompt; at most what the context holds
    int64_t decoded = 8;   // tokens of a repetition, after a short prompt
    double seconds = 30;   // least_pairs are measured at least
    int least_pairs = 8, most_pairs = 40;
    bool same_logits = true;  // both plans are exact: other logits are an error
    uint64_t seed = 1;
};

// Of one phase.
struct AbPhase {
    Gain gain;                                 // of ours over the standard
    double ours = 0, standard = 0;             // tokens per second, medians
    std::vector<double> ours_ns, standard_ns;  // a token, pair by pair
};

struct AbResult {
    AbPhase decode, prefill;
};

// Measures decoding, then prompts, in pairs of repetitions, each plan first in turn. Loads the
// model with both plans, or once if `same_layouts`. Throws Error if the logits differ though both
// are exact, and TuneInterrupted when told to stop.
AbResult compare_plans(const std::shared_ptr<const GgufFile>& file, const LoadOptions& load,
                       const Plan& ours, const Plan& standard, bool same_layouts,
                       const AbOptions& options, const TuneReport& report);

// Of a prompt of 512 tokens and 128 tokens after it, as Goal::Balanced weighs them.
Gain balanced_gain(const AbResult& result);

// Which part of a tuned plan the comparison confirms: what gains beyond doubt. A changed layout
// serves both phases, so that what the goal wants decides for both.
struct Confirmed {
    bool decode = false, prefill = false;
};
Confirmed confirmed(const AbResult& result, Goal goal, bool same_layouts);

}  // namespace tritbench
