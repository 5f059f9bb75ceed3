// tl2 with AVX-512 (F, BW, VL; no VNNI).
//
// Up to 32 tokens: words512.h, a lookup of int16 in one vpermw, signs included. More tokens:
// gemm256.h, whose vpmaddubsw is as fast in 256 bits on Zen 4. Instructions, bounds, overflow and
// layout are in these headers and in layout.h.
// Source: microsoft/BitNet (TL2), arXiv:2502.11880.
#include "kernels/tl2/gemm256.h"
#include "kernels/tl2/words512.h"

namespace {

size_t scratch(const tb_shape* s, const tb_tile* tile, int64_t m) {
    return m <= Words32::kMostTokens ? 0 : gemm256_scratch(s, tile, m);
}

void product(const tb_product* p, int32_t* acc) {
    if (p->m <= Words32::kMostTokens) return tl2_look_up<WordCore<Words32>>(p, acc);
    gemm256(p, acc);
}
void multiply(const tb_product* p) {
    product(p, nullptr);
}
void accumulate(const tb_product* p) {
    product(p, p->acc);
}

constexpr tb_kernel kKernel = with_tables<Words32>(
    tl2_descriptor("tl2_avx512", "avx512", TB_ISA_AVX512,
                   "bitnet.cpp's TL2, signed tables in vpermw", scratch, multiply, accumulate),
    kWords32Tag);
constexpr const tb_kernel* kKernels[] = {&kKernel};

}  // namespace

extern "C" const tb_kernel_table tb_table_tl2_avx512;
const tb_kernel_table tb_table_tl2_avx512 = {TB_ABI_VERSION, sizeof(tb_kernel), 1, kKernels};
