#include "harness/gbench/gbench_product.h"

#include <fmt/format.h>

#include <algorithm>

#include "harness/environment.h"
#include "harness/gbench/gbench_flags.h"
#include "harness/kernel_cells.h"
#include "kernels/api/registry.h"

namespace tritbench {
namespace {

size_t gbench_copies(const Cell& cell, uint64_t memory) {
    const uint64_t bytes = cell.kernel().packed_size(&cell.shape, &cell.tile());
    const uint64_t wanted =
        (weight_copies_bytes(cell, last_level_cache_bytes()) + bytes - 1) / bytes;
    return static_cast<size_t>(
        std::clamp<uint64_t>(wanted, 1, std::max<uint64_t>(1, memory / (bytes + 4096))));
}

}  // namespace

GbenchProduct::GbenchProduct(const Cell& cell, ThreadPool& pool, uint64_t seed, uint64_t memory)
    : cell_(cell),
      pool_(pool),
      rows_(random_ternary_rows(cell.shape, seed)),
      x_(random_activations(cell.batch, cell.shape.k, seed + 1)),
      copies_(pool, cell_.kernel(), cell_.tile(), cell_.shape, rows_, gbench_copies(cell_, memory),
              static_cast<size_t>(cell_.kernel().packed_overread)),
      proof_(pool, cell_.kernel(), cell_.tile(), cell_.shape, rows_, seed + 2),
      y_(static_cast<size_t>(cell.batch * cell.shape.n) * sizeof(float)) {
    prepared_.prepare(pool, cell_.kernel(), cell_.tile(), cell_.shape, x_.x.data(), x_.m, x_.k);
    scratch_.reserve(cell_.kernel(), cell_.tile(), cell_.shape, cell_.batch, pool.threads());
}

ProofResult GbenchProduct::prove() const {
    ProofResult result;
    for (const size_t copy : {size_t{0}, copies_.count() - 1}) {
        result = proof_.check(pool_, copies_.views()[copy], prepared_, x_, scratch_);
        if (!result.ok() || copies_.count() == 1) break;
    }
    return result;
}

void GbenchProduct::multiply_next() {
    multiply(pool_, cell_.kernel(), copies_.views()[copies_.next], prepared_, scratch_,
             y_.as<float>(), cell_.shape.n, &cell_.tile());
    if (++copies_.next == copies_.count()) copies_.next = 0;
}

tb_work GbenchProduct::work() const {
    tb_work work{};
    cell_.kernel().work(&cell_.shape, &cell_.tile(), cell_.batch, &work);
    return work;
}

GbenchProducts::GbenchProducts(uint64_t seed)
    : seed_(seed), memory_(available_memory_bytes() / 4) {}

GbenchProduct& GbenchProducts::of(const Cell& cell) {
    const std::string name = gbench_name(cell);
    const auto known = std::find_if(kept_.begin(), kept_.end(),
                                    [&](const Kept& kept) { return kept.name == name; });
    if (known != kept_.end()) {
        kept_.splice(kept_.begin(), kept_, known);
        return *kept_.front().product;
    }
    uint64_t used = 0;
    for (const Kept& kept : kept_) used += kept.product->bytes();
    while (used > memory_) {
        used -= kept_.back().product->bytes();
        kept_.pop_back();
    }
    auto& pool = pools_[cell.threads];
    if (!pool) pool = std::make_unique<ThreadPool>(cell.threads);
    kept_.push_front({name, std::make_unique<GbenchProduct>(cell, *pool, seed_, memory_)});
    return *kept_.front().product;
}

const std::string& GbenchProducts::refused(const Cell& cell) {
    const std::string name =
        fmt::format("{} {}", cell.kernel().id, tile_name(cell.kernel(), cell.tile()));
    const auto known = refusals_.find(name);
    if (known != refusals_.end()) return known->second;
    const ProofResult found = quick_gate(cell.kernel(), cell.tile());
    return refusals_[name] = found.ok() ? "" : fmt::format("gate: {}", found.reason);
}

}  // namespace tritbench
