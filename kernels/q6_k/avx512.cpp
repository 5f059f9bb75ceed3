// q6_k with AVX-512 without VNNI: avx512vnni.cpp with 4 vpmaddubsw, 2 vpaddw, 2 vpmaddwd and 2
// vpaddd in place of 4 vpdpbusd: 37 operations of 512 bits and 8 narrower, 5.6 per 32 weights. Zen
// 4: 20.7 cycles a block of its pipes, 26 measured in L2, for 23 of memory: 85-90% of the read
// bandwidth.
#include "kernels/q6_k/wide.h"

namespace {

struct Dot {
    // Two pairs of products of 63 * 128 fit int16: 32256.
    static inline void sums(const __m512i (&codes)[4], const tb_block32_chunk& x, __m512i& acc) {
        const __m512i ones = _mm512_set1_epi16(1);
        TB_UNROLL
        for (int j = 0; j < 4; j += 2) {
            const __m512i pairs = _mm512_add_epi16(
                _mm512_maddubs_epi16(codes[j], _mm512_loadu_si512(x.q[2 * j])),
                _mm512_maddubs_epi16(codes[j + 1], _mm512_loadu_si512(x.q[2 * j + 2])));
            acc = _mm512_add_epi32(acc, _mm512_madd_epi16(pairs, ones));
        }
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
    block_descriptor<Q6K>("q6_k_avx512", "avx512", TB_ISA_AVX512,
                          "ggml's Q6_K x int8 per 32 columns, vpmaddubsw", 4, gemv, gemm));
constexpr const tb_kernel* kKernels[] = {&kKernel};

}  // namespace

extern "C" const tb_kernel_table tb_table_q6_k_avx512;
const tb_kernel_table tb_table_q6_k_avx512 = {TB_ABI_VERSION, sizeof(tb_kernel), 1, kKernels};
