// i2s with SSSE3.
//
// GEMV, per 128 weights (32 bytes, two registers), as avx2.cpp does it: v = fields 7:6 | 5:4 | 3:2
// | 1:0, w = v >> 4, and codes are used where two masks leave them:
//
//   by4 += pmaddubsw(w & 0x0C, x0) + pmaddubsw(v & 0x0C, x2)      codes * 4
//   by1 += pmaddubsw(w & 0x03, x1) + pmaddubsw(v & 0x03, x3)
//
// 1 shift, 4 ands, 4 products and 4 adds per 64 weights, and a copy for each and, because these
// instructions overwrite an operand: 8.5 instructions per 32 weights. They are the bound, not
// memory: two rows of 16-byte registers hold the 4 sums that the loop needs.
//
// Overflow: a pmaddubsw pair of by4 is within 2 * 8 * 128 = 2048, four of them a block, so 3 blocks
// stay within 24576 in int16; by1 stays within 6144, and by4 / 4 + by1 within 12288 (activations of
// -128 included) before pmaddwd widens them to int32.
//
// GEMM: panels of byte codes, see panel.h and dot/ssse3.h.
#include "kernels/dot/ssse3.h"

#include "kernels/i2s/panel.h"

namespace {

constexpr int64_t kSafeBlocks = 3;

struct Core {
    static constexpr int kRows = 4;
    static constexpr bool kAsStored = true;

    using View = const int8_t*;
    static View view(const int8_t* x, int64_t, int64_t q) { return x - 32 * q; }

    // R rows of `count` <= kSafeBlocks blocks, added to sum.
    template <int R, bool Prefetch>
    static void some_blocks(const uint8_t* p, int64_t ldp, const int8_t* x, int64_t count,
                            __m128i (&sum)[R]) {
        const __m128i low = _mm_set1_epi8(0x03), high = _mm_set1_epi8(0x0c);
        __m128i by1[R], by4[R];
        TB_UNROLL
        for (int r = 0; r < R; ++r) by1[r] = by4[r] = _mm_setzero_si128();
        for (const uint8_t* end = p + count * kBlockBytes; p != end;) {
            if (Prefetch) {
                TB_UNROLL
                for (int r = 0; r < R; ++r) fetch_ahead(p + r * ldp);
            }
            for (int half = 0; half < 2; ++half, p += 16, x += 16) {
                TB_UNROLL
                for (int r = 0; r < R; ++r) {
                    const __m128i v = load16(p + r * ldp);
                    const __m128i w = _mm_srli_epi16(v, 4);
                    multiply_add(by4[r], _mm_and_si128(w, high), x);
                    multiply_add(by1[r], _mm_and_si128(w, low), x + 32);
                    multiply_add(by4[r], _mm_and_si128(v, high), x + 64);
                    multiply_add(by1[r], _mm_and_si128(v, low), x + 96);
                }
            }
            x += kBlock - 32;
        }
        const __m128i ones = _mm_set1_epi16(1);
        TB_UNROLL
        for (int r = 0; r < R; ++r) {
            const __m128i both = _mm_add_epi16(_mm_srai_epi16(by4[r], 2), by1[r]);
            sum[r] = _mm_add_epi32(sum[r], _mm_madd_epi16(both, ones));
        }
    }

    template <int R, bool Prefetch>
    __attribute__((always_inline)) static void run(const uint8_t* p, int64_t ldp, View x,
                                                   int64_t blocks, int32_t* out) {
        __m128i sum[R];
        TB_UNROLL
        for (int r = 0; r < R; ++r) sum[r] = _mm_setzero_si128();
        for (; blocks > 0; blocks -= kSafeBlocks) {
            const int64_t count = blocks < kSafeBlocks ? blocks : kSafeBlocks;
            some_blocks<R, Prefetch>(p, ldp, x, count, sum);
            p += count * kBlockBytes;
            x += count * kBlock;
        }
        sum_each<R>(sum, out);
    }
};

struct PanelLoad {
    static __m128i codes(const uint8_t* p) { return load16(p); }
};

void product(const tb_product* p) {
    multiply_rows_or_panels<Core, Ssse3Tile<PanelLoad>>(p, nullptr);
}
void accumulate(const tb_product* p) {
    multiply_rows_or_panels<Core, Ssse3Tile<PanelLoad>>(p, p->acc);
}

constexpr tb_kernel kKernel = with_prefetch(
    i2s_descriptor("i2s_ssse3", "ssse3", TB_ISA_SSSE3, "bitnet.cpp's 2-bit codes, pmaddubsw", 4,
                   panel_scratch, product, product, accumulate));
constexpr const tb_kernel* kKernels[] = {&kKernel};

}  // namespace

extern "C" const tb_kernel_table tb_table_i2s_ssse3;
const tb_kernel_table tb_table_i2s_ssse3 = {TB_ABI_VERSION, sizeof(tb_kernel), 1, kKernels};
