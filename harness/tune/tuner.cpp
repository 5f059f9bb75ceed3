#include "harness/tune/tuner.h"

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <memory>

#include "harness/environment.h"
#include "harness/kernel_cells.h"
#include "harness/measure.h"
#include "harness/pins.h"
#include "kernels/api/error.h"
#include "kernels/api/registry.h"
#include "model/thread_pool.h"

namespace tritbench {

namespace {

// The zeros among trained weights (model/train/README.md).
constexpr double kWeightZeros = 0.33;

// Rough costs on one core, for the forecast: of packing a weight, of proving one, of a heat, of the
// copies of a variant, and of the candidates that are left after the heats of a layer.
constexpr double kPackNs = 2.5, kProveNs = 4, kHeatSeconds = 0.0015, kCopySeconds = 0.1;
constexpr double kLeft = 8, kRaceSeconds = 0.4;

bool races(const std::vector<PackedVariant>& variants, const Candidate& candidate) {
    for (const PackedVariant& variant : variants) {
        for (const Candidate& c : variant.candidates) {
            if (same_candidate(c, candidate)) return true;
        }
    }
    return false;
}

// What the default plan runs for a layer in each bucket.
std::vector<Candidate> standard_of(const Plan& plan, const TuneLayer& layer,
                                   const std::vector<Bucket>& buckets) {
    const std::string role = layer.roles.empty() ? "" : layer.roles.front();
    const PlanLayer* its = plan.find(role, layer.shape);
    if (its == nullptr) {
        throw Error(fmt::format("plan {}: no layer for {}; expected one for every layer", plan.name,
                                layer_name(layer)));
    }
    std::vector<Candidate> out;
    for (const Bucket& bucket : buckets) {
        const PlanCall& call = call_for(its->calls, bucket.raced);
        require_accepts(*call.kernel, layer.shape, call.tile);
        out.push_back({call.kernel, call.tile});
    }
    return out;
}

double least_seconds(const TuneLayer& layer, const LayerForecast& forecast, size_t buckets,
                     int threads) {
    const auto weights = static_cast<double>(layer.shape.n * layer.shape.k);
    double candidates = 0;
    for (const PackedVariant& v : forecast.variants) {
        candidates += static_cast<double>(v.candidates.size());
    }
    const double packed = static_cast<double>(forecast.variants.size()) * weights * kPackNs * 1e-9;
    const double proved = kLeft * weights * kProveNs * 1e-9;
    return (packed + proved) / threads + candidates * kHeatSeconds + kLeft * kCopySeconds +
           static_cast<double>(buckets) * kRaceSeconds;
}

}  // namespace

std::vector<LayerForecast> foresee(const Workload& workload, const Plan& standard,
                                   const TuneOptions& options) {
    const auto kernels = racing_kernels(options.rules);
    const auto buckets = buckets_of(options.batches);
    std::vector<LayerForecast> out;
    for (const TuneLayer& layer : workload.layers) {
        LayerForecast forecast;
        forecast.variants = packed_variants(kernels, layer.shape);
        forecast.standard = standard_of(standard, layer, buckets);
        for (const Candidate& c : forecast.standard) {
            forecast.standard_races = forecast.standard_races && races(forecast.variants, c);
        }
        for (const int threads : options.threads) {
            forecast.least_seconds += least_seconds(layer, forecast, buckets.size(), threads);
        }
        out.push_back(std::move(forecast));
    }
    return out;
}

double predicted_seconds(const std::vector<LayerForecast>& forecast, const TuneOptions& options) {
    double least = 0;
    for (const LayerForecast& layer : forecast) least += layer.least_seconds;
    return std::max(least, options.seconds);
}

namespace {

// One layer with every thread count, which share its packed weights.
std::vector<LayerResult> search_layer(const Workload& workload, size_t place,
                                      const LayerForecast& forecast, const TuneOptions& options,
                                      const std::vector<std::unique_ptr<ThreadPool>>& pools,
                                      double seconds, std::vector<std::string>& taken,
                                      const TuneReport& report) {
    const TuneLayer& layer = workload.layers[place];
    ShapeRaceOptions race;
    race.buckets = buckets_of(options.batches);
    race.weights = goal_weights(options.goal, options.batches);
    race.seed = options.seed;
    race.keep_default = forecast.standard_races;
    const uint64_t cold = kColdFactor * last_level_cache_bytes();
    const auto bytes_between = [&](const tb_kernel& kernel) {
        if (workload.weights == 0) return cold;
        const double bits = bits_per_weight(kernel);
        const auto model = static_cast<uint64_t>(static_cast<double>(workload.weights) * bits / 8);
        return std::min(cold, model + workload.head_bytes);
    };
    PackedField field(layer.shape, forecast.variants,
                      random_ternary_rows(layer.shape, options.seed, kWeightZeros), bytes_between,
                      available_memory_bytes() / 2);
    std::vector<LayerResult> results;
    const int64_t begin = now_ns();
    for (size_t i = 0; i < pools.size(); ++i) {
        const double left = seconds - static_cast<double>(now_ns() - begin) * 1e-9;
        ShapeRace contest(layer, field, forecast.standard, race, *pools[i]);
        results.push_back(contest.run(left / static_cast<double>(pools.size() - i), taken, report));
        const std::string& variant = results.back().variant;
        if (std::find(taken.begin(), taken.end(), variant) == taken.end()) taken.push_back(variant);
    }
    return results;
}

void add_up(const Workload& workload, const TuneOptions& options, ThreadsResult& result) {
    const auto smallest = static_cast<double>(options.batches.front());
    const auto largest = static_cast<double>(options.batches.back());
    for (size_t i = 0; i < workload.layers.size(); ++i) {
        const auto count = static_cast<double>(workload.layers[i].count);
        const LayerResult& layer = result.layers[i];
        result.goal_ns += count * layer.goal_ns;
        result.decode_ns += count * layer.buckets.front().ns / smallest;
        result.prefill_ns += count * layer.buckets.back().ns / largest;
    }
}

}  // namespace

std::vector<ThreadsResult> search(const Workload& workload,
                                  const std::vector<LayerForecast>& forecast,
                                  const TuneOptions& options, const TuneReport& report) {
    std::vector<std::unique_ptr<ThreadPool>> pools;
    std::vector<ThreadsResult> results;
    for (const int threads : options.threads) {
        pools.push_back(std::make_unique<ThreadPool>(threads, pins_here(threads, options.pins)));
        results.push_back({threads, {}, 0, 0, 0});
    }
    // Layers share the time by what is certain to be needed for them.
    double needs = 0;
    for (const LayerForecast& layer : forecast) needs += layer.least_seconds;
    double left = options.seconds;
    std::vector<std::string> taken;
    for (size_t i = 0; i < workload.layers.size(); ++i) {
        const int64_t begin = now_ns();
        const double share = std::max(0.0, left) * forecast[i].least_seconds / needs;
        auto of_layer =
            search_layer(workload, i, forecast[i], options, pools, share, taken, report);
        for (size_t t = 0; t < results.size(); ++t) {
            results[t].layers.push_back(std::move(of_layer[t]));
        }
        left -= static_cast<double>(now_ns() - begin) * 1e-9;
        needs -= forecast[i].least_seconds;
    }
    for (ThreadsResult& result : results) add_up(workload, options, result);
    return results;
}

size_t best_threads(const std::vector<ThreadsResult>& results) {
    const auto faster = [](const ThreadsResult& a, const ThreadsResult& b) {
        return a.goal_ns < b.goal_ns;
    };
    return static_cast<size_t>(std::min_element(results.begin(), results.end(), faster) -
                               results.begin());
}

void fall_back(ThreadsResult& result, bool decode, bool prefill) {
    for (LayerResult& layer : result.layers) {
        for (BucketResult& bucket : layer.buckets) {
            if (bucket.bucket.most == 1 ? decode : prefill) bucket.choice = bucket.standard;
        }
    }
}

namespace {

bool for_all_choices(const ThreadsResult& result,
                     const std::function<bool(const BucketResult&)>& holds) {
    return std::all_of(result.layers.begin(), result.layers.end(), [&](const LayerResult& layer) {
        return std::all_of(layer.buckets.begin(), layer.buckets.end(), holds);
    });
}

}  // namespace

bool all_default(const ThreadsResult& result) {
    return for_all_choices(result, [](const BucketResult& bucket) {
        return same_candidate(bucket.choice, bucket.standard);
    });
}

bool same_layouts(const ThreadsResult& result) {
    return for_all_choices(result, [](const BucketResult& bucket) {
        return variant_name(bucket.choice) == variant_name(bucket.standard);
    });
}

Plan tuned_plan(const Workload& workload, const ThreadsResult& result) {
    Plan plan;
    plan.name = "tuned";
    plan.threads = result.threads;
    for (size_t i = 0; i < workload.layers.size(); ++i) {
        const TuneLayer& layer = workload.layers[i];
        std::vector<Choice> choices;
        for (const BucketResult& bucket : result.layers[i].buckets) {
            choices.push_back({bucket.bucket.most, bucket.choice});
        }
        PlanLayer out;
        out.shape = layer.shape;
        out.layout = choices.front().candidate.kernel->layout;
        for (const Choice& c : merge_choices(choices)) {
            out.calls.push_back({c.batch, c.candidate.kernel, c.candidate.tile});
        }
        if (layer.roles.empty() || layer.own_shape) {
            plan.layers.push_back(out);
            continue;
        }
        for (const std::string& role : layer.roles) {
            out.role = role;
            plan.layers.push_back(out);
        }
    }
    return plan;
}

}  // namespace tritbench
