// i2s with AVX-512 VNNI.
//
// GEMV, per 256 weights (64 bytes, two blocks):
//
//   v        = 64 bytes                  fields 7:6 | 5:4 | 3:2 | 1:0, used in place:
//   acc[f]  += vpdpbusd(v & mask[f], x[f])       masks 0xC0, 0x30, 0x0C, 0x03
//   sum      = acc0/64 + acc1/16 + acc2/4 + acc3   once, at the end of the row
//
// so a field costs one vpand and one vpdpbusd and no shift: 8 operations on the two vector ports
// for 256 weights, 1 per 32. Four rows at a time share the four activation registers (16
// accumulators + 4 activations + 4 masks of 32 registers). Each row's stream is prefetched 2 KB
// ahead, so that a cold row overlaps memory with arithmetic.
//
// Overflow: field 7:6 enters as code * 64 <= 128; a lane adds 4 * 128 * 128 = 2^16 per 256 weights,
// K/256 times: 256 * K < 2^31 for K < 2^23. The divisions are exact: every term is a multiple.
//
// GEMM: panels of byte codes, see panel.h and dot/avx512vnni.h.
#include "kernels/dot/avx512vnni.h"

#include "kernels/i2s/panel.h"

namespace {

struct Core {
    static constexpr int kRows = 4;
    static constexpr bool kAsStored = false;

    // Two blocks at a time: the 32 activations of field f in both become one register.
    static void arrange(int8_t* x, int64_t blocks) {
        for (int64_t b = 0; b < blocks; b += 2) {
            __m256i part[8];
            TB_UNROLL
            for (int i = 0; i < 8; ++i) {
                part[i] =
                    _mm256_loadu_si256(reinterpret_cast<const __m256i*>(x + b * kBlock + 32 * i));
            }
            TB_UNROLL
            for (int f = 0; f < 4; ++f) {
                _mm512_storeu_si512(
                    x + b * kBlock + 64 * f,
                    _mm512_inserti64x4(_mm512_castsi256_si512(part[f]), part[f + 4], 1));
            }
        }
    }

    template <int R>
    static void step(__m512i (&acc)[R][4], const __m512i (&v)[R], const int8_t* x) {
        const __m512i mask[4] = {_mm512_set1_epi8(static_cast<char>(0xc0)), _mm512_set1_epi8(0x30),
                                 _mm512_set1_epi8(0x0c), _mm512_set1_epi8(0x03)};
        TB_UNROLL
        for (int f = 0; f < 4; ++f) {
            const __m512i xs = _mm512_loadu_si512(x + 64 * f);
            TB_UNROLL
            for (int r = 0; r < R; ++r) dot4(acc[r][f], _mm512_and_si512(v[r], mask[f]), xs);
        }
    }

    template <int R, bool Prefetch>
    __attribute__((always_inline)) static void run(const uint8_t* p, int64_t ldp, const int8_t* x,
                                                   int64_t blocks, int32_t* out) {
        __m512i acc[R][4], v[R];
        TB_UNROLL
        for (int r = 0; r < R; ++r) {
            TB_UNROLL
            for (int f = 0; f < 4; ++f) acc[r][f] = _mm512_setzero_si512();
        }
        for (; blocks >= 2; blocks -= 2, p += 64, x += 256) {
            TB_UNROLL
            for (int r = 0; r < R; ++r) {
                if (Prefetch) fetch_ahead(p + r * ldp);
                v[r] = _mm512_loadu_si512(p + r * ldp);
            }
            step<R>(acc, v, x);
        }
        if (blocks != 0) {  // an odd last block: half a register
            TB_UNROLL
            for (int r = 0; r < R; ++r) {
                v[r] = _mm512_zextsi256_si512(
                    _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p + r * ldp)));
            }
            step<R>(acc, v, x);
        }
        __m512i sum[R];
        TB_UNROLL
        for (int r = 0; r < R; ++r) {
            const __m512i high =
                _mm512_add_epi32(_mm512_srai_epi32(acc[r][0], 6), _mm512_srai_epi32(acc[r][1], 4));
            const __m512i low = _mm512_add_epi32(_mm512_srai_epi32(acc[r][2], 2), acc[r][3]);
            sum[r] = _mm512_add_epi32(high, low);
        }
        sum_each<R>(sum, out);
    }
};

struct PanelLoad {
    static __m512i codes(const uint8_t* p) { return _mm512_loadu_si512(p); }
    static __m512i tail(const uint8_t* p, int64_t) { return _mm512_loadu_si512(p); }
};

void gemv(const tb_product* p) {
    gemv_rows<Core>(p, nullptr);
}
void gemm(const tb_product* p) {
    if (p->m == 1) return gemv(p);
    gemm_panels<Avx512VnniTile<PanelLoad>>(p, nullptr);
}
void accumulate(const tb_product* p) {
    if (p->m == 1) return gemv_rows<Core>(p, p->acc);
    gemm_panels<Avx512VnniTile<PanelLoad>>(p, p->acc);
}

constexpr tb_kernel kKernel = with_prefetch(i2s_descriptor(
    "i2s_avx512vnni", "avx512vnni", TB_ISA_AVX512VNNI,
    "bitnet.cpp's 2-bit codes used in place, vpdpbusd", 4, panel_scratch, gemv, gemm, accumulate));
constexpr const tb_kernel* kKernels[] = {&kKernel};

}  // namespace

extern "C" const tb_kernel_table tb_table_i2s_avx512vnni;
const tb_kernel_table tb_table_i2s_avx512vnni = {TB_ABI_VERSION, sizeof(tb_kernel), 1, kKernels};
