/* IEEE half <-> float in integer arithmetic: the same bits on every machine, and simple enough for
 * the compiler to vectorise. Round to nearest even; NaN stays NaN, overflow becomes infinity. */
#ifndef TRITBENCH_KERNELS_API_HALF_H
#define TRITBENCH_KERNELS_API_HALF_H

#include <stdint.h>
#include <string.h>

static inline float tb_half_to_float(uint16_t h) {
    const uint32_t sign = (uint32_t)(h & 0x8000u) << 16;
    const uint32_t body = (uint32_t)(h & 0x7fffu) << 13;
    /* Shifted into place, the exponent is 112 too small: multiply by 2^112. Subnormals come out
     * right by the same multiplication; infinity and NaN get their exponent by hand. */
    float value;
    uint32_t bits = body;
    memcpy(&value, &bits, 4);
    value *= 5192296858534827628530496329220096.0f; /* 2^112 */
    memcpy(&bits, &value, 4);
    const uint32_t special = (h & 0x7c00u) == 0x7c00u ? 0xffffffffu : 0u;
    bits = (bits & ~special) | ((body | 0x7f800000u) & special) | sign;
    memcpy(&value, &bits, 4);
    return value;
}

static inline uint16_t tb_float_to_half(float f) {
    uint32_t bits;
    memcpy(&bits, &f, 4);
    const uint32_t sign = (bits >> 16) & 0x8000u;
    const uint32_t magnitude = bits & 0x7fffffffu;
    /* Normal result: rebias, round by adding just under half plus the parity bit. */
    const uint32_t normal = (magnitude - 0x38000000u + 0xfffu + ((magnitude >> 13) & 1u)) >> 13;
    /* Subnormal result: adding 0.5 lines the float's last bit up with the half's, rounding once. */
    float small;
    memcpy(&small, &magnitude, 4);
    small += 0.5f;
    uint32_t small_bits;
    memcpy(&small_bits, &small, 4);
    const uint32_t subnormal = small_bits - 0x3f000000u;
    uint32_t h = magnitude < 0x38800000u ? subnormal : normal;
    h = magnitude >= 0x477ff000u ? 0x7c00u : h; /* rounds to 65536 or more */
    h = magnitude > 0x7f800000u ? 0x7e00u : h;
    return (uint16_t)(h | sign);
}

#endif
