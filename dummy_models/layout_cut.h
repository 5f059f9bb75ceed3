// How the packed bytes of a tensor can be made in pieces, without the whole in memory.
//
// A piece is packed as a tensor of its own, of some rows (or, of a layout that stores column after
// column, some columns). What its planes hold goes to the same planes of the whole, behind the
// pieces before it; what is not in a plane (padding, and last the scale of the tensor) is written
// once.
#pragma once

#include <cstdint>
#include <vector>

#include "model/tensor_types.h"

namespace tritbench {

// Consecutive bytes of a packed tensor to which every row (or column) adds the same.
struct PackedPlane {
    uint64_t begin, bytes;
};

struct LayoutCut {
    enum class Along { Rows, Columns, Nothing };  // Nothing: a layout not known here stays whole
    Along along = Along::Nothing;
    int64_t step = 1;      // pieces begin on multiples of it
    uint64_t trailer = 0;  // bytes at the end that are not padding
};

LayoutCut layout_cut(const MatrixFormat& format, tb_shape shape);

// In ascending order. Of no rows or columns too, where all are empty.
std::vector<PackedPlane> packed_planes(const MatrixFormat& format, tb_shape shape);

}  // namespace tritbench
