// q6_k with AVX-512 VNNI, on 512-bit vectors: wide.h.
//
// GEMV, a block of a row (256 weights, 210 bytes), a chunk of 16 half blocks of 32 in the lanes:
//
//   4 vpermt2d, 4 vpsrlvd        the dwords of ql that the lanes need, and their nibbles
//   vshufi64x2, 4 vpshufd, 4 vprolvd, 4 vpandd     those of qh, and their two bits
//   4 vpternlogd, 4 vpdpbusd     codes; the sums began as -32 * sum of activations
//   vpshufb, vpmovsxbd, vpmulld  the 16 scales of 8 bits
//   vextracti64x4, vpaddd        S of the 8 blocks of 32 columns
//   vpbroadcastw, vcvtph2ps, 2 multiplies by scales, 1 vcvtdq2ps     on 256 bits
//
// 31 operations of 512 bits and 8 narrower, 4.9 per 32 weights; four rows share the activations.
// Zen 4, where 512 bits are two turns of a pipe: 17.7 cycles a block, 22.7 measured in L2, where 34
// GB/s bring a block in 23: as much arithmetic as memory, 85-100% of the read bandwidth. Intel has
// two ports for them: 20 cycles against 37.
//
// Overflow: 16 columns of 63 * 128 less 32 times their sum: |sum| <= 16 * 32 * 128 = 2^16, times a
// scale of -128 2^23, two of them 2^24.
//
// GEMM: a row at a time against 8 tokens, its codes in registers.
#include "kernels/blocks/avx512vnni.h"
#include "kernels/q6_k/wide.h"

namespace {

struct Dot {
    static inline void sums(const __m512i (&codes)[4], const tb_block32_chunk& x, __m512i& acc) {
        TB_UNROLL
        for (int j = 0; j < 4; ++j) dot4(acc, codes[j], _mm512_loadu_si512(x.q[2 * j]));
    }
};

using Tile = LaneTile<WideCore<Dot>>;

void gemv(const tb_product* p) {
    product_streams<Tile>(p);
}
void gemm(const tb_product* p) {
    if (p->m == 1) return gemv(p);
    product_rows<Tile, 8>(p);
}

constexpr tb_kernel kKernel = with_prefetch(
    block_descriptor<Q6K>("q6_k_avx512vnni", "avx512vnni", TB_ISA_AVX512VNNI,
                          "ggml's Q6_K x int8 per 32 columns, vpdpbusd", 4, gemv, gemm));
constexpr const tb_kernel* kKernels[] = {&kKernel};

}  // namespace

extern "C" const tb_kernel_table tb_table_q6_k_avx512vnni;
const tb_kernel_table tb_table_q6_k_avx512vnni = {TB_ABI_VERSION, sizeof(tb_kernel), 1, kKernels};
