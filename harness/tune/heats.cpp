// Heats: every candidate on a single copy of its weights, against the default from memory.
#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <random>
#include <set>

#include "harness/tune/layer_contest.h"
#include "kernels/api/registry.h"

namespace tritbench {

namespace {

// Hot, a candidate may take this much of the time that the default takes from memory.
constexpr double kMargin = 1.05;
// The other tiles of a kernel are tried if its default tile is within this of the margin.
constexpr double kTileReach = 2.0;
// So many tiles of a kernel race.
constexpr int kTilesOfAKernel = 4;

// Of a kernel in a bucket: the first tile that it ran with, its default where that is possible.
using FirstTimes = std::map<std::pair<size_t, const tb_kernel*>, double>;

std::vector<Entry> heat(LayerContest& contest, size_t variant, size_t bucket, FirstTimes& firsts) {
    WeightCopies& weights = contest.field.packed(variant, contest.pool);
    const double enough = contest.standard_ns[bucket] * kMargin;
    std::vector<Entry> entries;
    for (const Candidate& c :
         candidates_for(contest.field.variants()[variant], contest.options.buckets[bucket])) {
        const auto [at, first] = firsts.try_emplace({bucket, c.kernel}, 0.0);
        if (!first && (at->second > enough * kTileReach || contest.over(contest.heats_part))) {
            ++contest.untried;
            continue;
        }
        ProductBench::Lane lane(contest.bench(bucket), c, weights);
        entries.push_back({c, variant, lane.hot_ns(enough)});
        if (first) at->second = entries.back().hot_ns;
    }
    return entries;
}

// Who may race in a bucket: those within the margin, of each kernel its fastest tiles, and the
// default whatever its time.
std::vector<Entry> select(const LayerContest& contest, size_t bucket,
                          const std::vector<Entry>& fastest_first) {
    std::map<const tb_kernel*, int> tiles;
    std::vector<Entry> out;
    for (const Entry& entry : fastest_first) {
        const bool good = entry.hot_ns <= contest.standard_ns[bucket] * kMargin &&
                          tiles[entry.candidate.kernel]++ < kTilesOfAKernel;
        if (good || same_candidate(entry.candidate, contest.standard[bucket])) {
            out.push_back(entry);
        }
    }
    return out;
}

bool holds(const std::vector<Entry>& entries, const Candidate& candidate) {
    return std::any_of(entries.begin(), entries.end(), [&](const Entry& entry) {
        return same_candidate(entry.candidate, candidate);
    });
}

// Good enough in one bucket, a layout may be chosen: then it needs a kernel in each.
void complete(const std::map<size_t, std::vector<Entry>>& all,
              std::map<size_t, std::vector<Entry>>& selected) {
    std::set<size_t> variants;
    for (const auto& [bucket, entries] : selected) {
        for (const Entry& entry : entries) variants.insert(entry.variant);
    }
    for (const auto& [bucket, entries] : all) {
        for (const size_t variant : variants) {
            const auto of_it = [&](const Entry& entry) { return entry.variant == variant; };
            auto& in = selected[bucket];
            if (std::any_of(in.begin(), in.end(), of_it)) continue;
            const auto fastest = std::find_if(entries.begin(), entries.end(), of_it);
            if (fastest != entries.end()) in.push_back(*fastest);
        }
    }
}

// The variants that were selected and got copies.
std::set<size_t> copied(LayerContest& contest,
                        const std::map<size_t, std::vector<Entry>>& selected) {
    std::set<size_t> copied, refused;
    for (const auto& [bucket, entries] : selected) {
        for (const Entry& entry : entries) {
            const size_t v = entry.variant;
            if (copied.contains(v) || refused.contains(v)) continue;
            contest.tell(fmt::format("copies of {}", contest.field.variants()[v].name));
            if (contest.field.make_copies(v, contest.pool)) {
                copied.insert(v);
                continue;
            }
            refused.insert(v);
            contest.result.notes.push_back(fmt::format(
                "{} left out: no memory for {:.2f} GB of copies", contest.field.variants()[v].name,
                static_cast<double>(contest.field.bytes_wanted(v)) * 1e-9));
        }
    }
    return copied;
}

}  // namespace

void heats(LayerContest& contest, const std::vector<size_t>& variants,
           const std::vector<size_t>& buckets) {
    std::map<size_t, std::vector<Entry>> all, selected;
    FirstTimes firsts;
    for (const size_t v : variants) {
        const PackedVariant& variant = contest.field.variants()[v];
        const Candidate& c = variant.candidates.front();
        const bool standard = same_candidate(c, {c.kernel, default_tile(*c.kernel)});
        if (!standard && contest.over(contest.heats_part)) {
            contest.untried += variant.candidates.size();
            continue;
        }
        contest.tell(fmt::format("heats of {}", variant.name));
        for (const size_t bucket : buckets) {
            const auto entries = heat(contest, v, bucket, firsts);
            all[bucket].insert(all[bucket].end(), entries.begin(), entries.end());
        }
        contest.field.drop(v);
    }
    for (auto& [bucket, entries] : all) {
        std::sort(entries.begin(), entries.end(),
                  [](const Entry& a, const Entry& b) { return a.hot_ns < b.hot_ns; });
        selected[bucket] = select(contest, bucket, entries);
    }
    const bool none = std::all_of(selected.begin(), selected.end(),
                                  [](const auto& its) { return its.second.empty(); });
    if (none) {
        // The default is faster than anything here, and of another layout, or left out by the user.
        for (const auto& [bucket, entries] : all) {
            const size_t few = std::min<size_t>(kTilesOfAKernel, entries.size());
            selected[bucket].assign(entries.begin(), entries.begin() + static_cast<ptrdiff_t>(few));
        }
    }
    complete(all, selected);
    const std::set<size_t> in_memory = copied(contest, selected);
    for (const auto& [bucket, entries] : all) {
        for (const Entry& entry : entries) {
            if (in_memory.contains(entry.variant) && holds(selected[bucket], entry.candidate)) {
                contest.qualified[bucket].push_back(entry);
            } else {
                contest.finish(bucket, entry.candidate, "too slow hot",
                               {false, 0, entry.hot_ns, 1, {}});
            }
        }
    }
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
    const auto at = std::find(first.begin(), first.end(), home);
    if (at != first.end()) std::rotate(first.begin(), at, at + 1);
    // At random: what is left when the time is over is no particular kind.
    std::mt19937_64 random(contest.options.seed);
    std::shuffle(rest.begin(), rest.end(), random);
    first.insert(first.end(), rest.begin(), rest.end());
    heats(contest, first, buckets);
}

}  // namespace tritbench
