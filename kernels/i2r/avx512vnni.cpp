// i2r with AVX-512 VNNI. The picture is in lanes/panels.h, the fields in layout.h.
//
//   v        = 64 bytes: 4 columns of 64 rows            the sum holds
//   acc0    += vpdpbusd(v, x)                            P0 + 4 P1 + 16 P2 + 64 P3
//   acc1..3 += vpdpbusd(v & 03, 0c, 30, x)               P0, 4 P1, 16 P2
//
// where x is one broadcast dword and P the code sums of the four fields: P3 is what is left of
// acc0, divided by 64 exactly, so that the top field needs no mask. 3 vpand and 4 vpdpbusd for 256
// weights, 0.875 operations for 32, and no shift, no horizontal sum.
//
// Bound, Intel (two 512-bit ports): 3.5 cycles for 256 weights, 73 a cycle; a mask for every field
// would make it 64. Zen 4: one vpdpbusd a cycle, vpand on pipes that are idle: 64 weights a cycle,
// of which the loop reaches 98% with weights in L2 and L3. From memory it is bound by bandwidth.
//
// GEMM: 64 rows x 6 tokens, 24 sums. Up to 64 tokens the masks are made in the tile, 3 vpand beside
// 24 vpdpbusd: free on Zen 4, and on Intel an eighth of the ports, which is what unpacking for
// fewer tokens costs there too.
//
// Overflow: a byte of valid codes is at most 170; see lanes/avx512vnni.h.
//
// Source: ours; masks in place of shifts as in kernels/i2s (bitnet.cpp's layout).
#include "kernels/lanes/avx512vnni.h"

#include "kernels/i2r/decoder512.h"

namespace {

using Core = StreamCore<Decoder, 4>;

void gemv(const tb_product* p) {
    gemv_lanes<Format, Decoder, Core>(p, nullptr);
}
void gemm(const tb_product* p) {
    if (p->m == 1) return gemv(p);
    gemm_lanes<Format, Decoder>(p, nullptr);
}
void accumulate(const tb_product* p) {
    if (p->m == 1) return gemv_lanes<Format, Decoder, Core>(p, p->acc);
    gemm_lanes<Format, Decoder>(p, p->acc);
}

constexpr tb_kernel kKernel = with_prefetch(
    lanes_descriptor<Format>("i2r_avx512vnni", "avx512vnni", TB_ISA_AVX512VNNI,
                             "rows as fields, one of them unmasked; vpdpbusd under broadcasts",
                             lanes_scratch<Format, Decoder>, gemv, gemm, accumulate));
constexpr const tb_kernel* kKernels[] = {&kKernel};

}  // namespace

extern "C" const tb_kernel_table tb_table_i2r_avx512vnni;
const tb_kernel_table tb_table_i2r_avx512vnni = {TB_ABI_VERSION, sizeof(tb_kernel), 1, kKernels};
