// The packed weights that a layer's candidates race on, within a limit of memory.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "harness/tune/candidates.h"
#include "harness/weight_copies.h"
#include "model/thread_pool.h"

namespace tritbench {

class PackedField {
  public:
    // bytes_between: how much memory a program reads between two uses of a weight, if the weights
    // are in the layout of a kernel; copies of a variant are as many as have so many bytes.
    // `memory`: most bytes of all copies.
    PackedField(tb_shape shape, std::vector<PackedVariant> variants, RowProvider rows,
                std::function<uint64_t(const tb_kernel&)> bytes_between, uint64_t memory);

    const std::vector<PackedVariant>& variants() const { return variants_; }
    const RowProvider& rows() const { return rows_; }
    // The place of the variant that a candidate is of, which is added, without candidates, unless
    // it is there. Before anything is packed.
    size_t include(const Candidate& candidate);

    // One packed tensor, or the copies if they have been made.
    WeightCopies& packed(size_t variant, ThreadPool& pool);
    // Makes the copies. False, changing nothing, if there is no memory for them.
    bool make_copies(size_t variant, ThreadPool& pool);
    // Frees the tensor unless it has been copied.
    void drop(size_t variant);

    // Copies that a variant needs, and their bytes.
    uint64_t copies_wanted(size_t variant) const;
    uint64_t bytes_wanted(size_t variant) const;

  private:
    tb_shape shape_;
    std::vector<PackedVariant> variants_;
    // Of each variant the kernel that reads furthest past its bytes: what it packs, all can read.
    std::vector<Candidate> packers_;
    RowProvider rows_;
    std::function<uint64_t(const tb_kernel&)> bytes_between_;
    uint64_t memory_, used_ = 0;
    std::vector<std::unique_ptr<WeightCopies>> packed_;
    std::vector<bool> copied_;
};

}  // namespace tritbench
