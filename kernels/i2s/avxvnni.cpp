// i2s with AVX-VNNI.
//
// GEMV, per 128 weights (32 bytes, one block), the fields used in place as in avx512vnni.cpp:
//
//   acc[f]  += vpdpbusd(v & mask[f], x[f])       masks 0xC0, 0x30, 0x0C, 0x03
//   sum      = acc0/64 + acc1/16 + acc2/4 + acc3   once, at the end of the row
//
// so 4 vpand and 4 vpdpbusd: 2 operations per 32 weights, on the three vector ports of the cores
// that have this instruction and no AVX-512. Two rows at a time share the activations; 8 sums, 4
// masks and 4 operands are the 16 registers.
//
// Overflow: field 7:6 enters as code * 64 <= 128; a lane adds 4 * 128 * 128 = 2^16 per block, K/128
// times: 512 * K < 2^31 for K < 2^22. The divisions are exact: every term is a multiple.
//
// GEMM: panels of byte codes, see panel.h and dot/avxvnni.h.
#include "kernels/dot/avxvnni.h"

#include "kernels/i2s/panel.h"

namespace {

struct Core {
    static constexpr int kRows = 2;
    static constexpr bool kAsStored = true;

    using View = const int8_t*;
    static View view(const int8_t* x, int64_t, int64_t q) { return x - 32 * q; }

    template <int R, bool Prefetch>
    __attribute__((always_inline)) static void run(const uint8_t* p, int64_t ldp, View x,
                                                   int64_t blocks, int32_t* out) {
        const __m256i mask[4] = {_mm256_set1_epi8(static_cast<char>(0xc0)), _mm256_set1_epi8(0x30),
                                 _mm256_set1_epi8(0x0c), _mm256_set1_epi8(0x03)};
        __m256i acc[R][4], v[R];
        TB_UNROLL
        for (int r = 0; r < R; ++r) {
            TB_UNROLL
            for (int f = 0; f < 4; ++f) acc[r][f] = _mm256_setzero_si256();
        }
        for (; blocks != 0; --blocks, p += kBlockBytes, x += kBlock) {
            TB_UNROLL
            for (int r = 0; r < R; ++r) {
                if (Prefetch) fetch_ahead(p + r * ldp);
                v[r] = load32(p + r * ldp);
            }
            TB_UNROLL
            for (int f = 0; f < 4; ++f) {
                const __m256i xs = load32(x + 32 * f);
                TB_UNROLL
                for (int r = 0; r < R; ++r) dot4(acc[r][f], _mm256_and_si256(v[r], mask[f]), xs);
            }
        }
        __m256i sum[R];
        TB_UNROLL
        for (int r = 0; r < R; ++r) {
            const __m256i high =
                _mm256_add_epi32(_mm256_srai_epi32(acc[r][0], 6), _mm256_srai_epi32(acc[r][1], 4));
            const __m256i low = _mm256_add_epi32(_mm256_srai_epi32(acc[r][2], 2), acc[r][3]);
            sum[r] = _mm256_add_epi32(high, low);
        }
        sum_each<R>(sum, out);
    }
};

struct PanelLoad {
    static __m256i codes(const uint8_t* p) { return load32(p); }
    static __m256i tail(const uint8_t* p, int64_t) { return load32(p); }
};

void product(const tb_product* p) {
    multiply_rows_or_panels<Core, AvxVnniTile<PanelLoad>>(p, nullptr);
}
void accumulate(const tb_product* p) {
    multiply_rows_or_panels<Core, AvxVnniTile<PanelLoad>>(p, p->acc);
}

constexpr tb_kernel kKernel =
    with_prefetch(i2s_descriptor("i2s_avxvnni", "avxvnni", TB_ISA_AVXVNNI,
                                 "bitnet.cpp's 2-bit codes used in place, 256-bit vpdpbusd", 2,
                                 panel_scratch, product, product, accumulate));
constexpr const tb_kernel* kKernels[] = {&kKernel};

}  // namespace

extern "C" const tb_kernel_table tb_table_i2s_avxvnni;
const tb_kernel_table tb_table_i2s_avxvnni = {TB_ABI_VERSION, sizeof(tb_kernel), 1, kKernels};
