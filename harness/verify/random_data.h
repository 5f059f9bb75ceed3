// Seeded random numbers that are the same on every machine.
#pragma once

#include <cstdint>

#include "model/random.h"

namespace tritbench {

class RandomStream {
  public:
    explicit RandomStream(uint64_t seed) : state_(mix64(seed)) {}
    uint64_t next() { return mix64(state_++); }
    // [0, bound)
    int64_t below(int64_t bound) {
        return static_cast<int64_t>(next() % static_cast<uint64_t>(bound));
    }
    // [-1, 1), 24 bits
    float uniform() {
        return static_cast<float>(static_cast<int64_t>(next() >> 40) - (int64_t{1} << 23)) /
               static_cast<float>(int64_t{1} << 23);
    }

  private:
    uint64_t state_;
};

}  // namespace tritbench
