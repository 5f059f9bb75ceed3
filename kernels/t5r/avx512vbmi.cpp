// t5r with AVX-512 VBMI and VNNI.
#include "kernels/lanes/avx512vnni.h"

#include "kernels/t5r/layout.h"

namespace {

// For every index of six bits: the first four trits as fields, when the byte is regular, and when
// it is an escape; and what an escape would be if it were regular, 64 e + 8 r + p.
struct Tables {
    uint8_t regular[64], escape[64], mended[64];
};
constexpr Tables tables() {
    Tables t{};
    for (int index = 0; index < 64; ++index) {
        int p = 0, r = 0, e = 0;
        Format::decode_byte(index, &p, &r, &e);
        t.regular[index] = static_cast<uint8_t>(p % 3 | p / 3 << 2 | r % 3 << 4 | r / 3 << 6);
        if (!Format::decode_byte(0xc0 | index, &p, &r, &e)) continue;
        t.escape[index] = static_cast<uint8_t>(p % 3 | p / 3 << 2 | r % 3 << 4 | r / 3 << 6);
        t.mended[index] = static_cast<uint8_t>(p + 8 * r + 64 * e);
    }
    return t;
}
alignas(64) constexpr Tables kTables = tables();

struct Decoder {
    static constexpr int kFields = Format::kFields, kStepBytes = Format::kStepBytes;
    static constexpr int kOperands = 5, kQuads = 1, kTokens = 5, kDirectTokens = 12;

    struct Constants {
        __m512i mask[3] = {_mm512_set1_epi8(0x03), _mm512_set1_epi8(0x0c), _mm512_set1_epi8(0x30)};
        __m512i escape_from = _mm512_set1_epi8(static_cast<char>(0xc0));
        __m512i regular = _mm512_load_si512(kTables.regular);
        __m512i escape = _mm512_load_si512(kTables.escape);
        __m512i mended = _mm512_load_si512(kTables.mended);
    };

    template <int>
    static void operands(const uint8_t* step, const Constants& c, __m512i (&o)[5]) {
        const __m512i v = _mm512_loadu_si512(step);
        const __mmask64 escapes = _mm512_cmpge_epu8_mask(v, c.escape_from);
        const __m512i fields = _mm512_permutexvar_epi8(v, c.regular);
        o[0] = _mm512_mask_permutexvar_epi8(v, escapes, v, c.mended);
        o[1] = _mm512_mask_permutexvar_epi8(fields, escapes, v, c.escape);
        TB_UNROLL
        for (int f = 0; f < 3; ++f) o[f + 2] = _mm512_and_si512(o[1], c.mask[f]);
    }

    static void combine(const __m512i (&sums)[5], __m512i (&rows)[5]) {
        rows[0] = sums[2];
        rows[1] = _mm512_srai_epi32(sums[3], 2);
        rows[2] = _mm512_srai_epi32(sums[4], 4);
        const __m512i low = _mm512_add_epi32(_mm512_add_epi32(sums[2], sums[3]), sums[4]);
        rows[3] = _mm512_srai_epi32(_mm512_sub_epi32(sums[1], low), 6);
        const auto times3 = [](__m512i v) { return _mm512_add_epi32(v, _mm512_add_epi32(v, v)); };
        const __m512i p = _mm512_add_epi32(rows[0], times3(rows[1]));
        const __m512i r = _mm512_add_epi32(rows[2], times3(rows[3]));
        const __m512i known = _mm512_add_epi32(p, _mm512_slli_epi32(r, 3));
        rows[4] = _mm512_srai_epi32(_mm512_sub_epi32(sums[0], known), 6);
    }
};

using Core = StreamCore<Decoder, 3>;

void gemv(const tb_product* p) {
    gemv_panels<Format, Core>(p, nullptr);
}
void gemm(const tb_product* p) {
    if (p->m == 1) return gemv(p);
    gemm_lanes<Format, Decoder>(p, nullptr);
}
void accumulate(const tb_product* p) {
    if (p->m == 1) return gemv_panels<Format, Core>(p, p->acc);
    gemm_lanes<Format, Decoder>(p, p->acc);
}

constexpr tb_kernel kKernel = with_prefetch(
    lanes_descriptor<Format>("t5r_avx512vbmi", "avx512vbmi", TB_ISA_AVX512VBMI,
                             "five trits a byte, escapes mended by masked vpermb; vpdpbusd",
                             lanes_scratch<Format, Decoder>, gemv, gemm, accumulate));
constexpr const tb_kernel* kKernels[] = {&kKernel};

}  // namespace

extern "C" const tb_kernel_table tb_table_t5r_avx512vbmi;
const tb_kernel_table tb_table_t5r_avx512vbmi = {TB_ABI_VERSION, sizeof(tb_kernel), 1, kKernels};
