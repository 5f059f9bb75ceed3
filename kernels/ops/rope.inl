// Rotary embeddings, for kernels/ops/ops.inl: the vectors of cosines and sines are loaded once and
// turn the same features of every head.
namespace {

constexpr int64_t kNative = TB_OPS_LANES;

void rope(float* x, int64_t heads, int64_t head_dim, const float* cos, const float* sin) {
    const int64_t half = head_dim / 2;
    const int64_t whole = half / kNative * kNative;
    for (int64_t i = 0; i < whole; i += kNative) {
        const Native c = native(cos + i);
        const Native s = native(sin + i);
        for (int64_t h = 0; h < heads; ++h) {
            float* low = x + h * head_dim + i;
            const Native a = native(low);
            const Native b = native(low + half);
            Access<Native>::store(low, a * c - b * s);
            Access<Native>::store(low + half, a * s + b * c);
        }
    }
    for (int64_t h = 0; h < heads; ++h) {
        float* low = x + h * head_dim;
        for (int64_t i = whole; i < half; ++i) {
            const float a = low[i];
            const float b = low[i + half];
            low[i] = a * cos[i] - b * sin[i];
            low[i + half] = a * sin[i] + b * cos[i];
        }
    }
}

// The other one of each pair (2i, 2i + 1).
inline F4 swap_pairs(F4 v) {
    return __builtin_shufflevector(v, v, 1, 0, 3, 2);
}
#if TB_OPS_LANES == 8
inline F8 swap_pairs(F8 v) {
    return __builtin_shufflevector(v, v, 1, 0, 3, 2, 5, 4, 7, 6);
}
#elif TB_OPS_LANES == 16
inline F16 swap_pairs(F16 v) {
    return __builtin_shufflevector(v, v, 1, 0, 3, 2, 5, 4, 7, 6, 9, 8, 11, 10, 13, 12, 15, 14);
}
#endif

// (a, b) becomes (a, b) * (c, c) + (b, a) * (-s, s): a c + b (-s) and b c + a s are a c - b s and
// a s + b c to the bit.
void rope_pairs(float* x, int64_t heads, int64_t head_dim, const float* cos, const float* sin) {
    const int64_t whole = head_dim / kNative * kNative;
    for (int64_t i = 0; i < whole; i += kNative) {
        float cosines[kNative];
        float sines[kNative];
        for (int64_t j = 0; j < kNative; ++j) {
            cosines[j] = cos[(i + j) / 2];
            sines[j] = j % 2 == 0 ? -sin[(i + j) / 2] : sin[(i + j) / 2];
        }
        const Native c = native(cosines);
        const Native s = native(sines);
        for (int64_t h = 0; h < heads; ++h) {
            float* at = x + h * head_dim + i;
            const Native v = native(at);
            Access<Native>::store(at, v * c + swap_pairs(v) * s);
        }
    }
    for (int64_t h = 0; h < heads; ++h) {
        float* row = x + h * head_dim;
        for (int64_t i = whole; i < head_dim; i += 2) {
            const float a = row[i];
            const float b = row[i + 1];
            row[i] = a * cos[i / 2] - b * sin[i / 2];
            row[i + 1] = a * sin[i / 2] + b * cos[i / 2];
        }
    }
}

}  // namespace
