// One layer: which layout, and which kernel and tile for each batch, found by racing real products.
//
// Heats first: every candidate on a single copy of its weights, which stays in the cache. Who is
// slower so than the default is from memory cannot win and does not get copies. The others are
// proved, and race over copies that a cache does not hold. Only the batches that the goal weighs
// decide the layout; the other batches race the kernels of that layout.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "harness/tune/choose.h"
#include "harness/tune/packed_field.h"
#include "harness/tune/race.h"
#include "harness/tune/workload.h"

namespace tritbench {

struct ShapeRaceOptions {
    std::vector<Bucket> buckets;
    std::vector<double> weights;  // of each bucket, for the choice of a layout
    RaceRules rules;
    uint64_t seed = 1;
    bool keep_default = true;  // where nothing is faster beyond doubt
};

// How a candidate ended.
struct Finish {
    Candidate candidate;
    std::string outcome;  // "won", "raced", "dropped", "too slow hot", "wrong: ..."
    Standing standing;    // in the race; hot: its time
};

struct BucketResult {
    Bucket bucket;
    Candidate standard;  // what the default plan runs
    Candidate winner;    // of the race, in the layout chosen
    Candidate choice;    // what the tuned plan runs: the winner, or the default
    double ns = 0;       // of a product of `choice`
    Gain gain;           // the winner's over the default
    std::vector<Finish> field;
};

struct LayerResult {
    int threads = 1;
    std::string variant;  // PackedVariant::name
    std::vector<BucketResult> buckets;
    double goal_ns = 0;              // of one such layer: products of `choice`, as weighted
    std::vector<std::string> notes;  // what was left out, and why
};

// Told what is going on, now and then; returns false to stop.
using TuneReport = std::function<bool(const std::string& what)>;
struct TuneInterrupted {};

class ShapeRace {
  public:
    // `standard`: what the default plan runs in each bucket; it races too. All must outlive this
    // object. `field` may be used for one thread count after another.
    ShapeRace(const TuneLayer& layer, PackedField& field, const std::vector<Candidate>& standard,
              const ShapeRaceOptions& options, ThreadPool& pool);
    ~ShapeRace();

    // Takes about so many seconds. `preferred`: variants to be taken where they are as good as the
    // best. Throws TuneInterrupted when told to stop, and Error if the default cannot be raced or
    // every candidate of a bucket is wrong.
    LayerResult run(double seconds, const std::vector<std::string>& preferred,
                    const TuneReport& report);

  private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

}  // namespace tritbench
