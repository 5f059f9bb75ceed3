// Exact kernels of quantised weights: their rows are int8 with one scale each, so that what is
// proved of trits is proved of these integers. Read by the oracle, never by a kernel.
#pragma once

#include <cstdint>
#include <string>

#include "kernels/api/kernel.h"

namespace tritbench {

inline bool has_code_rows(const tb_kernel& kernel) {
    return kernel.weight_kind == TB_WEIGHT_QUANTISED && kernel.exactness == TB_EXACT;
}

// The integers [n][k] and scales [n] of a packed tensor. Says if the oracle cannot read the layout,
// else empty.
std::string read_code_rows(const tb_kernel& kernel, tb_shape shape, const void* packed,
                           int8_t* codes, float* scales);

// What is wrong with them for the weights [n][k] that they were packed from: they must be the
// oracle's own, and what `unpack` says must be their product with the scale. Empty if nothing.
std::string check_code_rows(const tb_kernel& kernel, const tb_tile& tile, tb_shape shape,
                            const void* packed, const float* weights, const int8_t* codes,
                            const float* scales);

}  // namespace tritbench
