// i2s with AVX2.
//
// GEMV, per 128 weights (32 bytes): v = fields 7:6 | 5:4 | 3:2 | 1:0, w = v >> 4, and codes are
// used where two masks leave them, which takes 1 shift in place of 3:
//
//   by4 += vpmaddubsw(w & 0x0C, x0) + vpmaddubsw(v & 0x0C, x2)      codes * 4
//   by1 += vpmaddubsw(w & 0x03, x1) + vpmaddubsw(v & 0x03, x3)
//
// 1 load, 1 shift, 4 ands, 4 products with activations from L1, 4 adds: 3.25 vector instructions
// per 32 weights, beside 0.15 to widen the sums. They are the bound while rows are in cache: 4
// vector pipes on Zen 4, 3 on Intel. Four rows are walked at a time; 8 sums, 2 masks and 3 operands
// fit the 16 registers.
//
// Overflow: a vpmaddubsw pair of by4 is within 2 * 8 * 128 = 2048 and a block adds two, so 7 blocks
// stay within 28672 in int16; by1 stays within 7168, and by4 / 4 + by1 within 14336 (activations of
// -128 included) before vpmaddwd widens them to int32. The division is exact: every term of by4 is
// a multiple of 4. bitnet.cpp adds 32 blocks and wraps (PITFALL: same-sign activations).
//
// GEMM: panels of byte codes, see panel.h and dot/avx2.h.
//
// i2s_avx2_bitnet, the second kernel of this file, is bitnet.cpp's own ways: see strategies.h. It
// comes first in the table, since the last kernel of a layout is the one taken where none is named.
#include "kernels/dot/avx2.h"

#include "kernels/i2s/panel.h"
#include "kernels/i2s/strategies.h"

namespace {

constexpr int64_t kSafeBlocks = 7;

struct Core {
    static constexpr int kRows = 4;
    static constexpr bool kAsStored = true;

    using View = const int8_t*;
    static View view(const int8_t* x, int64_t, int64_t q) { return x - 32 * q; }

    // R rows of `count` <= kSafeBlocks blocks, added to sum.
    template <int R, bool Prefetch>
    static void some_blocks(const uint8_t* p, int64_t ldp, const int8_t* x, int64_t count,
                            __m256i (&sum)[R]) {
        const __m256i low = _mm256_set1_epi8(0x03), high = _mm256_set1_epi8(0x0c);
        __m256i by1[R], by4[R];
        TB_UNROLL
        for (int r = 0; r < R; ++r) by1[r] = by4[r] = _mm256_setzero_si256();
        for (const uint8_t* end = p + count * kBlockBytes; p != end; p += kBlockBytes) {
            TB_UNROLL
            for (int r = 0; r < R; ++r) {
                if (Prefetch) fetch_ahead(p + r * ldp);
                const __m256i v = load32(p + r * ldp);
                const __m256i w = _mm256_srli_epi16(v, 4);
                multiply_add(by4[r], _mm256_and_si256(w, high), x);
                multiply_add(by1[r], _mm256_and_si256(w, low), x + 32);
                multiply_add(by4[r], _mm256_and_si256(v, high), x + 64);
                multiply_add(by1[r], _mm256_and_si256(v, low), x + 96);
            }
            x += kBlock;
        }
        const __m256i ones = _mm256_set1_epi16(1);
        TB_UNROLL
        for (int r = 0; r < R; ++r) {
            const __m256i both = _mm256_add_epi16(_mm256_srai_epi16(by4[r], 2), by1[r]);
            sum[r] = _mm256_add_epi32(sum[r], _mm256_madd_epi16(both, ones));
        }
    }

    template <int R, bool Prefetch>
    __attribute__((always_inline)) static void run(const uint8_t* p, int64_t ldp, View x,
                                                   int64_t blocks, int32_t* out) {
        __m256i sum[R];
        TB_UNROLL
        for (int r = 0; r < R; ++r) sum[r] = _mm256_setzero_si256();
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
    static __m256i codes(const uint8_t* p) { return load32(p); }
    static __m256i tail(const uint8_t* p, int64_t) { return load32(p); }
};

void product(const tb_product* p) {
    multiply_rows_or_panels<Core, Avx2Tile<PanelLoad>>(p, nullptr);
}
void accumulate(const tb_product* p) {
    multiply_rows_or_panels<Core, Avx2Tile<PanelLoad>>(p, p->acc);
}

constexpr tb_kernel kKernel = with_prefetch(
    i2s_descriptor("i2s_avx2", "avx2", TB_ISA_AVX2, "bitnet.cpp's 2-bit codes, vpmaddubsw", 4,
                   panel_scratch, product, product, accumulate));

void strategy_product(const tb_product* p) {
    StrategyCall<Core>(p, nullptr).run();
}
void strategy_accumulate(const tb_product* p) {
    StrategyCall<Core>(p, p->acc).run();
}

constexpr tb_kernel kBitnet = with_strategies(i2s_descriptor(
    "i2s_avx2_bitnet", "avx2", TB_ISA_AVX2, "bitnet.cpp's three strategies, blocks as tiles", 8,
    strategies_scratch, strategy_product, strategy_product, strategy_accumulate));
constexpr const tb_kernel* kKernels[] = {&kBitnet, &kKernel};

}  // namespace

extern "C" const tb_kernel_table tb_table_i2s_avx2;
const tb_kernel_table tb_table_i2s_avx2 = {TB_ABI_VERSION, sizeof(tb_kernel), 2, kKernels};
