// Copies of packed weights to rotate over, so that every product finds its weights cold.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "model/bitlinear.h"

namespace tritbench {

// The weights of one layout: packed once, then copied. All cells of the layout take turns on one
// rotation (`next`), so that a copy was always used longer ago than all others together.
class WeightCopies {
  public:
    // count 1: only the packed original. `overread` bytes follow each copy.
    WeightCopies(ThreadPool& pool, const tb_kernel& kernel, const tb_tile& tile, tb_shape shape,
                 const RowProvider& rows, size_t count, size_t overread);

    // From one to `count` copies; views() are others then.
    void copy(ThreadPool& pool, size_t count, size_t overread);

    size_t count() const { return views_.size(); }
    const PackedWeights* views() const { return views_.data(); }
    uint64_t total_bytes() const { return views_.size() * original_.bytes.size(); }

    // Takes the next copies in turn, as many as hold `bytes` and at most all of them: one piece of
    // memory, 64-byte aligned, that ends with a copy. Of a single copy, at most `bytes` from its
    // beginning, which a product reads first and so has left longest ago.
    std::span<const std::byte> take(uint64_t bytes);

    // True while every copy holds the bytes of the original.
    bool intact(ThreadPool& pool) const;

    size_t next = 0;  // the copy whose turn it is

  private:
    PackedWeights original_;
    AlignedBuffer arena_;
    size_t stride_ = 0;  // between copies
    std::vector<PackedWeights> views_;
};

}  // namespace tritbench
