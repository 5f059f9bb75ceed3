#include "harness/tune/layer_contest.h"

#include <fmt/format.h>

#include "harness/measure.h"
#include "kernels/api/error.h"

namespace tritbench {

namespace {

constexpr int kStandardRepetitions = 5;

}  // namespace

LayerContest::LayerContest(const TuneLayer& its_layer, PackedField& its_field,
                           const std::vector<Candidate>& its_standard,
                           const ShapeRaceOptions& its_options, ThreadPool& its_pool)
    : layer(its_layer),
      field(its_field),
      standard(its_standard),
      options(its_options),
      pool(its_pool),
      standard_ns(its_options.buckets.size(), 0.0),
      qualified(its_options.buckets.size()),
      benches_(its_options.buckets.size()) {
    result.threads = pool.threads();
    result.buckets.resize(options.buckets.size());
    for (size_t b = 0; b < options.buckets.size(); ++b) {
        standard_variant.push_back(field.include(standard[b]));
        result.buckets[b].bucket = options.buckets[b];
        result.buckets[b].standard = standard[b];
    }
}

void LayerContest::start(double seconds, const TuneReport& report) {
    report_ = &report;
    seconds_ = seconds;
    begin_ns_ = now_ns();
}

bool LayerContest::over(double part) const {
    return static_cast<double>(now_ns() - begin_ns_) * 1e-9 > seconds_ * part;
}

void LayerContest::tell(const std::string& what) const {
    if (!(*report_)(fmt::format("{} x{}: {}", layer_name(layer), pool.threads(), what))) {
        throw TuneInterrupted{};
    }
}

std::string LayerContest::batch_text(size_t bucket) const {
    return fmt::format("batch {}", options.buckets[bucket].raced);
}

ProductBench& LayerContest::bench(size_t bucket) {
    auto& its = benches_[bucket];
    if (!its) {
        its = std::make_unique<ProductBench>(layer, options.buckets[bucket].raced, pool,
                                             field.rows(), options.seed);
    }
    return *its;
}

void LayerContest::measure_standard(size_t bucket) {
    if (standard_ns[bucket] > 0) return;
    const Candidate& candidate = standard[bucket];
    tell(fmt::format("{}: the default, {}", batch_text(bucket), candidate.kernel->id));
    const size_t variant = standard_variant[bucket];
    if (!field.make_copies(variant, pool)) {
        throw Error(
            fmt::format("{}: {:.2f} GB for copies of its weights in {}; expected less than "
                        "half of the memory that is free",
                        layer_name(layer), static_cast<double>(field.bytes_wanted(variant)) * 1e-9,
                        field.variants()[variant].name));
    }
    ProductBench::Lane lane(bench(bucket), candidate, field.packed(variant, pool));
    lane.warm_up();
    std::vector<double> ns;
    for (int i = 0; i < kStandardRepetitions; ++i) ns.push_back(lane.repetition_ns(false));
    standard_ns[bucket] = median(ns);
}

LayerContest::Pairs LayerContest::pairs(size_t bucket, const Candidate& candidate, size_t variant) {
    measure_standard(bucket);
    ProductBench::Lane ours(bench(bucket), candidate, field.packed(variant, pool));
    ProductBench::Lane theirs(bench(bucket), standard[bucket],
                              field.packed(standard_variant[bucket], pool));
    const bool prepare = prepare_key(candidate) != prepare_key(standard[bucket]);
    ours.warm_up();
    theirs.warm_up();
    Pairs out;
    for (int i = 0; i < kPairs; ++i) {
        tell(fmt::format("{}: {} against the default, pair {} of {}", batch_text(bucket),
                         candidate.kernel->id, i + 1, kPairs));
        const bool ours_first = i % 2 == 0;
        if (ours_first) out.ours.push_back(ours.repetition_ns(prepare));
        out.standard.push_back(theirs.repetition_ns(prepare));
        if (!ours_first) out.ours.push_back(ours.repetition_ns(prepare));
    }
    return out;
}

void LayerContest::finish(size_t bucket, const Candidate& candidate, std::string outcome,
                          const Standing& standing) {
    result.buckets[bucket].field.push_back({candidate, std::move(outcome), standing});
}

}  // namespace tritbench
