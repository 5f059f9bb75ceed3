// Observers of a Session beside the timeline: what does not belong to the layers, and what of the
// weights a kernel did not read.
#pragma once

#include <cstdint>

#include "model/transformer.h"

namespace tritbench {

// Time of the embedding and the LM head, which a model has once however many layers it has.
class OutsideLayers {
  public:
    using Clock = int64_t (*)();  // nanoseconds

    explicit OutsideLayers(Clock clock) : clock_(clock) {}

    // For Session::observe; valid as long as this object.
    Observer observer();
    // Nanoseconds since the last take().
    double total() const { return static_cast<double>(total_); }
    double take();

  private:
    Clock clock_;
    int64_t begin_ = 0, total_ = 0;
};

// Of kernels that skip zeros: the weights of the columns that no token of a batch needs.
class SkippedWeights {
  public:
    Observer observer();
    // Bytes since this object was made; estimated as the share of the columns.
    double bytes() const { return bytes_; }

  private:
    void input(const tb_kernel& kernel, const PackedWeights& weights, const PreparedBatch& x);

    double bytes_ = 0;
};

}  // namespace tritbench
