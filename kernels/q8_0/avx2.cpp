// q8_0 with AVX2.
//
// GEMV, a chunk of 8 blocks of a row (256 weights, 272 bytes); the lanes are blocks (lanes.h):
//
//   8 loads, 8 inserts, 16 unpacks   dword i of the 8 blocks, i = 0..7
//   8 times vpabsb, vpsignb, vpmaddubsw, vpmaddwd, vpaddd
//   vmovd, 7 vpinsrw, vcvtph2ps      the 8 scales
//   2 multiplies by scales, 1 vcvtdq2ps
//
// 76 operations, 9.5 per 32 weights. Bound by memory: on Zen 4 2.4 cycles of its 4 pipes, 3.1
// measured in L2, where 34 GB/s bring 32 weights in 3.7. Overflow: pairs.h.
//
// GEMM: a row at a time against 8 tokens. The products by signs are llama.cpp's.
#include "kernels/q8_0/pairs.h"

namespace {

struct Core {
    using Format = Q80;
    static constexpr int kGroup = 1, kParts = 2;
    using Codes = PairCodes;
    static inline Codes codes(const uint8_t* chunk, int part) { return pair_codes(chunk, part); }
    static inline __m256 scales(const uint8_t* chunk) {
        return scales_one_by_one<Q80::kBytes>(chunk);
    }
    template <int G>
    static inline void sums(const Codes (&c)[G], const tb_block32_chunk& x, int part,
                            __m256i (&out)[G]) {
        TB_UNROLL
        for (int r = 0; r < G; ++r) out[r] = pair_sums(c[r], x, part);
    }
};

using Tile = LaneTile<Core>;

void gemv(const tb_product* p) {
    product_streams<Tile>(p);
}
void gemm(const tb_product* p) {
    if (p->m == 1) return gemv(p);
    product_rows<Tile, 8>(p);
}

constexpr tb_kernel kKernel = with_prefetch(
    block_descriptor<Q80>("q8_0_avx2", "avx2", TB_ISA_AVX2,
                          "ggml's Q8_0 x int8 per 32 columns, vpmaddubsw", 4, gemv, gemm));
constexpr const tb_kernel* kKernels[] = {&kKernel};

}  // namespace

extern "C" const tb_kernel_table tb_table_q8_0_avx2;
const tb_kernel_table tb_table_q8_0_avx2 = {TB_ABI_VERSION, sizeof(tb_kernel), 1, kKernels};
