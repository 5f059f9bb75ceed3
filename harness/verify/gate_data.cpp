#include "harness/verify/gate_data.h"

#include "harness/verify/random_data.h"

namespace tritbench {

namespace {

int8_t patterned_trit(WeightPattern pattern, int64_t n, int64_t k, RandomStream& random) {
    switch (pattern) {
        case WeightPattern::AllPlus:
            return 1;
        case WeightPattern::AllMinus:
            return -1;
        case WeightPattern::AllZero:
            return 0;
        case WeightPattern::Mixed:
            break;
    }
    // Rows 3, 4 and 5 of every eight are of one sign or zero, row 6 has blocks of zeros; the others
    // are random.
    switch (n % 8) {
        case 3:
            return 1;
        case 4:
            return -1;
        case 5:
            return 0;
        case 6:
            return static_cast<int8_t>(k / 256 % 2 == 1 ? 0 : random.below(3) - 1);
        default:
            return static_cast<int8_t>(random.below(3) - 1);
    }
}

// Tokens cycle through random, all +127, all -127, all -128, zero, non-negative (after ReLU^2);
// if `sparse`, seven of eight activations are zero, for kernels that choose their way by that.
int8_t patterned_activation(int64_t token, bool sparse, RandomStream& random) {
    if (sparse && random.below(8) != 0) return 0;
    const auto any = static_cast<int8_t>(random.below(256) - 128);
    switch (token % 6) {
        case 1:
            return 127;
        case 2:
            return -127;
        case 3:
            return -128;
        case 4:
            return 0;
        case 5:
            return static_cast<int8_t>(any < 0 ? 0 : any);
        default:
            return any;
    }
}

}  // namespace

bool has_own_scales(const tb_kernel& kernel) {
    return kernel.scale_granularity == TB_SCALE_ROW || kernel.scale_granularity == TB_SCALE_BLOCK;
}

// Canonical scales of a row: one, or one per block of columns.
int64_t scales_per_row(const tb_kernel& kernel, int64_t k) {
    if (kernel.scale_granularity != TB_SCALE_BLOCK) return 1;
    return (k + kernel.scale_block - 1) / kernel.scale_block;
}

GateData make_gate_data(const tb_kernel& kernel, const GateCase& c) {
    GateData data;
    RandomStream random(c.seed);
    const auto weights = static_cast<size_t>(c.shape.n * c.shape.k);
    const float base = 0.001F + static_cast<float>(random.below(1000)) * 1e-4F;
    data.scales.assign(static_cast<size_t>(c.shape.n), base);
    if (has_own_scales(kernel)) {
        // No two rows near each other alike: 37 factors, 1/16 apart at least.
        for (size_t n = 0; n < data.scales.size(); ++n) {
            data.scales[n] = base * (1 + static_cast<float>(n * 7 % 37) / 16);
        }
    }
    data.trits.resize(weights);
    for (size_t i = 0; i < weights; ++i) {
        const auto at = static_cast<int64_t>(i);
        data.trits[i] = patterned_trit(c.weights, at / c.shape.k, at % c.shape.k, random);
    }
    if (kernel.weight_kind != TB_WEIGHT_TERNARY) {
        data.values.resize(weights);
        for (size_t i = 0; i < weights; ++i) {
            // Ternary weights as a float baseline holds them, or any value.
            const bool ternary = c.weights != WeightPattern::Mixed || c.seed % 2 == 0;
            data.values[i] =
                ternary ? static_cast<float>(data.trits[i]) * base : random.uniform() * 2;
        }
    }
    // Batches of one cycle through the patterns with the seed.
    const int64_t first = c.m == 1 ? static_cast<int64_t>(c.seed % 6) : 0;
    const bool sparse = c.weights == WeightPattern::Mixed && c.seed % 5 == 4;
    const auto count = static_cast<size_t>(c.m * c.shape.k);
    if (c.float_input) {
        std::vector<float> x(count);
        for (int64_t m = 0; m < c.m; ++m) {
            for (int64_t k = 0; k < c.shape.k; ++k) {
                const float pattern = patterned_activation(first + m, sparse, random);
                x[static_cast<size_t>(m * c.shape.k + k)] =
                    (first + m) % 6 == 0 ? random.uniform() * 3 : pattern / 64;
            }
        }
        data.x = quantised(std::move(x), c.m, c.shape.k);
        return data;
    }
    data.x = {c.m, c.shape.k, std::vector<float>(count), std::vector<int8_t>(count),
              std::vector<float>(static_cast<size_t>(c.m))};
    for (int64_t m = 0; m < c.m; ++m) {
        const float scale = 0.01F + static_cast<float>(random.below(100)) * 1e-3F;
        data.x.q_scale[static_cast<size_t>(m)] = scale;
        for (int64_t k = 0; k < c.shape.k; ++k) {
            const auto at = static_cast<size_t>(m * c.shape.k + k);
            data.x.q[at] = patterned_activation(first + m, sparse, random);
            data.x.x[at] = static_cast<float>(data.x.q[at]) * scale;
        }
    }
    return data;
}

}  // namespace tritbench
