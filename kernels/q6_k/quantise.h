/* How ggml chooses the scales of q6_k (quantize_row_q6_K_ref with make_qx_quants), to the bit.
 *
 * A group of 16 weights: with `largest` the weight of the largest magnitude, 19 grids are tried,
 * w = code / (-(32 + i/10) / largest) for i = -9..9. On each the codes are the nearest, and the
 * best scale for them is the one of least squares with weights w^2. The grid i = 0 holds until
 * another has a smaller error; the order is part of the result. The scales of the 16 groups are
 * then rounded to 8 bits so that the largest gets -128, and the codes are taken anew from what is
 * stored.
 *
 * All sums are float32 in the order of the columns, so that the grids go side by side through the
 * lanes of a vector, never the columns. Static: see dot/epilogue.h. */
#ifndef TRITBENCH_KERNELS_Q6_K_QUANTISE_H
#define TRITBENCH_KERNELS_Q6_K_QUANTISE_H

#include <stdint.h>
#include <string.h>

#include "kernels/api/half.h"

namespace {

constexpr int kGrids = 19;
constexpr int kGridLanes = 20;             // a multiple of 4
constexpr float kLeastMagnitude = 1e-15F;  // below it a group counts as zero
constexpr float kMostScale = 1e9F;         // 128 times a half is less

// The nearest integer, halves to even, for |x| < 2^22.
inline float nearest(float x) {
    const float shifted = x + 12582912.0F;
    return shifted - 12582912.0F;
}

inline float magnitude(float x) {
    return x < 0 ? -x : x;
}

inline float q6k_clamp(float code) {
    const float low = code < -32.0F ? -32.0F : code;
    return low > 31.0F ? 31.0F : low;
}

// A group of 16: its scale, and the inverse scale of the grid it was found on (0: all codes 0).
struct Q6KGroup {
    float scale, inverse;
};

inline Q6KGroup q6k_group(const float* x) {
    float most = 0, largest = 0;
    for (int i = 0; i < 16; ++i) {
        const float a = magnitude(x[i]);
        largest = a > most ? x[i] : largest;
        most = a > most ? a : most;
    }
    if (most < kLeastMagnitude) return {0, 0};
    float inverse[kGridLanes], sum_wx[kGridLanes] = {0}, sum_ww[kGridLanes] = {0};
    for (int g = 0; g < kGridLanes; ++g) {  // lane 0 is the grid i = 0, then -9 and upwards
        const int i = g == 0 ? 0 : g <= 9 ? g - 10 : g - 9;
        inverse[g] = i == 0 ? -32.0F / largest : -(32.0F + 0.1F * static_cast<float>(i)) / largest;
    }
    for (int i = 0; i < 16; ++i) {
        const float w = x[i] * x[i], wx = w * x[i];
        for (int g = 0; g < kGridLanes; ++g) {
            const float code = q6k_clamp(nearest(inverse[g] * x[i]));
            sum_wx[g] += wx * code;
            sum_ww[g] += w * code * code;
        }
    }
    Q6KGroup best = {sum_ww[0] != 0 ? sum_wx[0] / sum_ww[0] : 0.0F, inverse[0]};
    float quality = best.scale * sum_wx[0];
    for (int g = 1; g < kGrids; ++g) {
        if (sum_ww[g] > 0 && sum_wx[g] * sum_wx[g] > quality * sum_ww[g]) {
            best = {sum_wx[g] / sum_ww[g], inverse[g]};
            quality = best.scale * sum_wx[g];
        }
    }
    return best;
}

inline void q6k_codes_of_group(const float* x, Q6KGroup group, float stored, uint8_t* codes) {
    for (int i = 0; i < 16; ++i) {
        // A group whose stored scale is zero keeps the codes of its own grid; they count for
        // nothing, but are part of the bytes.
        const float code = stored != 0 ? nearest(x[i] / stored) : nearest(group.inverse * x[i]);
        codes[i] = group.inverse == 0 && stored == 0 ? uint8_t{0}
                                                     : static_cast<uint8_t>(q6k_clamp(code) + 32);
    }
}

// The codes 0..63 of 256 weights and the scales of their groups; returns d before it is rounded to
// half precision: infinity where weights are far too large for one.
inline float q6k_codes(const float* x, uint8_t* codes, int8_t* scales) {
    Q6KGroup groups[16];
    float most = 0, largest = 0;
    for (int g = 0; g < 16; ++g) {
        groups[g] = q6k_group(x + 16 * g);
        const float a = magnitude(groups[g].scale);
        if (!(a < kMostScale)) most = kMostScale;  // not a number where its sums overflowed
        largest = a > most ? groups[g].scale : largest;
        most = a > most ? a : most;
    }
    if (most < kLeastMagnitude || most >= kMostScale) {
        memset(codes, 0, 256);
        memset(scales, 0, 16);
        return most < kLeastMagnitude ? 0 : __builtin_inff();
    }
    const float inverse = -128.0F / largest;
    const float d = 1 / inverse;
    const float stored = tb_half_to_float(tb_float_to_half(d));
    for (int g = 0; g < 16; ++g) {
        const float s = nearest(inverse * groups[g].scale);
        scales[g] = static_cast<int8_t>(s < 127 ? s : 127.0F);
        q6k_codes_of_group(x + 16 * g, groups[g], stored * static_cast<float>(scales[g]),
                           codes + 16 * g);
    }
    return d;
}

}  // namespace

#endif
