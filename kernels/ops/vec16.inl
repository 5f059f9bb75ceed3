// Sixteen float lanes out of native vectors of TB_OPS_LANES lanes, for kernels/ops/ops.inl.
//
// Wider vectors than the hardware has would be kept in memory by GCC, so sixteen lanes are a tree
// of pairs of native vectors. All in an unnamed namespace: an ISA file may export only its table.
#include <cstdint>

namespace {

typedef float F4 __attribute__((vector_size(16)));
typedef float F8 __attribute__((vector_size(32)));
typedef float F16 __attribute__((vector_size(64)));

template <class V>
struct Pair {
    V lo, hi;
};

#if TB_OPS_LANES == 16
using Native = F16;
using V16 = F16;
typedef uint32_t NativeBits __attribute__((vector_size(64)));
#elif TB_OPS_LANES == 8
using Native = F8;
using V16 = Pair<F8>;
typedef uint32_t NativeBits __attribute__((vector_size(32)));
#else
using Native = F4;
using V16 = Pair<Pair<F4>>;
typedef uint32_t NativeBits __attribute__((vector_size(16)));
#endif

template <class V>
inline Pair<V> operator+(Pair<V> a, Pair<V> b) {
    return {a.lo + b.lo, a.hi + b.hi};
}
template <class V>
inline Pair<V> operator-(Pair<V> a, Pair<V> b) {
    return {a.lo - b.lo, a.hi - b.hi};
}
template <class V>
inline Pair<V> operator*(Pair<V> a, Pair<V> b) {
    return {a.lo * b.lo, a.hi * b.hi};
}

template <class V>
inline Pair<V> operator/(Pair<V> a, Pair<V> b) {
    return {a.lo / b.lo, a.hi / b.hi};
}

inline Native maximum(Native a, Native b) {
    return a > b ? a : b;
}
template <class V>
inline Pair<V> maximum(Pair<V> a, Pair<V> b) {
    return {maximum(a.lo, b.lo), maximum(a.hi, b.hi)};
}

// The same value in every lane, and unaligned loads and stores of consecutive floats.
template <class V>
struct Access {
    static V splat(float x) { return x - V{}; }
    static V load(const float* p) {
        V v;
        __builtin_memcpy(&v, p, sizeof v);
        return v;
    }
    static void store(float* p, V v) { __builtin_memcpy(p, &v, sizeof v); }
};
template <class V>
struct Access<Pair<V>> {
    static constexpr int64_t kHalf = sizeof(V) / sizeof(float);
    static Pair<V> splat(float x) { return {Access<V>::splat(x), Access<V>::splat(x)}; }
    static Pair<V> load(const float* p) { return {Access<V>::load(p), Access<V>::load(p + kHalf)}; }
    static void store(float* p, Pair<V> v) {
        Access<V>::store(p, v.lo);
        Access<V>::store(p + kHalf, v.hi);
    }
};
inline V16 splat(float x) {
    return Access<V16>::splat(x);
}
inline V16 load(const float* p) {
    return Access<V16>::load(p);
}
inline void store(float* p, V16 v) {
    Access<V16>::store(p, v);
}

// The fixed tree, first half: 16 -> 8 -> 4 lanes, lane i + width/2 added to lane i.
inline F4 to4(F4 v) {
    return v;
}
#if TB_OPS_LANES >= 8
inline F4 to4(F8 v) {
    return __builtin_shufflevector(v, v, 0, 1, 2, 3) + __builtin_shufflevector(v, v, 4, 5, 6, 7);
}
#endif
#if TB_OPS_LANES == 16
inline F4 to4(F16 v) {
    return to4(__builtin_shufflevector(v, v, 0, 1, 2, 3, 4, 5, 6, 7) +
               __builtin_shufflevector(v, v, 8, 9, 10, 11, 12, 13, 14, 15));
}
#endif
template <class V>
inline F4 to4(Pair<V> v) {
    return to4(v.lo + v.hi);
}

// Second half: 4 -> 2 -> 1.
inline float tree(F4 v) {
    return (v[0] + v[2]) + (v[1] + v[3]);
}
inline float sum16(V16 v) {
    return tree(to4(v));
}

// The same tree for four vectors at once.
inline F4 sum16(V16 a, V16 b, V16 c, V16 d) {
    const F4 a4 = to4(a);
    const F4 b4 = to4(b);
    const F4 c4 = to4(c);
    const F4 d4 = to4(d);
    const F4 ab =
        __builtin_shufflevector(a4, b4, 0, 1, 4, 5) + __builtin_shufflevector(a4, b4, 2, 3, 6, 7);
    const F4 cd =
        __builtin_shufflevector(c4, d4, 0, 1, 4, 5) + __builtin_shufflevector(c4, d4, 2, 3, 6, 7);
    return __builtin_shufflevector(ab, cd, 0, 2, 4, 6) +
           __builtin_shufflevector(ab, cd, 1, 3, 5, 7);
}

#if TB_OPS_LANES == 16
// The tree for sixteen vectors at once: of v[r][c] to lane 4 r + c. Each step puts the halves of
// two vectors, of a half or a quarter of theirs, side by side.
inline F16 halves(F16 a, F16 b) {
    return __builtin_shufflevector(a, b, 0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23) +
           __builtin_shufflevector(a, b, 8, 9, 10, 11, 12, 13, 14, 15, 24, 25, 26, 27, 28, 29, 30,
                                   31);
}
inline F16 quarters(F16 a, F16 b) {
    return __builtin_shufflevector(a, b, 0, 1, 2, 3, 8, 9, 10, 11, 16, 17, 18, 19, 24, 25, 26, 27) +
           __builtin_shufflevector(a, b, 4, 5, 6, 7, 12, 13, 14, 15, 20, 21, 22, 23, 28, 29, 30,
                                   31);
}
inline F16 eighths(F16 a, F16 b) {
    return __builtin_shufflevector(a, b, 0, 1, 16, 17, 4, 5, 20, 21, 8, 9, 24, 25, 12, 13, 28, 29) +
           __builtin_shufflevector(a, b, 2, 3, 18, 19, 6, 7, 22, 23, 10, 11, 26, 27, 14, 15, 30,
                                   31);
}
inline F16 sixteenths(F16 a, F16 b) {
    return __builtin_shufflevector(a, b, 0, 2, 16, 18, 4, 6, 20, 22, 8, 10, 24, 26, 12, 14, 28,
                                   30) +
           __builtin_shufflevector(a, b, 1, 3, 17, 19, 5, 7, 21, 23, 9, 11, 25, 27, 13, 15, 29, 31);
}
inline F16 sum16(const F16 (&v)[4][4]) {
    F16 columns[4];
#pragma GCC unroll 4
    for (int c = 0; c < 4; ++c) {
        columns[c] = quarters(halves(v[0][c], v[1][c]), halves(v[2][c], v[3][c]));
    }
    return sixteenths(eighths(columns[0], columns[1]), eighths(columns[2], columns[3]));
}
#endif

inline float max16(V16 v) {
    float lanes[16];
    store(lanes, v);
    float most = lanes[0];
    for (int i = 1; i < 16; ++i) most = lanes[i] > most ? lanes[i] : most;
    return most;
}

}  // namespace
