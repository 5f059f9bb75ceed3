// i2r with AVX-512 VNNI.
#include "kernels/lanes/avx512vnni.h"

#include "kernels/i2r/layout.h"

namespace {

struct Decoder {
    static constexpr int kFields = Format::kFields, kStepBytes = Format::kStepBytes;
    static constexpr int kOperands = 4, kQuads = 1, kTokens = 6, kDirectTokens = 64;
    static constexpr bool kFetches = false;

    struct Constants {
        __m512i mask[3] = {_mm512_set1_epi8(0x03), _mm512_set1_epi8(0x0c), _mm512_set1_epi8(0x30)};
    };

    template <int>
    static void operands(const uint8_t* step, const Constants& c, __m512i (&o)[4]) {
        o[0] = _mm512_loadu_si512(step);
        TB_UNROLL
        for (int f = 0; f < 3; ++f) o[f + 1] = _mm512_and_si512(o[0], c.mask[f]);
    }

    static void combine(const __m512i (&sums)[4], __m512i (&rows)[4]) {
        const __m512i known = _mm512_add_epi32(_mm512_add_epi32(sums[1], sums[2]), sums[3]);
        rows[0] = sums[1];
        rows[1] = _mm512_srai_epi32(sums[2], 2);
        rows[2] = _mm512_srai_epi32(sums[3], 4);
        rows[3] = _mm512_srai_epi32(_mm512_sub_epi32(sums[0], known), 6);
    }
};

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
