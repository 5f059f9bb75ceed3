#include "kernels/reference/oracle.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>

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

float nearest_half(float x) {
    // x = fraction * 2^exponent with fraction in [0.5, 1): 11 bits of it, fewer below 2^-14.
    int exponent = 0;
    (void)std::frexp(x, &exponent);
    const int last_bit = std::max(exponent - 11, -24);
    return std::ldexp(std::nearbyint(std::ldexp(x, -last_bit)), last_bit);
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

namespace {

// Sign, exponent and fraction of an IEEE half, little endian.
float read_half(const uint8_t* bytes) {
    const int bits = bytes[0] + 256 * bytes[1];
    const int exponent = bits / 1024 % 32, fraction = bits % 1024;
    float value = exponent == 0 ? std::ldexp(static_cast<float>(fraction), -24)
                                : std::ldexp(static_cast<float>(1024 + fraction), exponent - 25);
    if (exponent == 31) value = fraction == 0 ? INFINITY : NAN;
    return bits >= 32768 ? -value : value;
}

// How far a scale may be from what was rounded to it, and a little.
float half_step(float d) {
    return std::fabs(d) * 0x1.01p-11F + 0x1.01p-25F;
}

void read_q8_0(const uint8_t* row, int64_t k, BlockRow& out) {
    for (int64_t b = 0; b < k / 32; ++b) {
        const uint8_t* block = row + 34 * b;
        const float d = read_half(block);
        for (int i = 0; i < 32; ++i) {
            const int byte = block[2 + i];
            out.v.push_back(byte < 128 ? byte : byte - 256);
        }
        out.d.push_back(d);
        out.step.push_back(std::fabs(d) / 2 + 128 * half_step(d));
    }
}

void read_q4_0(const uint8_t* row, int64_t k, BlockRow& out) {
    for (int64_t b = 0; b < k / 32; ++b) {
        const uint8_t* block = row + 18 * b;
        const float d = read_half(block);
        for (int i = 0; i < 16; ++i) out.v.push_back(block[2 + i] % 16 - 8);
        for (int i = 0; i < 16; ++i) out.v.push_back(block[2 + i] / 16 - 8);
        out.d.push_back(d);
        out.step.push_back(std::fabs(d) + 9 * half_step(d));  // a whole step at the clipped end
    }
}

// Column k of a block of 256: byte and shift of its 4 low bits in 128 bytes, of its 2 high bits in
// 64, and its scale among 16.
void read_q6_k(const uint8_t* row, int64_t k, BlockRow& out) {
    for (int64_t column = 0; column < k; ++column) {
        const uint8_t* block = row + 210 * (column / 256);
        const int64_t half = column % 256 / 128, quarter = column % 128 / 32, l = column % 32;
        const int low = block[64 * half + 32 * (quarter % 2) + l] >> (quarter < 2 ? 0 : 4) & 15;
        const int high = block[128 + 32 * half + l] >> (2 * quarter) & 3;
        const int byte = block[192 + column % 256 / 16];
        const int scale = byte < 128 ? byte : byte - 256;
        out.v.push_back((low + 16 * high - 32) * scale);
        if (column % 32 != 0) continue;
        // The scale of 16 columns is itself rounded, by up to d: 32 codes of it, and a code more
        // or less where the best grid clips the largest weight.
        const float d = read_half(block + 208);
        const int next_byte = block[192 + column % 256 / 16 + 1];
        const int next = next_byte < 128 ? next_byte : next_byte - 256;
        const auto larger = static_cast<float>(std::max(std::abs(scale), std::abs(next)));
        out.d.push_back(d);
        out.step.push_back(std::fabs(d) * (2 * larger + 34) + 4096 * half_step(d));
    }
}

}  // namespace

float BlockRow::weight(int64_t k) const {
    const auto i = static_cast<size_t>(k);
    return static_cast<float>(static_cast<double>(v[i]) * static_cast<double>(d[i / 32]));
}

std::optional<BlockRow> read_blocks(std::string_view layout, const uint8_t* row, int64_t k) {
    BlockRow out;
    if (layout == "q8_0") {
        read_q8_0(row, k, out);
    } else if (layout == "q4_0") {
        read_q4_0(row, k, out);
    } else if (layout == "q6_k") {
        read_q6_k(row, k, out);
    } else {
        return std::nullopt;
    }
    return out;
}

void quantise_blocks(const float* x, int64_t k, int8_t* q, float* dx) {
    for (int64_t begin = 0; begin < k; begin += 32) {
        const int64_t end = std::min(begin + 32, k);
        float a = 0;
        for (int64_t i = begin; i < end; ++i) a = std::max(a, std::fabs(x[i]));
        const bool zero = a < 1e-30F;
        for (int64_t i = begin; i < end; ++i) {
            q[i] = zero ? int8_t{0} : static_cast<int8_t>(std::nearbyint(x[i] * (127.0F / a)));
        }
        dx[begin / 32] = zero ? 0.0F : a / 127.0F;
    }
}

float dot_blocks(const BlockRow& w, const int8_t* q, const float* dx, int64_t k) {
    float lanes[8] = {};
    for (int64_t begin = 0; begin < k; begin += 32) {
        int64_t sum = 0;
        for (int64_t i = begin; i < begin + 32; ++i) {
            sum += int64_t{w.v[static_cast<size_t>(i)]} * int64_t{q[i]};
        }
        const int64_t b = begin / 32;
        const float scale = w.d[static_cast<size_t>(b)] * dx[b];
        lanes[b % 8] = std::fma(scale, static_cast<float>(sum), lanes[b % 8]);
    }
    for (int width = 4; width >= 1; width /= 2) {
        for (int i = 0; i < width; ++i) lanes[i] += lanes[i + width];
    }
    return lanes[0];
}

std::optional<CodeRow> read_code_row(std::string_view layout, const uint8_t* packed, int64_t rows,
                                     int64_t k, int64_t n) {
    if (layout != "q8_row") return std::nullopt;
    CodeRow row{std::vector<int8_t>(static_cast<size_t>(k)), 0};
    for (int64_t i = 0; i < k; ++i) {
        const int byte = packed[n * k + i];
        row.q[static_cast<size_t>(i)] = static_cast<int8_t>(byte < 128 ? byte : byte - 256);
    }
    std::memcpy(&row.scale, packed + (rows * k + 3) / 4 * 4 + 4 * n, sizeof row.scale);
    return row;
}

CodeRow quantise_weights(const float* w, int64_t k) {
    CodeRow row{std::vector<int8_t>(static_cast<size_t>(k), 0), 0};
    float a = 0;
    for (int64_t i = 0; i < k; ++i) a = std::max(a, std::fabs(w[i]));
    if (a < 1e-30F) return row;
    for (int64_t i = 0; i < k; ++i) {
        row.q[static_cast<size_t>(i)] = static_cast<int8_t>(std::nearbyint(w[i] * (127.0F / a)));
    }
    int exponent = 0;
    const float fraction = std::frexp(a / 127.0F, &exponent);
    row.scale = std::ldexp(std::nearbyint(std::ldexp(fraction, 17)), exponent - 17);
    return row;
}

void quantise_q8k(const float* x, int64_t k, int8_t* q, float* dx) {
    for (int64_t begin = 0; begin < k; begin += 256) {
        const int64_t end = std::min(begin + 256, k);
        float extreme = 0;
        for (int64_t i = begin; i < end; ++i) {
            if (std::fabs(x[i]) > std::fabs(extreme)) extreme = x[i];
        }
        const bool zero = std::fabs(extreme) < 1e-30F;
        const float inverse = zero ? 0.0F : -127.0F / extreme;
        for (int64_t i = begin; i < end; ++i) {
            q[i] = static_cast<int8_t>(std::min(127.0F, std::nearbyint(x[i] * inverse)));
        }
        dx[begin / 256] = zero ? 0.0F : 1.0F / inverse;
    }
}

void quantise_phases(const float* x, int64_t k, int64_t width, int8_t* q, float* dx) {
    for (int64_t phase = 0; phase < 4; ++phase) {
        float a = 0;
        for (int64_t i = 0; i < k; ++i) {
            if (i / width % 4 == phase) a = std::max(a, std::fabs(x[i]));
        }
        dx[phase] = a < 1e-30F ? 0.0F : a / 127.0F;
        const float inverse = a < 1e-30F ? 0.0F : 1.0F / dx[phase];
        for (int64_t i = 0; i < k; ++i) {
            if (i / width % 4 == phase) q[i] = static_cast<int8_t>(std::nearbyint(x[i] * inverse));
        }
    }
}

float dot_q8k(const int8_t* trits, const float* d, const int8_t* q, const float* dx, int64_t k) {
    float y = 0;
    for (int64_t begin = 0; begin < k; begin += 256) {
        const int32_t sum = dot(trits + begin, q + begin, std::min<int64_t>(256, k - begin));
        const float scale = d[begin / 256] * dx[begin / 256];
        y = std::fma(scale, static_cast<float>(sum), y);
    }
    return y;
}

float dot_phases(const int8_t* trits, float sw, const int8_t* q, const float* dx, int64_t width,
                 int64_t k) {
    int32_t sums[4] = {};
    for (int64_t i = 0; i < k; ++i) sums[i / width % 4] += int32_t{trits[i]} * int32_t{q[i]};
    float t = dx[0] * static_cast<float>(sums[0]);
    for (int i = 1; i < 4; ++i) t = std::fma(dx[i], static_cast<float>(sums[i]), t);
    return sw * t;
}

}  // namespace tritbench::reference
