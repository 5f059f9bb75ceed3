// q8_row with AVX-VNNI.
//
// Per 32 weights: 1 load, 1 vpxor (q + 128 as an unsigned byte), 1 vpdpbusd; four rows share the
// activations, a 4 x 2 tile in GEMM. A row that ends inside 32 bytes is finished from a copy, so
// that nothing past the packed bytes is read. Bound by memory: 2 operations for 32 bytes.
//
// Overflow: layout.h; vpdpbusd does not saturate.
#include "kernels/dot/avxvnni.h"

#include "kernels/q8_row/direct.h"

namespace {

constexpr int32_t kZero = 128;  // the code of the weight 0

struct RowLoad {
    static __m256i codes(const uint8_t* p) {
        return _mm256_xor_si256(load32(p), _mm256_set1_epi8(-128));
    }
    static __m256i tail(const uint8_t* p, int64_t left) {
        uint8_t whole[32] = {0};
        memcpy(whole, p, static_cast<size_t>(left));
        return codes(whole);
    }
};

void gemm(const tb_product* p) {
    product_direct<AvxVnniTile<RowLoad>, kZero>(p, nullptr);
}
void accumulate(const tb_product* p) {
    product_direct<AvxVnniTile<RowLoad>, kZero>(p, p->acc);
}

constexpr tb_kernel kKernel = with_prefetch(
    q8_row_descriptor("q8_row_avxvnni", "avxvnni", TB_ISA_AVXVNNI,
                      "int8 with one scale per row, 256-bit vpdpbusd", 4, gemm, accumulate));
constexpr const tb_kernel* kKernels[] = {&kKernel};

}  // namespace

extern "C" const tb_kernel_table tb_table_q8_row_avxvnni;
const tb_kernel_table tb_table_q8_row_avxvnni = {TB_ABI_VERSION, sizeof(tb_kernel), 1, kKernels};
