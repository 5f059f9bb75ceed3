// Heats: every candidate on a single copy of its weights, against the default from memory.
#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <random>

#include "harness/tune/layer_contest.h"
#include "kernels/api/registry.h"

namespace tritbench {

namespace {

// Hot, a candidate may take this much of the time that the default takes from memory.
constexpr double kMargin = 1.05;
// The other tiles of a kernel are tried if its default tile is within this of the margin.
constexpr double kTileReach = 2.0;

struct Heated {
    std::vector<Entry> all, good;
};

bool holds(const std::vector<Entry>& entries, const Candidate& candidate) {
    return std::any_of(entries.begin(), entries.end(), [&](const Entry& entry) {
        return same_candidate(entry.candidate, candidate);
    });
}

Heated heat_bucket(LayerContest& contest, size_t variant, size_t bucket) {
    WeightCopies& weights = contest.field.packed(variant, contest.pool);
    const double enough = contest.standard_ns[bucket] * kMargin;
    std::map<const tb_kernel*, double> with_default_tile;
    Heated heated;
    for (const Candidate& c :
         candidates_for(contest.field.variants()[variant], contest.options.buckets[bucket])) {
        const auto [at, first] = with_default_tile.try_emplace(c.kernel, 0.0);
        if (!first && (at->second > enough * kTileReach || contest.over(kHeatsPart))) {
            ++contest.untried;
            continue;
        }
        ProductBench::Lane lane(contest.bench(bucket), c, weights);
        const Entry entry{c, variant, lane.hot_ns(enough)};
        if (first) at->second = entry.hot_ns;
        heated.all.push_back(entry);
        if (entry.hot_ns <= enough || same_candidate(c, contest.standard[bucket])) {
            heated.good.push_back(entry);
        }
    }
    return heated;
}

}  // namespace

void heat(LayerContest& contest, size_t variant, const std::vector<size_t>& buckets) {
    std::map<size_t, Heated> heated;
    bool any = false;
    for (const size_t bucket : buckets) {
        heated[bucket] = heat_bucket(contest, variant, bucket);
        any = any || !heated[bucket].good.empty();
    }
    if (any && !contest.field.make_copies(variant, contest.pool)) {
        contest.result.notes.push_back(
            fmt::format("{} left out: no memory for {:.2f} GB of copies",
                        contest.field.variants()[variant].name,
                        static_cast<double>(contest.field.bytes_wanted(variant)) * 1e-9));
        any = false;
    }
    for (auto& [bucket, its] : heated) {
        if (!any) its.good.clear();
        // Good enough for one bucket, the layout may be chosen: then it needs a kernel for each.
        if (any && its.good.empty() && !its.all.empty()) {
            its.good.push_back(*std::min_element(
                its.all.begin(), its.all.end(),
                [](const Entry& a, const Entry& b) { return a.hot_ns < b.hot_ns; }));
        }
        for (const Entry& entry : its.all) {
            if (holds(its.good, entry.candidate)) {
                contest.qualified[bucket].push_back(entry);
            } else {
                contest.finish(bucket, entry.candidate, "too slow hot",
                               {false, 0, entry.hot_ns, 1, {}});
            }
        }
    }
    contest.field.drop(variant);
}

void all_heats(LayerContest& contest, const std::vector<size_t>& buckets) {
    const std::vector<PackedVariant>& variants = contest.field.variants();
    const size_t home = contest.standard_variant[buckets.front()];
    std::vector<size_t> first, rest;
    for (size_t v = 0; v < variants.size(); ++v) {
        if (variants[v].candidates.empty()) continue;  // only the default is of it
        const Candidate& c = variants[v].candidates.front();
        const bool standard = same_candidate(c, {c.kernel, default_tile(*c.kernel)});
        (v == home || standard ? first : rest).push_back(v);
    }
    std::stable_partition(first.begin(), first.end(), [&](size_t v) { return v == home; });
    // At random: what is left when the time is over is no particular kind.
    std::mt19937_64 random(contest.options.seed);
    std::shuffle(rest.begin(), rest.end(), random);
    const size_t certain = first.size();
    first.insert(first.end(), rest.begin(), rest.end());
    for (size_t i = 0; i < first.size(); ++i) {
        if (i >= certain && contest.over(kHeatsPart)) {
            contest.untried += variants[first[i]].candidates.size();
            continue;
        }
        contest.tell(fmt::format("heats of {}", variants[first[i]].name));
        heat(contest, first[i], buckets);
    }
}

}  // namespace tritbench
