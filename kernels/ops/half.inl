// IEEE halves in memory as float vectors, and back, for kernels/ops/ops.inl: by the instructions of
// F16C and AVX-512 where the ISA has them, else in integer arithmetic. All give the same bits.
#if TB_OPS_LANES >= 8
#include <immintrin.h>
#else
#include "kernels/api/half.h"
#endif

namespace {

typedef int32_t NativeInts __attribute__((vector_size(TB_OPS_LANES * 4)));

// Native vectors of consecutive elements of either type.
inline Native native(const float* p) {
    return Access<Native>::load(p);
}

#if TB_OPS_LANES == 16
inline Native native(const uint16_t* p) {
    __m256i halves;
    __builtin_memcpy(&halves, p, sizeof halves);
    return _mm512_cvtph_ps(halves);
}
inline void narrow(Native v, uint16_t* y) {
    const __m256i halves = _mm512_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT);
    __builtin_memcpy(y, &halves, sizeof halves);
}
#elif TB_OPS_LANES == 8
inline Native native(const uint16_t* p) {
    __m128i halves;
    __builtin_memcpy(&halves, p, sizeof halves);
    return _mm256_cvtph_ps(halves);
}
inline void narrow(Native v, uint16_t* y) {
    const __m128i halves = _mm256_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT);
    __builtin_memcpy(y, &halves, sizeof halves);
}
#else
// Exponent and mantissa are shifted into place and the exponent rebiased. The smallest normal with
// the same mantissa, less that normal, is the value of a subnormal, exactly and with no float
// subnormals on the way, which some CPUs are slow at.
inline Native native(const uint16_t* p) {
    typedef uint16_t Halves __attribute__((vector_size(8)));
    constexpr uint32_t kRebias = 112U << 23U;
    Halves halves;
    __builtin_memcpy(&halves, p, sizeof halves);
    const NativeBits wide = __builtin_convertvector(halves, NativeBits);
    const NativeBits body = (wide & 0x7fffU) << 13U;
    const auto exponent = reinterpret_cast<NativeInts>(wide & 0x7c00U);
    const NativeBits normal = body + kRebias;
    const NativeBits least = body - body + (113U << 23U);
    const auto small =
        reinterpret_cast<Native>(body + (113U << 23U)) - reinterpret_cast<Native>(least);
    NativeBits bits = exponent == 0 ? reinterpret_cast<NativeBits>(small) : normal;
    bits = exponent == 0x7c00 ? normal + kRebias : bits;  // infinity and NaN
    return reinterpret_cast<Native>(bits | (wide & 0x8000U) << 16U);
}
inline void narrow(Native v, uint16_t* y) {
    for (int i = 0; i < TB_OPS_LANES; ++i) y[i] = tb_float_to_half(v[i]);
}
#endif

// What a conversion to half would turn into infinity becomes the largest half, and all NaN one.
inline Native within_half(Native v) {
    const auto bits = reinterpret_cast<NativeInts>(v);
    const NativeInts sign = bits & INT32_MIN;
    NativeInts size = bits & INT32_MAX;
    const NativeInts largest = size - size + 0x477fe000;  // 65504
    size = ((size > 0x477fe000) & (size < 0x7f800000)) ? largest : size;
    size = size > 0x7f800000 ? (size | INT32_MAX) & 0x7fc00000 : size;
    return reinterpret_cast<Native>(size | sign);
}

void store_f16(const float* x, int64_t n, uint16_t* y) {
    constexpr int64_t kStep = TB_OPS_LANES;
    const int64_t whole = n / kStep * kStep;
    for (int64_t i = 0; i < whole; i += kStep) narrow(within_half(native(x + i)), y + i);
    float rest[kStep] = {};
    uint16_t halves[kStep];
    for (int64_t i = whole; i < n; ++i) rest[i - whole] = x[i];
    narrow(within_half(native(rest)), halves);
    for (int64_t i = whole; i < n; ++i) y[i] = halves[i - whole];
}

}  // namespace
