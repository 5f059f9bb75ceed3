// q4_0 with AVX-512 without VNNI: avx2.cpp's arithmetic with the scales of 8 blocks by one
// vpermt2w: 47 operations for 256 weights, 5.9 per 32. Zen 4: 1.5 cycles of its pipes, 2.2 measured
// in L2, for 2.0 of memory: 80-90% of the read bandwidth. See avx512vnni.cpp and pairs.h.
#include "kernels/blocks/avx512.h"
#include "kernels/q4_0/pairs.h"

namespace {

struct Core {
    using Format = Q40;
    static constexpr int kGroup = 1, kParts = 1;
    using Codes = PairCodes;
    static inline Codes codes(const uint8_t* chunk, int) { return pair_codes(chunk); }
    static inline __m256 scales(const uint8_t* chunk) { return scales_18_bytes_apart(chunk); }
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
    block_descriptor<Q40>("q4_0_avx512", "avx512", TB_ISA_AVX512,
                          "ggml's Q4_0 x int8 per 32 columns, vpmaddubsw", 4, gemv, gemm));
constexpr const tb_kernel* kKernels[] = {&kKernel};

}  // namespace

extern "C" const tb_kernel_table tb_table_q4_0_avx512;
const tb_kernel_table tb_table_q4_0_avx512 = {TB_ABI_VERSION, sizeof(tb_kernel), 1, kKernels};
