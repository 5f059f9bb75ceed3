// The two layouts of I2_S that have no kernel (load_options.h tells how one is chosen); the third,
// X86, is the layout `i2s` and drawn in kernels/i2s/layout.h.
//
// Arm: element e of the row-major tensor, block b = e / 64, j = e % 64:
//   code = (bytes[16 b + j % 16] >> (6 - 2 (j / 16))) & 3
// Row4: code of row r, column c = (bytes[r / 4 * K + c] >> (6 - 2 (r % 4))) & 3;  N % 4 == 0
//
// Codes 0 -> -1, 1 -> 0, 2 -> +1, 3 invalid; behind them, in all three, one float32 scale.
// Source: microsoft/BitNet, src/ggml-bitnet-mad.cpp, quantize_i2_s.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "kernels/api/kernel.h"
#include "model/load_options.h"

namespace tritbench {

// Decodes the rows [begin, end) of Arm or Row4 bytes to [rows][K]. False if a code is 3.
bool i2s_decode(I2sLayout layout, tb_shape shape, std::span<const std::byte> bytes, int64_t begin,
                int64_t end, int8_t* trits);

}  // namespace tritbench
