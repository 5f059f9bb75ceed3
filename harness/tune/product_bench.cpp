#include "harness/tune/product_bench.h"

#include <algorithm>
#include <cmath>

#include "harness/environment.h"
#include "harness/measure.h"
#include "harness/verify/random_data.h"
#include "kernels/api/registry.h"

namespace tritbench {

namespace {

// Many candidates: shorter than the repetitions of a measurement, whose rows stand alone.
constexpr int64_t kRepetitionNs = 1'500'000;
constexpr int64_t kPrepareNs = 100'000;
constexpr int64_t kQuickNs = 300'000;
constexpr int kQuickRepetitions = 3;

}  // namespace

TestActivations layer_activations(const TuneLayer& layer, int64_t batch, uint64_t seed) {
    if (layer.zeros <= 0) return random_activations(batch, layer.shape.k, seed);
    RandomStream random(seed);
    std::vector<float> x(static_cast<size_t>(batch * layer.shape.k));
    for (float& value : x) {
        const float gate = random.uniform() + random.uniform();
        const float up = random.uniform() + random.uniform();
        const bool zero = static_cast<double>(random.below(1 << 20)) < layer.zeros * (1 << 20);
        value = zero ? 0.0F : gate * gate * up;
    }
    return quantised(std::move(x), batch, layer.shape.k);
}

std::string prepare_key(const Candidate& candidate) {
    std::string key = candidate.kernel->prepare_tag;
    for (int32_t i = 0; i < candidate.kernel->tile_param_count; ++i) {
        const tb_tile_param& param = candidate.kernel->tile_params[i];
        if ((param.affects & TB_TILE_AFFECTS_PREPARE) == 0) continue;
        key += std::string(" ") + param.name + "=" + std::to_string(candidate.tile.value[i]);
    }
    return key;
}

ProductBench::ProductBench(const TuneLayer& layer, int64_t batch, ThreadPool& pool,
                           const RowProvider& rows, uint64_t seed)
    : layer_(layer),
      pool_(pool),
      rows_(rows),
      seed_(seed),
      x_(layer_activations(layer, batch, seed + 1)),
      y_(static_cast<size_t>(batch * layer.shape.n) * sizeof(float)) {}

ProductBench::~ProductBench() = default;

PreparedBatch& ProductBench::prepared_for(const Candidate& candidate) {
    const std::string key = prepare_key(candidate);
    PreparedBatch& prepared = prepared_[key];
    // Kernels with one key prepare the same bytes, but may read further past their end.
    if (seen_.emplace(key, candidate.kernel).second) {
        prepared.prepare(pool_, *candidate.kernel, candidate.tile, layer_.shape, x_.x.data(), x_.m,
                         x_.k);
    }
    return prepared;
}

ProductBench::Lane::Lane(ProductBench& bench, const Candidate& its_candidate, WeightCopies& copies)
    : candidate(its_candidate),
      bench_(bench),
      copies_(copies),
      prepared_(&bench.prepared_for(its_candidate)) {
    scratch_.reserve(*candidate.kernel, candidate.tile, bench.layer_.shape, bench.x_.m,
                     bench.pool_.threads());
}

int64_t ProductBench::Lane::products(void* lane, int64_t calls) {
    auto& self = *static_cast<Lane*>(lane);
    ProductBench& bench = self.bench_;
    const PackedWeights* copies = self.copies_.views();
    const size_t count = self.hot_ ? 1 : self.copies_.count();
    size_t next = self.hot_ ? 0 : self.copies_.next;
    const int64_t begin = now_ns();
    for (int64_t i = 0; i < calls; ++i) {
        multiply(bench.pool_, *self.candidate.kernel, copies[next], *self.prepared_, self.scratch_,
                 bench.y_.as<float>(), bench.layer_.shape.n, &self.candidate.tile);
        if (++next == count) next = 0;
    }
    const int64_t end = now_ns();
    if (!self.hot_) self.copies_.next = next;
    return end - begin;
}

int64_t ProductBench::Lane::preparations(void* lane, int64_t calls) {
    auto& self = *static_cast<Lane*>(lane);
    ProductBench& bench = self.bench_;
    const int64_t begin = now_ns();
    for (int64_t i = 0; i < calls; ++i) {
        self.prepared_->prepare(bench.pool_, *self.candidate.kernel, self.candidate.tile,
                                bench.layer_.shape, bench.x_.x.data(), bench.x_.m, bench.x_.k);
    }
    return now_ns() - begin;
}

double ProductBench::Lane::hot_ns(double enough_ns) {
    hot_ = true;
    products(this, 1);
    const auto once = static_cast<double>(products(this, 1));
    if (once > enough_ns) {
        hot_ = false;
        return once;
    }
    const auto calls = static_cast<int64_t>(std::ceil(kQuickNs / std::max(1.0, once)));
    double least = once;
    for (int i = 0; i < kQuickRepetitions; ++i) {
        least = std::min(least,
                         static_cast<double>(products(this, calls)) / static_cast<double>(calls));
    }
    hot_ = false;
    return least;
}

void ProductBench::Lane::warm_up() {
    calls_ = calibrate({products, this}, kRepetitionNs);
    prepare_calls_ = calibrate({preparations, this}, kPrepareNs);
    // Weights that a model would find in the cache are there only if the others of a race, which
    // ran meanwhile, did not throw them out.
    lost_from_cache_ = copies_.total_bytes() < last_level_cache_bytes();
}

double ProductBench::Lane::repetition_ns(bool prepare) {
    double ns = 0;
    if (prepare) {
        ns += bench_.layer_.prepares * static_cast<double>(preparations(this, prepare_calls_)) /
              static_cast<double>(prepare_calls_);
    }
    if (lost_from_cache_) products(this, static_cast<int64_t>(copies_.count()));
    return ns + static_cast<double>(products(this, calls_)) / static_cast<double>(calls_);
}

ProofResult ProductBench::Lane::prove() const {
    const CellProof proof(bench_.pool_, *candidate.kernel, candidate.tile, bench_.layer_.shape,
                          bench_.rows_, bench_.seed_ + 2);
    ProofResult result;
    for (const size_t copy : {size_t{0}, copies_.count() - 1}) {
        result = proof.check(bench_.pool_, copies_.views()[copy], *prepared_, bench_.x_, scratch_);
        if (!result.ok()) break;
    }
    return result;
}

}  // namespace tritbench
