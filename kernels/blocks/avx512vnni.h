/* vpdpbusd on 256 and 512 bits (u8 codes x s8 activations, four products added to an int32 lane, no
 * saturation). Static: see dot/epilogue.h. Include only from AVX-512 VNNI files. */
#ifndef TRITBENCH_KERNELS_BLOCKS_AVX512VNNI_H
#define TRITBENCH_KERNELS_BLOCKS_AVX512VNNI_H

#include <immintrin.h>

namespace {

// acc += codes . x. An instruction and not the intrinsic: see dot/avx512vnni.h.
inline void dot4(__m256i& acc, __m256i codes, __m256i x) {
    asm("vpdpbusd %2, %1, %0" : "+v"(acc) : "v"(codes), "v"(x));
}

inline void dot4(__m512i& acc, __m512i codes, __m512i x) {
    asm("vpdpbusd %2, %1, %0" : "+v"(acc) : "v"(codes), "v"(x));
}

}  // namespace

#endif
