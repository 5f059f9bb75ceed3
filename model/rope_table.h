// Cosines and sines of the rotary embedding, for every position of a context.
#pragma once

#include <cmath>
#include <cstdint>
#include <span>

#include "model/aligned_buffer.h"

namespace tritbench {

// Of position * base^(-2i / head_dim) / factor[i], in double, once. No factors: all 1 (those of
// Llama 3.1 and later are in the tensor rope_freqs.weight).
class RopeTable {
  public:
    RopeTable(int64_t context, int64_t head_dim, double base, std::span<const float> factors)
        : half_(head_dim / 2), cos_(bytes(context)), sin_(bytes(context)) {
        for (int64_t i = 0; i < half_; ++i) {
            const double factor = factors.empty() ? 1.0 : double{factors[static_cast<size_t>(i)]};
            const double exponent = -2.0 * static_cast<double>(i) / static_cast<double>(head_dim);
            const double turn = std::pow(base, exponent) / factor;
            for (int64_t p = 0; p < context; ++p) {
                const double angle = static_cast<double>(p) * turn;
                cos_.as<float>()[p * half_ + i] = static_cast<float>(std::cos(angle));
                sin_.as<float>()[p * half_ + i] = static_cast<float>(std::sin(angle));
            }
        }
    }
    const float* cos(int64_t position) const { return cos_.as<float>() + position * half_; }
    const float* sin(int64_t position) const { return sin_.as<float>() + position * half_; }

  private:
    size_t bytes(int64_t context) const {
        return static_cast<size_t>(context * half_) * sizeof(float);
    }

    int64_t half_;
    AlignedBuffer cos_, sin_;
};

}  // namespace tritbench
