// i2c with AVX-VNNI: panels256.h with the arithmetic of i2r.
//
// Per four columns and 256 rows: 56 operations as i2r_avxvnni has them, and 32 to interleave.
// A token of a dense GEMM takes 32 for any four columns, so that with more than kSparseShare
// of the activations not zero all are multiplied.
#include "kernels/i2r/core_avxvnni.h"

#include "kernels/i2c/panels256.h"

namespace {

constexpr double kSparseShare = 0.6;

void product(const tb_product* p) {
    multiply_lists<Core, LanesAvxVnniTile>(p, nullptr, kSparseShare);
}
void accumulate(const tb_product* p) {
    multiply_lists<Core, LanesAvxVnniTile>(p, p->acc, kSparseShare);
}

constexpr tb_kernel kKernel =
    i2c_descriptor("i2c_avxvnni", "avxvnni", TB_ISA_AVXVNNI,
                   "columns that count, interleaved to panels of i2r; 256-bit vpdpbusd",
                   scratch_size, product, product, accumulate);
constexpr const tb_kernel* kKernels[] = {&kKernel};

}  // namespace

extern "C" const tb_kernel_table tb_table_i2c_avxvnni;
const tb_kernel_table tb_table_i2c_avxvnni = {TB_ABI_VERSION, sizeof(tb_kernel), 1, kKernels};
