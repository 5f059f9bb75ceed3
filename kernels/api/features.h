/* CPU features, as bits. Plain C: part of the kernel contract.
 *
 * A bit means that the instructions exist and that the operating system saves their registers. */
#ifndef TRITBENCH_KERNELS_API_FEATURES_H
#define TRITBENCH_KERNELS_API_FEATURES_H

#include <stdint.h>

typedef uint64_t tb_features;

#define TB_FEATURE_SSSE3 (UINT64_C(1) << 0)
#define TB_FEATURE_SSE41 (UINT64_C(1) << 1)
#define TB_FEATURE_AVX (UINT64_C(1) << 2)
#define TB_FEATURE_AVX2 (UINT64_C(1) << 3)
#define TB_FEATURE_FMA (UINT64_C(1) << 4)
#define TB_FEATURE_F16C (UINT64_C(1) << 5)
#define TB_FEATURE_AVXVNNI (UINT64_C(1) << 6)
#define TB_FEATURE_AVX512F (UINT64_C(1) << 7)
#define TB_FEATURE_AVX512BW (UINT64_C(1) << 8)
#define TB_FEATURE_AVX512VL (UINT64_C(1) << 9)
#define TB_FEATURE_AVX512DQ (UINT64_C(1) << 10)
#define TB_FEATURE_AVX512VNNI (UINT64_C(1) << 11)
#define TB_FEATURE_AVX512VBMI (UINT64_C(1) << 12)
#define TB_FEATURE_AVX512VBMI2 (UINT64_C(1) << 13)
#define TB_FEATURE_AVX512BF16 (UINT64_C(1) << 14)
#define TB_FEATURE_AVX512FP16 (UINT64_C(1) << 15)
#define TB_FEATURE_GFNI (UINT64_C(1) << 16)
#define TB_FEATURE_AMX_INT8 (UINT64_C(1) << 17)

#define TB_FEATURE_NEON (UINT64_C(1) << 32)
#define TB_FEATURE_DOTPROD (UINT64_C(1) << 33)
#define TB_FEATURE_I8MM (UINT64_C(1) << 34)
#define TB_FEATURE_SVE (UINT64_C(1) << 35)
#define TB_FEATURE_SVE2 (UINT64_C(1) << 36)

/* The feature sets behind the ISA names of kernel files (cmake/isa.cmake has the flags). */
#define TB_ISA_SCALAR UINT64_C(0)
#define TB_ISA_SSSE3 (TB_FEATURE_SSSE3)
#define TB_ISA_AVX2                                                                            \
    (TB_FEATURE_SSSE3 | TB_FEATURE_SSE41 | TB_FEATURE_AVX | TB_FEATURE_AVX2 | TB_FEATURE_FMA | \
     TB_FEATURE_F16C)
#define TB_ISA_AVXVNNI (TB_ISA_AVX2 | TB_FEATURE_AVXVNNI)
#define TB_ISA_AVX512                                                               \
    (TB_ISA_AVX2 | TB_FEATURE_AVX512F | TB_FEATURE_AVX512BW | TB_FEATURE_AVX512VL | \
     TB_FEATURE_AVX512DQ)
#define TB_ISA_AVX512VNNI (TB_ISA_AVX512 | TB_FEATURE_AVX512VNNI)
#define TB_ISA_AVX512VBMI (TB_ISA_AVX512VNNI | TB_FEATURE_AVX512VBMI)
#define TB_ISA_NEON (TB_FEATURE_NEON)
#define TB_ISA_DOTPROD (TB_FEATURE_NEON | TB_FEATURE_DOTPROD)
#define TB_ISA_I8MM (TB_ISA_DOTPROD | TB_FEATURE_I8MM)

#endif
