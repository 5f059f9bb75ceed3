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

inline float max16(V16 v) {
    float lanes[16];
    store(lanes, v);
    float most = lanes[0];
    for (int i = 1; i < 16; ++i) most = lanes[i] > most ? lanes[i] : most;
    return most;
}

// e^x = 2^n * e^r with n = round(x / ln 2) and |r| <= ln(2)/2; polynomial of degree 6 for e^r
// (coefficients of Cephes expf, Moshier). ln 2 is split so that n * kLn2Hi is exact without a
// fused multiply-add. Error bound and domain: see exp in ops.h.
inline Native exp(Native x) {
    constexpr float kLog2E = 1.44269504088896341F;
    constexpr float kLn2Hi = 0.693359375F;
    constexpr float kLn2Lo = -2.12194440e-4F;
    constexpr float kRound = 12582912.0F;  // 1.5 * 2^23: adding it rounds to an integer
    constexpr uint32_t kRoundBits = 0x4B400000U;
    const Native least = Access<Native>::splat(-87.33F);
    const Native most = Access<Native>::splat(88.0F);
    const Native zero = Native{};
    const auto vanishes = x < least;
    Native c = x < least ? least : x;
    c = c > most ? most : c;
    const Native shifted = c * kLog2E + kRound;
    const Native n = shifted - kRound;
    const Native r = (c - n * kLn2Hi) - n * kLn2Lo;
    Native p = 1.9875691500E-4F * r + 1.3981999507E-3F;
    p = p * r + 8.3334519073E-3F;
    p = p * r + 4.1665795894E-2F;
    p = p * r + 1.6666665459E-1F;
    p = p * r + 5.0000001201E-1F;
    p = (p * (r * r) + r) + 1.0F;
    const NativeBits power = (reinterpret_cast<NativeBits>(shifted) - kRoundBits + 127U) << 23U;
    const Native value = p * reinterpret_cast<Native>(power);
    return vanishes ? zero : value;
}
template <class V>
inline Pair<V> exp(Pair<V> x) {
    return {exp(x.lo), exp(x.hi)};
}

}  // namespace
