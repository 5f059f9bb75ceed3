// q8_row with AVX-512 VNNI.
//
// Per 64 weights: 1 load, 1 vpxord (q + 128 as an unsigned byte), 1 vpdpbusd; four rows share the
// activations, a 4 x 4 tile in GEMM of few tokens, panels of rearranged rows (dot/panel64.h) in
// GEMM of many. The last bytes of a row are loaded under a mask, so that nothing past the packed
// bytes is read. Bound by memory: 2 operations for 64 bytes.
//
// Overflow: layout.h; vpdpbusd does not saturate.
#include "kernels/dot/panel64_bytes.h"

#include "kernels/q8_row/direct.h"

namespace {

constexpr int32_t kZero = 128;  // the code of the weight 0

struct RowLoad {
    static __m512i codes(const uint8_t* p) {
        return _mm512_xor_si512(_mm512_loadu_si512(p), _mm512_set1_epi8(-128));
    }
    static __m512i tail(const uint8_t* p, int64_t left) {
        const __mmask64 mask = (uint64_t{1} << left) - 1;
        return _mm512_xor_si512(_mm512_maskz_loadu_epi8(mask, p), _mm512_set1_epi8(-128));
    }
};

void product(const tb_product* p, int32_t* acc) {
    if (p->m < kManyTokens) return product_direct<Avx512VnniTile<RowLoad>, kZero>(p, acc);
    gemm_panel64<ByteRows<RowLoad>, kZero>(p, acc, RowScales{p->shape, p->packed});
}
void multiply(const tb_product* p) {
    product(p, nullptr);
}
void accumulate(const tb_product* p) {
    product(p, p->acc);
}

constexpr tb_kernel kKernel = with_prefetch(q8_row_descriptor(
    "q8_row_avx512vnni", "avx512vnni", TB_ISA_AVX512VNNI, "int8 with one scale per row, vpdpbusd",
    4, multiply, accumulate, many_tokens_scratch));
constexpr const tb_kernel* kKernels[] = {&kKernel};

}  // namespace

extern "C" const tb_kernel_table tb_table_q8_row_avx512vnni;
const tb_kernel_table tb_table_q8_row_avx512vnni = {TB_ABI_VERSION, sizeof(tb_kernel), 1, kKernels};
