// Checks of the values in a GGUF tensor: what a reader of the header alone cannot see.
#pragma once

#include <cstdint>
#include <string>

#include "model/gguf.h"
#include "model/thread_pool.h"

namespace tritbench {

struct TensorCheck {
    std::string problem;   // empty: nothing is wrong
    bool ternary = false;  // zeros and scale are filled in
    uint64_t zeros = 0;    // weights that are 0
    float scale = 0;
};

// I2_S: no code 3, scale finite and above 0. Floating-point types and the scales of block types:
// finite. A tensor of unknown type or size cannot be checked, which is a problem too.
// Reads the whole tensor, split over the pool.
TensorCheck check_tensor(const GgufTensor& tensor, ThreadPool& pool);

}  // namespace tritbench
