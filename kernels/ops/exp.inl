// The exponential of every table, for kernels/ops/ops.inl.

namespace {

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
    // Written as the instructions of maximum and minimum are, which let a NaN of x through.
    Native c = least > x ? least : x;
    c = most < c ? most : c;
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
