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
