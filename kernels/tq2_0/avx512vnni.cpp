// tq2_0 with AVX-512 VNNI. The layout is drawn in layout.h.
//
// GEMV, per block of 256 weights (64 bytes, and 2 of its scale): bytes m and 32 + m have columns
// 32f + m and 128 + 32f + m in their fields f, which are used in place:
//
//   v        = 64 bytes                  fields 1:0 | 3:2 | 5:4 | 7:6
//   acc[f]  += vpdpbusd(v & mask[f], x[f])       masks 0x03, 0x0C, 0x30, 0xC0
//   sum      = acc0 + acc1/4 + acc2/16 + acc3/64   once, at the end of the row
//
// 1 instruction per 32 weights, as for i2s, and as there bound by the ports of vpand and vpdpbusd
// on Intel (64 weights a cycle) and by vpdpbusd on Zen 4, while rows are in cache. Blocks are 66
// bytes apart, so that nearly every load of 64 crosses a cache line: 2 of the 4 that 8 instructions
// leave time for. The activations of a field are brought together once a call, in a copy of x. Four
// rows at a time share the four activation registers: 16 sums, 4 masks and 6 operands of the 32
// registers.
//
// Overflow: field 7:6 enters as code * 64 <= 128; a lane adds 4 * 128 * 128 = 2^16 per 256 weights,
// activations of -128 included, K/256 times: 256 * K < 2^31 for K < 2^23. The divisions are exact:
// every term is a multiple.
//
// GEMM: see dot/panel64.h. Rows are transposed as packed dwords, before the fields are taken apart.
#include "kernels/trit_blocks/gemm_panel.h"

#include "kernels/tq2_0/layout.h"

namespace {

struct Core {
    using Format = Tq20;
    static constexpr int kStreams = 4;

    // Per block: field 0 of both halves, field 1, 2, 3.
    static int64_t arranged_bytes(int64_t k) { return k; }
    static void arrange(const int8_t* x, int64_t k, int8_t* to) {
        for (; k > 0; k -= 256, x += 256, to += 256) {
            const __m512i a = _mm512_load_si512(x), b = _mm512_load_si512(x + 64);
            const __m512i c = _mm512_load_si512(x + 128), d = _mm512_load_si512(x + 192);
            _mm512_store_si512(to, _mm512_shuffle_i64x2(a, c, 0x44));
            _mm512_store_si512(to + 64, _mm512_shuffle_i64x2(a, c, 0xee));
            _mm512_store_si512(to + 128, _mm512_shuffle_i64x2(b, d, 0x44));
            _mm512_store_si512(to + 192, _mm512_shuffle_i64x2(b, d, 0xee));
        }
    }

    template <int R, bool Prefetch>
    __attribute__((always_inline)) static void run(const uint8_t* block, int64_t ldg, int64_t k,
                                                   const int8_t* x, int32_t (&out)[R][1]) {
        const __m512i mask[4] = {_mm512_set1_epi8(0x03), _mm512_set1_epi8(0x0c),
                                 _mm512_set1_epi8(0x30), _mm512_set1_epi8(static_cast<char>(0xc0))};
        __m512i acc[R][4];
        TB_UNROLL
        for (int r = 0; r < R; ++r) {
            TB_UNROLL
            for (int f = 0; f < 4; ++f) acc[r][f] = _mm512_setzero_si512();
        }
        for (; k > 0; k -= 256, block += Tq20::kBlockBytes, x += 256) {
            __m512i v[R];
            TB_UNROLL
            for (int r = 0; r < R; ++r) {
                if (Prefetch) fetch_ahead(block + r * ldg);
                v[r] = _mm512_loadu_si512(block + r * ldg);
            }
            TB_UNROLL
            for (int f = 0; f < 4; ++f) {
                const __m512i xs = _mm512_load_si512(x + 64 * f);
                TB_UNROLL
                for (int r = 0; r < R; ++r) dot4(acc[r][f], _mm512_and_si512(v[r], mask[f]), xs);
            }
        }
        __m512i sum[R];
        TB_UNROLL
        for (int r = 0; r < R; ++r) {
            const __m512i low = _mm512_add_epi32(acc[r][0], _mm512_srai_epi32(acc[r][1], 2));
            const __m512i high =
                _mm512_add_epi32(_mm512_srai_epi32(acc[r][2], 4), _mm512_srai_epi32(acc[r][3], 6));
            sum[r] = _mm512_add_epi32(low, high);
        }
        sum_each<R>(sum, out[0]);
    }
};

struct Unpack {
    // Packed dwords are transposed, then their fields taken apart: dword d of a block has columns
    // 128 (d / 8) + 32 f + 4 (d % 8) .. + 3 in field f.
    static void rows(const tb_shape& s, const uint8_t* packed, int64_t n, int64_t last, int64_t k,
                     int64_t columns, uint8_t* to) {
        const __m512i mask = _mm512_set1_epi8(0x03);
        const uint8_t* row[16];
        for (int64_t i = 0; i < 16; ++i) {
            row[i] = group_of<Tq20>(s, packed, n + i < last ? n + i : last) +
                     k / 256 * Tq20::kBlockBytes;
        }
        for (int64_t c = 0; c < columns; c += 256, to += 256 * 64) {
            __m512i v[16];
            TB_UNROLL_16
            for (int i = 0; i < 16; ++i) {
                v[i] = _mm512_loadu_si512(row[i] + c / 256 * Tq20::kBlockBytes);
            }
            transpose16(v);
            TB_UNROLL_16
            for (int d = 0; d < 16; ++d) {
                uint8_t* t = to + (32 * (d / 8) + d % 8) * 256;
                _mm512_store_si512(t, _mm512_and_si512(v[d], mask));
                _mm512_store_si512(t + 8 * 256, _mm512_and_si512(_mm512_srli_epi16(v[d], 2), mask));
                _mm512_store_si512(t + 16 * 256,
                                   _mm512_and_si512(_mm512_srli_epi16(v[d], 4), mask));
                _mm512_store_si512(t + 24 * 256,
                                   _mm512_and_si512(_mm512_srli_epi16(v[d], 6), mask));
            }
        }
    }
};

void product(const tb_product* p) {
    multiply_groups_or_panels<Core, Unpack>(p, nullptr);
}
void accumulate(const tb_product* p) {
    multiply_groups_or_panels<Core, Unpack>(p, p->acc);
}

constexpr tb_kernel kKernel = with_prefetch(
    trit_blocks_descriptor<Tq20>("tq2_0_avx512vnni", "avx512vnni", TB_ISA_AVX512VNNI,
                                 "llama.cpp's 2-bit codes used in place, vpdpbusd", 4,
                                 arranged_or_panel_scratch<Core>, product, product, accumulate));
constexpr const tb_kernel* kKernels[] = {&kKernel};

}  // namespace

extern "C" const tb_kernel_table tb_table_tq2_0_avx512vnni;
const tb_kernel_table tb_table_tq2_0_avx512vnni = {TB_ABI_VERSION, sizeof(tb_kernel), 1, kKernels};
