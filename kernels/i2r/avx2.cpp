// i2r with AVX2.
//
// GEMV, per 128 weights (32 bytes v, half a register of the layout, fields f3 f2 f1 f0):
//
//   low  = v & 0x0f           f0 + 4 f1, at most 10      sum  of f0 = that of low & 3
//   high = v >> 4 & 0x0f      f2 + 4 f3                  sum  of f1 = (low's - f0's) / 4
//   low & 3, high & 3         f0, f2, at most 2          likewise f2, f3
//
// 5 logic operations make four operands, 4 vpmaddubsw and 4 vpaddw use them: 13, or 13.4 with the
// widening, 3.3 per 32 weights. No operand may be v itself, because vpmaddubsw saturates, and none
// can be had for less than one operation: 12 would be the least, and the four masks that need no
// shift (3, 12, 48, 192) pay for it by widening 48 every fourth step and 192 every step. Zen 4:
// four ports, 3.35 cycles per 128 weights, above its read bandwidth by little; Intel: three
// ports, 4.5 cycles, above it by a third.
//
// Both halves of a panel take 8 sums, which with masks, activations and operands fill the 16
// registers, so there is one stream: panels are contiguous, which is what a prefetcher likes best.
//
// Overflow (lanes/avx2.h): nibbles are widened every 12 steps (10 * 12 <= 128), fields every 60
// (2 * 60 <= 128), to int32 in memory.
//
// GEMM: byte codes, lanes/avx2.h.
#include "kernels/lanes/avx2.h"

#include "kernels/i2r/core_avx2.h"
#include "kernels/i2r/unpack256.h"

namespace {

void multiply(const tb_product* p) {
    lanes_product<Format, Core, LanesAvx2Tile, Unpack>(p, nullptr);
}
void accumulate(const tb_product* p) {
    lanes_product<Format, Core, LanesAvx2Tile, Unpack>(p, p->acc);
}

constexpr tb_kernel kKernel = with_prefetch(
    lanes_descriptor<Format>("i2r_avx2", "avx2", TB_ISA_AVX2, "2-bit codes as nibbles, vpmaddubsw",
                             lanes_scratch<Format, Core>, multiply, multiply, accumulate));
constexpr const tb_kernel* kKernels[] = {&kKernel};

}  // namespace

extern "C" const tb_kernel_table tb_table_i2r_avx2;
const tb_kernel_table tb_table_i2r_avx2 = {TB_ABI_VERSION, sizeof(tb_kernel), 1, kKernels};
