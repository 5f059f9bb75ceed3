#include "harness/tune/shape_race.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <map>
#include <set>

#include "harness/tune/layer_contest.h"
#include "kernels/api/error.h"

namespace tritbench {

namespace {

using Lane = ProductBench::Lane;

// The part of the time after which races that decide the layout end.
constexpr double kLayoutPart = 0.75;
constexpr double kNever = std::numeric_limits<double>::infinity();

// A race that has been run.
struct Raced {
    std::vector<Entry> entries;
    std::vector<Standing> standings;
    double leader_ns = 0;
};

}  // namespace

struct ShapeRace::Impl {
    LayerContest contest;
    std::map<size_t, Raced> raced;  // by bucket

    std::vector<std::unique_ptr<Lane>> prove(size_t bucket);
    void race(size_t bucket, double until_part);
    Candidate fastest(size_t bucket, size_t variant, double* ns) const;
    size_t choose_layout(const std::vector<size_t>& deciding,
                         const std::vector<std::string>& preferred) const;
    bool worth_another_layout(size_t variant, const std::vector<size_t>& deciding);
    void race_in(size_t variant, size_t bucket, double until_part);
    void settle(size_t bucket, size_t variant);
};

// Lanes for those who are qualified and right, ready to race.
std::vector<std::unique_ptr<Lane>> ShapeRace::Impl::prove(size_t bucket) {
    LayerContest& c = contest;
    std::vector<std::unique_ptr<Lane>> lanes;
    std::string wrong;
    for (const Entry& entry : c.qualified[bucket]) {
        c.tell(fmt::format("{}: proving {}", c.batch_text(bucket), entry.candidate.kernel->id));
        auto lane = std::make_unique<Lane>(c.bench(bucket), entry.candidate,
                                           c.field.packed(entry.variant, c.pool));
        const ProofResult proof = lane->prove();
        if (!proof.ok()) {
            wrong = fmt::format("{} is wrong: {}", candidate_name(entry.candidate), proof.reason);
            c.result.notes.push_back(wrong);
            c.finish(bucket, entry.candidate, "wrong: " + proof.reason, {false, 0, 0, 1, {}});
            continue;
        }
        lane->warm_up();
        lanes.push_back(std::move(lane));
        raced[bucket].entries.push_back(entry);
    }
    if (lanes.empty()) {
        throw Error(fmt::format("{}, {}: no candidate is left{}{}", layer_name(c.layer),
                                c.batch_text(bucket), wrong.empty() ? "" : "; ", wrong));
    }
    return lanes;
}

void ShapeRace::Impl::race(size_t bucket, double until_part) {
    LayerContest& c = contest;
    const auto lanes = prove(bucket);
    std::set<std::string> preparations;
    for (const auto& lane : lanes) preparations.insert(prepare_key(lane->candidate));
    Race race(lanes.size(), c.options.rules, c.options.seed + bucket);
    while (!race.decided() &&
           (race.rounds() < c.options.rules.least_rounds || !c.over(until_part))) {
        race.round([&](size_t i) {
            c.tell(fmt::format("{}: {} of {} left, round {}", c.batch_text(bucket), race.racing(),
                               lanes.size(), race.rounds() + 1));
            return lanes[i]->repetition_ns(preparations.size() > 1);
        });
    }
    Raced& r = raced[bucket];
    r.standings = race.standings();
    r.leader_ns = r.standings[race.leader()].ns;
    for (size_t i = 0; i < lanes.size(); ++i) {
        const char* end = r.standings[i].racing ? "raced" : "dropped";
        c.finish(bucket, r.entries[i].candidate, i == race.leader() ? "won" : end, r.standings[i]);
    }
}

// Of a variant in a race. ns: infinite if none of it raced.
Candidate ShapeRace::Impl::fastest(size_t bucket, size_t variant, double* ns) const {
    const Raced& r = raced.at(bucket);
    Candidate best;
    *ns = kNever;
    for (size_t i = 0; i < r.entries.size(); ++i) {
        if (r.entries[i].variant != variant) continue;
        // Who lost is slower, whatever the few rounds before said.
        const double its = r.standings[i].racing
                               ? r.standings[i].ns
                               : std::max(r.standings[i].ns, r.leader_ns * (1 + 2 * kAlike));
        if (its >= *ns) continue;
        best = r.entries[i].candidate;
        *ns = its;
    }
    return best;
}

size_t ShapeRace::Impl::choose_layout(const std::vector<size_t>& deciding,
                                      const std::vector<std::string>& preferred) const {
    std::vector<VariantTime> times;
    std::vector<size_t> places;
    for (size_t v = 0; v < contest.field.variants().size(); ++v) {
        double total = 0;
        for (const size_t bucket : deciding) {
            double ns = 0;
            fastest(bucket, v, &ns);
            total += contest.options.weights[bucket] * ns;
        }
        if (total == kNever) continue;
        times.push_back({contest.field.variants()[v].name, total});
        places.push_back(v);
    }
    return places[choose_variant(times, preferred)];
}

// Whether what decides is faster in this layout than in the default's, beyond doubt.
bool ShapeRace::Impl::worth_another_layout(size_t variant, const std::vector<size_t>& deciding) {
    std::vector<double> ours(kPairs, 0.0), standard(kPairs, 0.0);
    for (const size_t bucket : deciding) {
        double ns = 0;
        const auto sample = contest.pairs(bucket, fastest(bucket, variant, &ns), variant);
        for (size_t i = 0; i < sample.ours.size(); ++i) {
            ours[i] += contest.options.weights[bucket] * sample.ours[i];
            standard[i] += contest.options.weights[bucket] * sample.standard[i];
        }
    }
    const Summary gain = paired_ratio(standard, ours);
    return Gain{gain.median, gain.ci95}.beyond_doubt();
}

// The kernels of the chosen variant, for a bucket that did not decide.
void ShapeRace::Impl::race_in(size_t variant, size_t bucket, double until_part) {
    LayerContest& c = contest;
    if (candidates_for(c.field.variants()[variant], c.options.buckets[bucket]).empty()) {
        throw Error(fmt::format("{}: no kernel of {} takes batches of {}", layer_name(c.layer),
                                c.field.variants()[variant].name,
                                bucket_name(c.options.buckets[bucket])));
    }
    c.measure_standard(bucket);
    c.heats_part = until_part;
    heats(c, {variant}, {bucket});
    race(bucket, until_part);
}

// The winner of a bucket in the chosen variant, what it gains, and whether the default stays.
void ShapeRace::Impl::settle(size_t bucket, size_t variant) {
    LayerContest& c = contest;
    BucketResult& out = c.result.buckets[bucket];
    out.winner = fastest(bucket, variant, &out.ns);
    out.choice = out.winner;
    if (same_candidate(out.winner, c.standard[bucket])) return;
    const auto sample = c.pairs(bucket, out.winner, variant);
    const Summary gain = paired_ratio(sample.standard, sample.ours);
    out.gain = {gain.median, gain.ci95};
    const bool same_layout = variant == c.standard_variant[bucket];
    if (!same_layout || !c.options.keep_default || out.gain.beyond_doubt()) return;
    out.choice = c.standard[bucket];
    out.ns = median(sample.standard);
}

ShapeRace::ShapeRace(const TuneLayer& layer, PackedField& field,
                     const std::vector<Candidate>& standard, const ShapeRaceOptions& options,
                     ThreadPool& pool)
    : impl_(new Impl{{layer, field, standard, options, pool}, {}}) {}

ShapeRace::~ShapeRace() = default;

LayerResult ShapeRace::run(double seconds, const std::vector<std::string>& preferred,
                           const TuneReport& report) {
    LayerContest& c = impl_->contest;
    c.start(seconds, report);
    std::vector<size_t> deciding, others;
    for (size_t b = 0; b < c.options.buckets.size(); ++b) {
        (c.options.weights[b] > 0 ? deciding : others).push_back(b);
    }
    const auto until = [](double begin, double end, size_t i, size_t count) {
        return begin + (end - begin) * static_cast<double>(i + 1) / static_cast<double>(count);
    };
    for (const size_t bucket : deciding) c.measure_standard(bucket);
    all_heats(c, deciding);
    for (size_t i = 0; i < deciding.size(); ++i) {
        impl_->race(deciding[i], until(c.heats_part, kLayoutPart, i, deciding.size()));
    }
    const size_t home = c.standard_variant[deciding.front()];
    std::vector<std::string> liked = preferred;
    if (c.options.keep_default) liked.insert(liked.begin(), c.field.variants()[home].name);
    size_t variant = impl_->choose_layout(deciding, liked);
    if (variant != home && c.options.keep_default &&
        !impl_->worth_another_layout(variant, deciding)) {
        variant = home;
    }
    for (size_t i = 0; i < others.size(); ++i) {
        impl_->race_in(variant, others[i], until(kLayoutPart, 1, i, others.size()));
    }
    c.result.variant = c.field.variants()[variant].name;
    for (size_t b = 0; b < c.options.buckets.size(); ++b) {
        impl_->settle(b, variant);
        c.result.goal_ns += c.options.weights[b] * c.result.buckets[b].ns;
    }
    if (c.untried > 0) {
        c.result.notes.push_back(fmt::format(
            "{} tiles not tried: their kernels are far behind, or the time was over", c.untried));
    }
    return std::move(c.result);
}

}  // namespace tritbench
