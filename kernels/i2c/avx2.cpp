// i2c with AVX2: panels256.h with the arithmetic of i2r.
//
// Per four columns and 256 rows: 107 operations as i2r_avx2 has them, and 32 to interleave, on the
// four vector pipes of Zen 4 some 35 cycles, which keeps up with memory.
// A token of a dense GEMM takes 64 for any four columns, so that with more than kSparseShare
// of the activations not zero all are multiplied.
#include "kernels/i2r/core_avx2.h"

#include "kernels/i2c/panels256.h"

namespace {

constexpr double kSparseShare = 0.4;

void product(const tb_product* p) {
    multiply_lists<Core, LanesAvx2Tile>(p, nullptr, kSparseShare);
}
void accumulate(const tb_product* p) {
    multiply_lists<Core, LanesAvx2Tile>(p, p->acc, kSparseShare);
}

constexpr tb_kernel kKernel = i2c_descriptor(
    "i2c_avx2", "avx2", TB_ISA_AVX2, "columns that count, interleaved to panels of i2r; vpmaddubsw",
    scratch_size, product, product, accumulate);
constexpr const tb_kernel* kKernels[] = {&kKernel};

}  // namespace

extern "C" const tb_kernel_table tb_table_i2c_avx2;
const tb_kernel_table tb_table_i2c_avx2 = {TB_ABI_VERSION, sizeof(tb_kernel), 1, kKernels};
