// i2s with AVX2.
//
// GEMV, per 128 weights (32 bytes): 1 load, 3 shifts and 4 ands spread the codes, 4 vpmaddubsw
// multiply them with 4 loads of activations, 4 adds: about 3 instructions per 32 weights beyond the
// loads. Two rows at a time share the activations: four would not fit 16 registers. Cold, it is
// bound by memory: each row's stream is prefetched 2 KB ahead, so that arithmetic and memory
// overlap.
//
// Overflow: a vpmaddubsw pair is within 2 * 2 * 128 = 512 and a block adds four of them, so 15
// blocks stay within 15 * 2048 = 30720 in int16 (activations of -128 included) before vpmaddwd
// widens them to int32. bitnet.cpp adds 32 blocks and wraps (PITFALL: same-sign activations).
//
// GEMM: panels of byte codes, see panel.h and dot/avx2.h.
#include "kernels/dot/avx2.h"

#include "kernels/i2s/panel.h"

namespace {

constexpr int64_t kSafeBlocks = 7;

struct Core {
    static constexpr int kRows = 4;
    static constexpr bool kAsStored = true;

    static void arrange(int8_t*, int64_t) {}

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
    __attribute__((always_inline)) static void run(const uint8_t* p, int64_t ldp, const int8_t* x,
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

void gemv(const tb_product* p) {
    gemv_rows<Core>(p, nullptr);
}
void gemm(const tb_product* p) {
    if (p->m == 1) return gemv(p);
    gemm_panels<Avx2Tile<PanelLoad>>(p, nullptr);
}
void accumulate(const tb_product* p) {
    if (p->m == 1) return gemv_rows<Core>(p, p->acc);
    gemm_panels<Avx2Tile<PanelLoad>>(p, p->acc);
}

constexpr tb_kernel kKernel = with_prefetch(
    i2s_descriptor("i2s_avx2", "avx2", TB_ISA_AVX2, "bitnet.cpp's 2-bit codes, vpmaddubsw", 4,
                   panel_scratch, gemv, gemm, accumulate));
constexpr const tb_kernel* kKernels[] = {&kKernel};

}  // namespace

extern "C" const tb_kernel_table tb_table_i2s_avx2;
const tb_kernel_table tb_table_i2s_avx2 = {TB_ABI_VERSION, sizeof(tb_kernel), 1, kKernels};
