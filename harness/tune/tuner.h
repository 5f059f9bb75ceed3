// The search as a whole: every layer, every thread count, within a budget; and the plan that
// follows from it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "harness/tune/candidates.h"
#include "harness/tune/choose.h"
#include "harness/tune/shape_race.h"
#include "harness/tune/workload.h"
#include "model/plan.h"

namespace tritbench {

struct TuneOptions {
    CandidateRules rules;
    std::vector<int> threads;      // each is tuned for
    std::string pins;              // as parse_pins has them
    std::vector<int64_t> batches;  // see buckets_of
    Goal goal = Goal::Decode;
    double seconds = 120;  // of races; a search takes longer if the least that is needed does
    uint64_t seed = 1;
};

// What is going to race for a layer, and about how long it takes.
struct LayerForecast {
    std::vector<PackedVariant> variants;
    std::vector<Candidate> standard;  // of each bucket: the default plan's
    bool standard_races = true;       // --kernel did not leave it out
    double least_seconds = 0;         // with each of the thread counts, without the races proper
};
// Throws Error if a shape has no candidates, or a bucket has none.
std::vector<LayerForecast> foresee(const Workload& workload, const Plan& standard,
                                   const TuneOptions& options);
// Of the whole: the budget, or the least that is needed if that is more.
double predicted_seconds(const std::vector<LayerForecast>& forecast, const TuneOptions& options);

struct ThreadsResult {
    int threads = 1;
    std::vector<LayerResult> layers;       // as in the workload
    double goal_ns = 0;                    // of all layers, as weighted
    double decode_ns = 0, prefill_ns = 0;  // a token alone; a token of the largest batch
};

// One result for each thread count. Throws as ShapeRace::run does.
std::vector<ThreadsResult> search(const Workload& workload,
                                  const std::vector<LayerForecast>& forecast,
                                  const TuneOptions& options, const TuneReport& report);

// The place of the thread count that is best for the goal.
size_t best_threads(const std::vector<ThreadsResult>& results);

// Puts the default back where the whole model did not confirm the choices: in the buckets of single
// tokens, or in the others. With one of them only if no layer has changed its layout.
void fall_back(ThreadsResult& result, bool decode, bool prefill);

// Whether every choice is the default's; whether every layout is.
bool all_default(const ThreadsResult& result);
bool same_layouts(const ThreadsResult& result);

// The plan of one thread count's choices.
Plan tuned_plan(const Workload& workload, const ThreadsResult& result);

}  // namespace tritbench
