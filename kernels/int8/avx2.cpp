// int8 with AVX2.
//
// Per 32 weights: 1 load, 1 add (trit + 1 -> code), 1 vpmaddubsw, 1 add; four rows share the
// activations, a 4 x 2 tile in GEMM. A row that ends inside 32 bytes is finished from a copy, so
// that nothing past the packed bytes is read. Cold, it is bound by memory: 8 bits a weight.
//
// Overflow: see dot/avx2.h.
#include "kernels/dot/avx2.h"

#include "kernels/int8/direct.h"

namespace {

struct RowLoad {
    static __m256i codes(const uint8_t* p) {
        return _mm256_add_epi8(load32(p), _mm256_set1_epi8(1));
    }
    static __m256i tail(const uint8_t* p, int64_t left) {
        uint8_t whole[32] = {0};
        memcpy(whole, p, static_cast<size_t>(left));
        return codes(whole);
    }
};

void gemm(const tb_product* p) {
    product_direct<Avx2Tile<RowLoad>>(p, nullptr);
}
void accumulate(const tb_product* p) {
    product_direct<Avx2Tile<RowLoad>>(p, p->acc);
}

constexpr tb_kernel kKernel = with_prefetch(int8_descriptor(
    "int8_avx2", "avx2", TB_ISA_AVX2, "one byte a weight, vpmaddubsw", 4, gemm, accumulate));
constexpr const tb_kernel* kKernels[] = {&kKernel};

}  // namespace

extern "C" const tb_kernel_table tb_table_int8_avx2;
const tb_kernel_table tb_table_int8_avx2 = {TB_ABI_VERSION, sizeof(tb_kernel), 1, kKernels};
