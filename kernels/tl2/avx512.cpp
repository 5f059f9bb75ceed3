// tl2 with AVX-512 (F, BW, VL; no VNNI).
//
// Up to four tokens: words512.h, a lookup of int16 in one vpermw, signs included. More tokens:
// gemm256.h, whose vpmaddubsw is as fast in 256 bits on Zen 4. Instructions, bounds, overflow and
// layout are in these headers and in layout.h.
// Source: microsoft/BitNet (TL2), arXiv:2502.11880.
#include "kernels/tl2/gemm256.h"
#include "kernels/tl2/words512.h"

namespace {

void product(const tb_product* p, int32_t* acc) {
    if (p->m <= kTableTokens) return tl2_look_up<WordCore>(p, acc);
    gemm256(p, acc);
}
void multiply(const tb_product* p) {
    product(p, nullptr);
}
void accumulate(const tb_product* p) {
    product(p, p->acc);
}

constexpr tb_kernel kKernel =
    with_tables<WordEntry>(tl2_descriptor("tl2_avx512", "avx512", TB_ISA_AVX512,
                                          "bitnet.cpp's TL2, signed tables in vpermw",
                                          gemm256_scratch, multiply, accumulate),
                           kWordTag);
constexpr const tb_kernel* kKernels[] = {&kKernel};

}  // namespace

extern "C" const tb_kernel_table tb_table_tl2_avx512;
const tb_kernel_table tb_table_tl2_avx512 = {TB_ABI_VERSION, sizeof(tb_kernel), 1, kKernels};
