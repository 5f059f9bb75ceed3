// One matrix product as it is measured: proof, warm-up, one repetition.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "harness/aa_control.h"
#include "harness/cell.h"
#include "harness/child.h"
#include "harness/verify/proof.h"
#include "harness/weight_copies.h"
#include "harness/weight_reader.h"
#include "model/bitlinear.h"

namespace tritbench {

// A cell with everything that its timed loop touches; the weight copies, which cells of one layout
// share, and the activations, which all cells of a block share, belong to others and must outlive
// it.
class CellBench {
  public:
    CellBench(ThreadPool& pool, const Cell& measured, size_t its_position, WeightCopies& copies,
              const RowProvider& rows, const TestActivations& x, uint64_t seed);
    CellBench(const CellBench&) = delete;
    CellBench& operator=(const CellBench&) = delete;

    // Proves the copy next in turn, the last one, and as many others as fit a short time; the
    // rest hold the same bytes, which WeightCopies::intact tells. `alive` is called in between.
    ProofResult prove(const std::function<void()>& alive) const;

    // Calibrates the calls of a repetition, and times the preparation of activations.
    void warm_up();

    // Nanoseconds of a product, over one repetition. Beside it a reading of the copies where there
    // is a reader. Nothing is allocated in the timed loop.
    double repeat();

    tb_work work() const;
    uint64_t footprint() const;
    WeightCopies& copies() const { return copies_; }

    const Cell& cell;
    const size_t position;
    int64_t calls = 1;
    int warmups = 0;
    double prepare_median_ns = 0;
    WeightReader* reader = nullptr;     // of a cold gemv
    std::vector<double> read_gb_per_s;  // one beside every repetition
    std::vector<double> samples;        // once the rounds are over: ns of a product
    Ending ending;
    ProofResult proved;
    bool dropped = false;

  private:
    void prepare();
    static int64_t repeat_product(void* context, int64_t calls);
    static int64_t repeat_prepare(void* context, int64_t calls);

    ThreadPool& pool_;
    WeightCopies& copies_;
    const TestActivations& x_;
    CellProof proof_;
    PreparedBatch prepared_;
    mutable ProductScratch scratch_;
    AlignedBuffer y_;
};

}  // namespace tritbench
