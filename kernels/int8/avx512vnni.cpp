// int8 with AVX-512 VNNI.
//
// Per 64 weights: 1 load, 1 add (trit + 1 -> code), 1 vpdpbusd; four rows share the activations, a
// 4 x 4 tile in GEMM of few tokens, panels of rearranged rows (dot/panel64.h) in GEMM of many. The
// last bytes of a row are loaded under a mask, so that nothing past the packed bytes is read. Cold,
// it is bound by memory: 8 bits a weight.
//
// Overflow: see dot/avx512vnni.h.
#include "kernels/dot/panel64_bytes.h"

#include "kernels/int8/direct.h"

namespace {

struct RowLoad {
    static __m512i codes(const uint8_t* p) {
        return _mm512_add_epi8(_mm512_loadu_si512(p), _mm512_set1_epi8(1));
    }
    static __m512i tail(const uint8_t* p, int64_t left) {
        const __mmask64 mask = (uint64_t{1} << left) - 1;
        return _mm512_add_epi8(_mm512_maskz_loadu_epi8(mask, p), _mm512_set1_epi8(1));
    }
};

void product(const tb_product* p, int32_t* acc) {
    if (p->m < kManyTokens) return product_direct<Avx512VnniTile<RowLoad>>(p, acc);
    gemm_panel64<ByteRows<RowLoad>>(p, acc, TensorScale{tensor_scale(p->shape, p->packed)});
}
void multiply(const tb_product* p) {
    product(p, nullptr);
}
void accumulate(const tb_product* p) {
    product(p, p->acc);
}

constexpr tb_kernel kKernel = with_prefetch(
    int8_descriptor("int8_avx512vnni", "avx512vnni", TB_ISA_AVX512VNNI,
                    "one byte a weight, vpdpbusd", 4, multiply, accumulate, many_tokens_scratch));
constexpr const tb_kernel* kKernels[] = {&kKernel};

}  // namespace

extern "C" const tb_kernel_table tb_table_int8_avx512vnni;
const tb_kernel_table tb_table_int8_avx512vnni = {TB_ABI_VERSION, sizeof(tb_kernel), 1, kKernels};
