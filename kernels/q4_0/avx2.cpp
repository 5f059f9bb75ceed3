// q4_0 with AVX2.
//
// GEMV, a chunk of 8 blocks of a row (256 weights, 144 bytes); the lanes are blocks (lanes.h):
//
//   4 loads, 4 inserts, 8 unpacks   dword j of the 8 blocks, j = 0..3
//   8 ands, 4 shifts                nibbles
//   8 vpmaddubsw, 7 vpaddw          all in int16: pairs.h says why they fit
//   vpmaddwd, vpsubd                S, less 8 times the sum of the activations
//   vmovd, 7 vpinsrw, vcvtph2ps     the 8 scales
//   2 multiplies by scales, 1 vcvtdq2ps
//
// 53 operations, 6.6 per 32 weights. On Zen 4 that is 1.7 cycles of its 4 pipes at best and 2.3
// measured in L2, where 34 GB/s of memory bring 32 weights in 2.0: 75% of the read bandwidth. Where
// a core reads less than 30 GB/s, as most that have no AVX-512 do, memory is the bound.
//
// GEMM: a row at a time against 8 tokens. The arithmetic is llama.cpp's, but for sums in lanes.
#include "kernels/q4_0/pairs.h"

namespace {

struct Core {
    using Format = Q40;
    static constexpr int kGroup = 1, kParts = 1;
    using Codes = PairCodes;
    static inline Codes codes(const uint8_t* chunk, int) { return pair_codes(chunk); }
    static inline __m256 scales(const uint8_t* chunk) {
        return scales_one_by_one<Q40::kBytes>(chunk);
    }
    template <int G>
    static inline void sums(const Codes (&c)[G], const tb_block32_chunk& x, int,
                            __m256i (&out)[G]) {
        TB_UNROLL
        for (int r = 0; r < G; ++r) out[r] = pair_sums(c[r], x);
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
    block_descriptor<Q40>("q4_0_avx2", "avx2", TB_ISA_AVX2,
                          "ggml's Q4_0 x int8 per 32 columns, vpmaddubsw", 4, gemv, gemm));
constexpr const tb_kernel* kKernels[] = {&kKernel};

}  // namespace

extern "C" const tb_kernel_table tb_table_q4_0_avx2;
const tb_kernel_table tb_table_q4_0_avx2 = {TB_ABI_VERSION, sizeof(tb_kernel), 1, kKernels};
