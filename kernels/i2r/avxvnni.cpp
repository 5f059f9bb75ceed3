// i2r with AVX-VNNI.
//
// GEMV, per 128 weights (32 bytes v, half a register of the layout, fields f3 f2 f1 f0):
//
//   v, v & 0x03, v & 0x0c, v & 0x30      four operands of vpdpbusd, used in place
//   f3 = (v's - f0's - 4 f1's - 16 f2's) / 64      in sums, once, at the end of the panel
//
// so 3 vpand and 4 vpdpbusd: 7 operations, 1.75 per 32 weights, on three ports of which two can
// multiply: 2.3 cycles per 128 weights, about twice what memory delivers. Both halves of a panel
// take 8 sums, 3 masks and 3 operands of the 16 registers.
//
// Overflow: a byte is at most 170 (255 if it were not checked), 4 * 255 * 128 a lane and step, K /
// 4 times: 255 * 128 * 65536 < 2^31. The divisions are exact.
//
// GEMM: byte codes, lanes/avxvnni.h.
#include "kernels/lanes/avxvnni.h"

#include "kernels/i2r/core_avxvnni.h"
#include "kernels/i2r/unpack256.h"

namespace {

void multiply(const tb_product* p) {
    lanes_product<Format, Core, LanesAvxVnniTile, Unpack>(p, nullptr);
}
void accumulate(const tb_product* p) {
    lanes_product<Format, Core, LanesAvxVnniTile, Unpack>(p, p->acc);
}

constexpr tb_kernel kKernel = with_prefetch(lanes_descriptor<Format>(
    "i2r_avxvnni", "avxvnni", TB_ISA_AVXVNNI, "2-bit codes used in place, 256-bit vpdpbusd",
    lanes_scratch<Format, Core>, multiply, multiply, accumulate));
constexpr const tb_kernel* kKernels[] = {&kKernel};

}  // namespace

extern "C" const tb_kernel_table tb_table_i2r_avxvnni;
const tb_kernel_table tb_table_i2r_avxvnni = {TB_ABI_VERSION, sizeof(tb_kernel), 1, kKernels};
