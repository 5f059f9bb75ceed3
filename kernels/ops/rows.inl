// Passes over one row, for kernels/ops/ops.inl: norm, gates, residual, softmax. Each gives what the
// pass behind it needs of its result: a sum of squares in the fixed lanes, or a maximum.
namespace {

constexpr int64_t kLanes = 16;

// The last n % 16 elements, zero behind them.
inline V16 load_part(const float* p, int64_t count) {
    float lanes[kLanes] = {};
    for (int64_t i = 0; i < count; ++i) lanes[i] = p[i];
    return load(lanes);
}
inline void store_part(float* p, V16 v, int64_t count) {
    float lanes[kLanes];
    store(lanes, v);
    for (int64_t i = 0; i < count; ++i) p[i] = lanes[i];
}

// y[i] = of(a[i], b[i]), 16 at a time; returns the sum of squares of y. The last vector is padded
// with zeros of a and b, of which `of` must make zeros. y may be a or b.
template <class Of>
inline float map_squares(const float* a, const float* b, int64_t n, float* y, Of of) {
    const int64_t whole = n / kLanes * kLanes;
    V16 squares = splat(0.0F);
    for (int64_t i = 0; i < whole; i += kLanes) {
        const V16 v = of(load(a + i), load(b + i));
        store(y + i, v);
        squares = squares + v * v;
    }
    const int64_t rest = n - whole;
    const V16 v = of(load_part(a + whole, rest), load_part(b + whole, rest));
    store_part(y + whole, v, rest);
    return sum16(squares + v * v);
}

float sum_squares(const float* x, int64_t n) {
    const int64_t whole = n / kLanes * kLanes;
    V16 squares = splat(0.0F);
    for (int64_t i = 0; i < whole; i += kLanes) {
        const V16 v = load(x + i);
        squares = squares + v * v;
    }
    const V16 rest = load_part(x + whole, n - whole);
    return sum16(squares + rest * rest);
}

float norm_scale(const float* x, float squares, const float* w, float eps, int64_t n, float* y) {
    const float inverse = 1.0F / __builtin_sqrtf(squares / static_cast<float>(n) + eps);
    constexpr int64_t kStep = TB_OPS_LANES;
    const int64_t whole = n / kStep * kStep;
    NativeInts most{};
    for (int64_t i = 0; i < whole; i += kStep) {
        const Native v = native(x + i) * inverse * native(w + i);
        Access<Native>::store(y + i, v);
        const NativeInts size = reinterpret_cast<NativeInts>(v) & INT32_MAX;
        most = size > most ? size : most;
    }
    int32_t largest = 0;
    for (int i = 0; i < kStep; ++i) largest = most[i] > largest ? most[i] : largest;
    for (int64_t i = whole; i < n; ++i) {
        y[i] = x[i] * inverse * w[i];
        int32_t size;
        __builtin_memcpy(&size, y + i, sizeof size);
        size &= INT32_MAX;
        largest = size > largest ? size : largest;
    }
    float result;
    __builtin_memcpy(&result, &largest, sizeof result);
    return result;
}

void rms_norm(const float* x, const float* w, float eps, int64_t n, float* y) {
    norm_scale(x, sum_squares(x, n), w, eps, n, y);
}

inline Native positive_part(Native v) {
    return v < 0.0F ? Native{} : v;  // a NaN stays visible
}
template <class V>
inline Pair<V> positive_part(Pair<V> v) {
    return {positive_part(v.lo), positive_part(v.hi)};
}

float relu2_gate(const float* gate, const float* up, int64_t n, float* y) {
    return map_squares(
        gate, up, n, y, [](V16 g, V16 u) __attribute__((always_inline)) {
            const V16 p = positive_part(g);
            return p * p * u;
        });
}

float silu_gate(const float* gate, const float* up, int64_t n, float* y) {
    return map_squares(
        gate, up, n, y, [](V16 g, V16 u) __attribute__((always_inline)) {
            return g / (splat(1.0F) + exp(splat(0.0F) - g)) * u;
        });
}

float add(float* x, const float* y, int64_t n) {
    return map_squares(
        x, y, n, x, [](V16 a, V16 b) __attribute__((always_inline)) { return a + b; });
}

void exp_all(const float* x, int64_t n, float* y) {
    const int64_t whole = n / kLanes * kLanes;
    for (int64_t i = 0; i < whole; i += kLanes) store(y + i, exp(load(x + i)));
    store_part(y + whole, exp(load_part(x + whole, n - whole)), n - whole);
}

// x[i] = exp(x[i] - max) for a row padded to whole vectors with -infinity; returns the sum.
// The padding adds exact zeros to its lanes.
float exp_row(float* x, int64_t padded) {
    V16 most = load(x);
    for (int64_t i = kLanes; i < padded; i += kLanes) most = maximum(most, load(x + i));
    const V16 offset = splat(max16(most));
    V16 sum = splat(0.0F);
    for (int64_t i = 0; i < padded; i += kLanes) {
        const V16 e = exp(load(x + i) - offset);
        store(x + i, e);
        sum = sum + e;
    }
    return sum16(sum);
}

void softmax(float* x, int64_t n) {
    const int64_t whole = n / kLanes * kLanes;
    const int64_t rest = n - whole;
    float tail[kLanes];
    for (int64_t i = 0; i < kLanes; ++i) tail[i] = i < rest ? x[whole + i] : -__builtin_inff();
    V16 most = load(tail);
    for (int64_t i = 0; i < whole; i += kLanes) most = maximum(most, load(x + i));
    const V16 offset = splat(max16(most));
    V16 sum = splat(0.0F);
    for (int64_t i = 0; i < whole; i += kLanes) {
        const V16 e = exp(load(x + i) - offset);
        store(x + i, e);
        sum = sum + e;
    }
    const V16 last = exp(load(tail) - offset);
    store_part(x + whole, last, rest);
    const float total = sum16(sum + last);
    for (int64_t i = 0; i < n; ++i) x[i] = x[i] / total;
}

}  // namespace
