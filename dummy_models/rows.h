// The matrices of a dummy model row by row, which every format of them is packed from.
#pragma once

#include "dummy_models/generator.h"
#include "model/bitlinear.h"

namespace tritbench {

// Canonical rows: trits and the scale of a Ternary tensor, values of an Embedding. Not for norms.
RowProvider dummy_rows(const DummyOptions& options, const DummyTensor& tensor);

}  // namespace tritbench
