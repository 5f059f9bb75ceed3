// I2_S tensors as bitnet.cpp stores them on x86 (and as all published files have them): four
// codes per byte in blocks of 128 of the flattened tensor, then one float32 scale.
//
// Element e of the row-major tensor, block b = e / 128, j = e % 128:
//   code = (bytes[32 b + j % 32] >> (6 - 2 (j / 32))) & 3      0 -> -1, 1 -> 0, 2 -> +1, 3 invalid
// Source: microsoft/BitNet, src/ggml-bitnet-mad.cpp, quantize_i2_s.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "model/gguf.h"
#include "model/thread_pool.h"

namespace tritbench {

// The scale behind the codes. Throws Error, naming the tensor, unless it is finite and positive.
float i2s_scale(const GgufFile& file, const GgufTensor& tensor);

// Decodes the elements [begin, end) of the flattened tensor. Throws Error, naming the tensor, on
// code 3.
void i2s_decode(const GgufFile& file, const GgufTensor& tensor, int64_t begin, int64_t end,
                int8_t* trits);

// Throws Error, naming the tensor, if any code is 3. Reads all codes once, in parallel.
void i2s_check(ThreadPool& pool, const GgufFile& file, const GgufTensor& tensor);

}  // namespace tritbench
