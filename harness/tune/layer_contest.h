// What the heats and the races of one layer with one number of threads share.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "harness/tune/product_bench.h"
#include "harness/tune/shape_race.h"

namespace tritbench {

// A candidate, the place of its variant in the field, and its time on a single copy.
struct Entry {
    Candidate candidate;
    size_t variant = 0;
    double hot_ns = 0;
};

class LayerContest {
  public:
    // All must outlive this object.
    LayerContest(const TuneLayer& its_layer, PackedField& its_field,
                 const std::vector<Candidate>& its_standard, const ShapeRaceOptions& its_options,
                 ThreadPool& its_pool);

    const TuneLayer& layer;
    PackedField& field;
    const std::vector<Candidate>& standard;  // of each bucket
    const ShapeRaceOptions& options;
    ThreadPool& pool;
    std::vector<size_t> standard_variant;       // of each bucket
    std::vector<double> standard_ns;            // of each bucket, from memory; 0: not measured
    std::vector<std::vector<Entry>> qualified;  // of each bucket
    LayerResult result;
    size_t untried = 0;        // tiles
    double heats_part = 0.45;  // the part of the time after which only default tiles have heats

    void start(double seconds, const TuneReport& report);
    // Whether this part of the time is over.
    bool over(double part) const;
    // Throws TuneInterrupted when told to stop.
    void tell(const std::string& what) const;
    std::string batch_text(size_t bucket) const;

    // Made when first wanted.
    ProductBench& bench(size_t bucket);
    // Makes the copies of the default of a bucket, and measures it on them, once. Throws Error if
    // there is no memory for them.
    void measure_standard(size_t bucket);
    // Repetitions of a candidate and of the default, in pairs, each first in turn.
    struct Pairs {
        std::vector<double> ours, standard;
    };
    Pairs pairs(size_t bucket, const Candidate& candidate, size_t variant);

    void finish(size_t bucket, const Candidate& candidate, std::string outcome,
                const Standing& standing);

  private:
    std::vector<std::unique_ptr<ProductBench>> benches_;
    const TuneReport* report_ = nullptr;
    int64_t begin_ns_ = 0;
    double seconds_ = 0;
};

// How many pairs decide between a winner and the default.
inline constexpr int kPairs = 25;

// The heats of some variants: who is good enough for one of the buckets is qualified for it, of
// each kernel the fastest tiles, and copies are made for them.
void heats(LayerContest& contest, const std::vector<size_t>& variants,
           const std::vector<size_t>& buckets);
// Of all variants: the default's first, then those with default tiles, then as many of the others
// as there is time for.
void all_heats(LayerContest& contest, const std::vector<size_t>& buckets);

}  // namespace tritbench
