// The ternary weights of a matrix, whatever type it is stored as: trits, and a scale for the tensor
// or one for each row.
#pragma once

#include <cstdint>
#include <vector>

#include "model/tensor_types.h"

namespace tritbench {

class TernaryMatrix {
  public:
    enum class Read {
        Values,  // the whole matrix once, in parallel
        Codes,   // of a ternary format with one scale: that no code is bad, without decoding them,
                 // so that zeros are not counted; of others as Values
        Scales   // of a ternary format with one scale, that scale only: rows are checked when read
    };
    // Throws Error, naming file and tensor, unless every value that is read is ternary: no code
    // that no packer writes, scales positive and finite. Floats and quantised floats must be -s, 0
    // or +s with one s for the tensor; b1.58 master weights are not, and the message says to
    // convert them. A row of zeros may have the scale 0.
    TernaryMatrix(ThreadPool& pool, StoredMatrix stored, Read read = Read::Values);

    const StoredMatrix& stored() const { return stored_; }
    tb_shape shape() const { return stored_.shape(); }
    bool one_scale() const { return row_scales_.empty(); }
    float scale() const { return scale_; }     // if one_scale()
    uint64_t zeros() const { return zeros_; }  // after Read::Values

    // Whether the stored codes are the trits: not so where a row of scale 0 has other codes than
    // those of 0, whose sums would be other ones. After Read::Values and Read::Codes.
    bool codes_are_trits() const { return codes_are_trits_; }

    // Canonical rows for pack_weights with `kernel` (bitlinear.h); valid as long as this matrix.
    // Throws Error if the rows have scales of their own and the kernel's layout holds one scale.
    RowProvider rows_for(const tb_kernel& kernel) const;

  private:
    class Reader;
    void read_trits(int64_t begin, int64_t end, int8_t* trits) const;

    StoredMatrix stored_;
    float scale_ = 0.0F;
    std::vector<float> row_scales_;  // empty when all rows have the same
    uint64_t zeros_ = 0;
    bool codes_are_trits_ = true;
};

}  // namespace tritbench
