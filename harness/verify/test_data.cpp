// Seeded activations and canonical rows.
#include <algorithm>
#include <cmath>

#include "harness/verify/proof.h"
#include "harness/verify/random_data.h"
#include "kernels/reference/oracle.h"

namespace tritbench {

TestActivations quantised(std::vector<float> x, int64_t m, int64_t k) {
    TestActivations a{m, k, std::move(x), {}, {}};
    a.q.resize(a.x.size());
    a.q_scale.resize(static_cast<size_t>(m));
    for (int64_t i = 0; i < m; ++i) {
        reference::quantise_row(a.x.data() + i * k, k, a.q.data() + i * k,
                                &a.q_scale[static_cast<size_t>(i)]);
    }
    return a;
}

TestActivations random_activations(int64_t m, int64_t k, uint64_t seed, double zeros) {
    RandomStream random(seed);
    std::vector<float> x(static_cast<size_t>(m * k));
    for (float& value : x) {
        value = random.uniform() + random.uniform();
        if (random.below(256) == 0) value *= 8;
    }
    if (zeros > 0) {
        RandomStream chance(mix64(seed));
        const auto share = static_cast<int64_t>(std::llround(zeros * (1 << 24)));
        for (float& value : x) {
            if (chance.below(1 << 24) < share) value = 0;
        }
    }
    return quantised(std::move(x), m, k);
}

RowProvider random_ternary_rows(tb_shape shape, uint64_t seed, double zeros) {
    const auto zero_bytes = static_cast<int>(std::lround(std::clamp(zeros, 0.0, 1.0) * 256));
    const int positive = zero_bytes + (256 - zero_bytes) / 2;
    const float scale = 0.0371F + static_cast<float>(mix64(seed) % 1000) * 1e-5F;
    return [=](int64_t begin, int64_t end, int8_t* trits, float* values, float* scales) {
        if (scales != nullptr) *scales = scale;
        int8_t table[256];
        for (int i = 0; i < 256; ++i) {
            table[i] = static_cast<int8_t>(i < zero_bytes ? 0 : i < positive ? 1 : -1);
        }
        for (int64_t n = begin; n < end; ++n) {
            RandomStream random(seed ^ mix64(static_cast<uint64_t>(n)));
            for (int64_t k = 0; k < shape.k; k += 8) {
                const uint64_t bits = random.next();
                const int64_t at = (n - begin) * shape.k + k;
                for (int64_t i = 0; i < std::min<int64_t>(8, shape.k - k); ++i) {
                    const int8_t trit = table[bits >> (8 * i) & 0xff];
                    if (trits != nullptr) trits[at + i] = trit;
                    if (values != nullptr) values[at + i] = static_cast<float>(trit) * scale;
                }
            }
        }
    };
}

}  // namespace tritbench
