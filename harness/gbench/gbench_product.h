// A product as Google Benchmark times it: the packed weights, pool and call of `tritbench bench`.
#pragma once

#include <cstdint>
#include <list>
#include <map>
#include <memory>
#include <string>

#include "harness/cell.h"
#include "harness/verify/proof.h"
#include "harness/weight_copies.h"
#include "model/bitlinear.h"
#include "model/thread_pool.h"

namespace tritbench {

class GbenchProduct {
  public:
    // Packs the weights (hot: once; cold: copies that exceed the last-level cache four times, as
    // far as `memory` bytes hold them) and prepares the activations. The pool must outlive this.
    GbenchProduct(const Cell& cell, ThreadPool& pool, uint64_t seed, uint64_t memory);

    // The first and the last copy against the oracle.
    ProofResult prove() const;

    // One product, of the copy whose turn it is.
    void multiply_next();

    tb_work work() const;
    uint64_t bytes() const { return copies_.total_bytes(); }

  private:
    const Cell cell_;
    ThreadPool& pool_;
    RowProvider rows_;
    TestActivations x_;
    WeightCopies copies_;
    CellProof proof_;
    PreparedBatch prepared_;
    mutable ProductScratch scratch_;
    AlignedBuffer y_;
};

// The products of a run, made when they are asked for. Google Benchmark calls a benchmark several
// times, with ever more iterations: what was used last is kept, as far as memory goes.
class GbenchProducts {
  public:
    explicit GbenchProducts(uint64_t seed);

    // Throws Error when it cannot be set up.
    GbenchProduct& of(const Cell& cell);

    // The quick gate of the cell's kernel and tile, run once for each. Empty: passed.
    const std::string& refused(const Cell& cell);

  private:
    struct Kept {
        std::string name;
        std::unique_ptr<GbenchProduct> product;
    };

    uint64_t seed_;
    uint64_t memory_;                                   // of all that is kept, but for the last one
    std::map<int, std::unique_ptr<ThreadPool>> pools_;  // by threads
    std::map<std::string, std::string> refusals_;       // by kernel and tile
    std::list<Kept> kept_;                              // the last one first
};

}  // namespace tritbench
