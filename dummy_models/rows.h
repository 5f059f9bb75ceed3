// The canonical weights of a tensor of a dummy model as rows, whatever format it is to be packed
// in.
#pragma once

#include <cstdint>

#include "dummy_models/generator.h"
#include "dummy_models/weights.h"
#include "model/bitlinear.h"

namespace tritbench {

// Canonical rows of a tensor of a dummy model, which every format of it is packed from: trits and
// the scale of a Ternary one, values of an Embedding ([rows][K], exactly representable in float16).
// Not for norms. Safe to call from several threads. `options` and `tensor` are copied.
RowProvider dummy_rows(const DummyOptions& options, const DummyTensor& tensor);

// The same for callers who want a part of the columns too. Not for norms.
class DummyMatrix {
  public:
    // Throws Error on shares and spreads that are out of range (weights.h).
    DummyMatrix(const DummyOptions& options, const DummyTensor& tensor);

    tb_shape shape() const { return shape_; }
    bool ternary() const { return ternary_; }
    float scale() const { return scale_; }  // of a Ternary one, else 1

    // Columns [column_begin, column_end) of rows [row_begin, row_end), without gaps. Trits are of
    // Ternary tensors only (else Error); values are trits times the scale, or the embedding.
    void trits(int64_t row_begin, int64_t row_end, int64_t column_begin, int64_t column_end,
               int8_t* to) const;
    void values(int64_t row_begin, int64_t row_end, float* to) const;

  private:
    uint64_t seed_, index_;
    tb_shape shape_;
    bool ternary_;
    float scale_ = 1.0F;
    TritShares shares_{};
    double silent_ = 0;  // share of rows that are zeros: ffn_gate with --ffn-zeros
};

}  // namespace tritbench
