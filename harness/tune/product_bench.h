// Real products to be raced: candidates of one shape, batch and thread pool, timed over copies of
// their weights and proved on them.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "harness/tune/candidates.h"
#include "harness/tune/workload.h"
#include "harness/verify/proof.h"
#include "harness/weight_copies.h"
#include "model/bitlinear.h"
#include "model/thread_pool.h"

namespace tritbench {

// Activations of a layer: those of random_activations, or where `zeros` of them are to be 0, what a
// squared ReLU leaves: gate^2 * up of the rest.
TestActivations layer_activations(const TuneLayer& layer, int64_t batch, uint64_t seed);

class ProductBench {
  public:
    // All must outlive this object.
    ProductBench(const TuneLayer& layer, int64_t batch, ThreadPool& pool, const RowProvider& rows,
                 uint64_t seed);
    ~ProductBench();

    // One candidate over copies of its packed bytes, which several may share.
    class Lane {
      public:
        Lane(ProductBench& bench, const Candidate& candidate, WeightCopies& copies);

        const Candidate candidate;

        // Nanoseconds of a product of one copy only: the fastest of a few short repetitions, or of
        // a single product if that takes more than `enough_ns`.
        double hot_ns(double enough_ns);
        // Decides how many products a repetition has, and warms up.
        void warm_up();
        // One repetition: nanoseconds of a product, and with `prepare` of its share of a
        // preparation.
        double repetition_ns(bool prepare);
        // On the first and the last copy.
        ProofResult prove() const;

      private:
        static int64_t products(void* lane, int64_t calls);
        static int64_t preparations(void* lane, int64_t calls);

        ProductBench& bench_;
        WeightCopies& copies_;
        PreparedBatch* prepared_;
        mutable ProductScratch scratch_;
        bool hot_ = false;  // one copy only
        int64_t calls_ = 1, prepare_calls_ = 1;
        bool lost_from_cache_ = false;  // see warm_up
    };

  private:
    PreparedBatch& prepared_for(const Candidate& candidate);

    const TuneLayer& layer_;
    ThreadPool& pool_;
    const RowProvider& rows_;
    uint64_t seed_;
    TestActivations x_;
    AlignedBuffer y_;
    std::map<std::string, PreparedBatch> prepared_;  // by prepare_key
    std::set<std::pair<std::string, const tb_kernel*>> seen_;
};

// Kernels with equal keys share a preparation.
std::string prepare_key(const Candidate& candidate);

}  // namespace tritbench
