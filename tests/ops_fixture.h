// What the tests of the operations share: random rows, and every table that runs here.
#pragma once

#include <gtest/gtest.h>

#include <cstring>
#include <random>
#include <vector>

#include "kernels/api/cpu.h"
#include "kernels/api/ops.h"

namespace tritbench {

using Floats = std::vector<float>;

inline Floats random_floats(size_t count, uint32_t seed, float size = 1.0F) {
    std::mt19937 random(seed);
    std::normal_distribution<float> normal(0.0F, size);
    Floats out(count);
    for (float& v : out) v = normal(random);
    return out;
}

inline std::vector<const tb_ops*> tables_here() {
    std::vector<const tb_ops*> out;
    for (const tb_ops* ops : all_ops()) {
        if ((ops->features & ~allowed_features()) == 0) out.push_back(ops);
    }
    return out;
}

// Runs `compute` with every table; all must give the bits of the first, which is returned.
template <class Compute>
Floats same_from_every_table(const char* what, Compute compute) {
    Floats first;
    for (const tb_ops* ops : tables_here()) {
        const Floats found = compute(*ops);
        if (first.empty()) first = found;
        EXPECT_EQ(std::memcmp(found.data(), first.data(), found.size() * sizeof(float)), 0)
            << what << " differs on " << ops->isa;
    }
    return first;
}

// Room that begins on 64 bytes, as scratch of the operations must.
inline float* aligned64(Floats& room) {
    return reinterpret_cast<float*>((reinterpret_cast<uintptr_t>(room.data()) + 63) / 64 * 64);
}

}  // namespace tritbench
