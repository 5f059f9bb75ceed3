#include "kernels/reference/oracle.h"

#include <algorithm>
#include <cmath>

namespace tritbench::reference {

int32_t dot(const int8_t* trits, const int8_t* q, int64_t k) {
    int32_t sum = 0;
    for (int64_t i = 0; i < k; ++i) sum += int32_t{trits[i]} * int32_t{q[i]};
    return sum;
}

float exact_output(int32_t acc, float dx, float sw) {
    const float scale = dx * sw;
    return static_cast<float>(acc) * scale;
}

void quantise_row(const float* x, int64_t k, int8_t* q, float* dx) {
    float a = 1e-5F;
    for (int64_t i = 0; i < k; ++i) a = std::max(a, std::fabs(x[i]));
    const float s = 127.0F / a;
    for (int64_t i = 0; i < k; ++i) {
        const float rounded = std::nearbyint(x[i] * s);
        q[i] = static_cast<int8_t>(std::clamp(rounded, -128.0F, 127.0F));
    }
    *dx = a / 127.0F;
}

float dot_16_lanes(const float* w, const float* x, int64_t k) {
    float lanes[16] = {};
    for (int64_t i = 0; i < k; ++i) lanes[i % 16] = std::fma(w[i], x[i], lanes[i % 16]);
    for (int width = 8; width >= 1; width /= 2) {
        for (int i = 0; i < width; ++i) lanes[i] += lanes[i + width];
    }
    return lanes[0];
}

DoubleDot dot_double(const float* w, const float* x, int64_t k) {
    DoubleDot sum{0, 0};
    for (int64_t i = 0; i < k; ++i) {
        const double product = static_cast<double>(w[i]) * static_cast<double>(x[i]);
        sum.value += product;
        sum.magnitude += std::fabs(product);
    }
    return sum;
}

}  // namespace tritbench::reference
