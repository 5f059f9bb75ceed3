// One case of the gate: a shape, a batch and a mixture of adversarial data, run through every
// operation of a kernel in guarded and poisoned memory.
#pragma once

#include <cstdint>
#include <string>

#include "harness/verify/guarded_buffer.h"
#include "kernels/api/kernel.h"

namespace tritbench {

// What all rows of W are made of in a case.
enum class WeightPattern { Mixed, AllPlus, AllMinus, AllZero };

struct GateCase {
    tb_shape shape;
    int64_t m;
    WeightPattern weights;
    uint64_t seed;
    GuardedBuffer::Place place;  // which side of every buffer touches its guard page
    bool float_input;            // prepare from float rows rather than given int8 rows
};

// Empty if the kernel is right, else what went wrong, with shape, batch, pattern, row and token.
std::string run_gate_case(const tb_kernel& kernel, const tb_tile& tile, const GateCase& c);

std::string describe(const GateCase& c);

}  // namespace tritbench
