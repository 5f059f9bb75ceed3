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

constexpr int64_t kSafeBlocks = 15;
constexpr int64_t kPrefetchBytes = 2048;

struct Core {
    static constexpr int kRows = 2;

    template <int R>
    static void run(const uint8_t* p, int64_t ldp, const int8_t* x, int64_t blocks, int32_t* out) {
        const __m256i mask = _mm256_set1_epi8(3);
        const __m256i ones = _mm256_set1_epi16(1);
        __m256i wide[R];
        TB_UNROLL
        for (int r = 0; r < R; ++r) wide[r] = _mm256_setzero_si256();
        for (int64_t begin = 0; begin < blocks; begin += kSafeBlocks) {
            const int64_t end = begin + kSafeBlocks < blocks ? begin + kSafeBlocks : blocks;
            __m256i narrow[R];
            TB_UNROLL
            for (int r = 0; r < R; ++r) narrow[r] = _mm256_setzero_si256();
            for (int64_t b = begin; b < end; ++b) {
                const int8_t* xb = x + b * kBlock;
                const __m256i x0 = load32(xb), x1 = load32(xb + 32);
                const __m256i x2 = load32(xb + 64), x3 = load32(xb + 96);
                TB_UNROLL
                for (int r = 0; r < R; ++r) {
                    const uint8_t* pr = p + r * ldp + b * kBlockBytes;
                    _mm_prefetch(reinterpret_cast<const char*>(pr + kPrefetchBytes), _MM_HINT_T0);
                    const __m256i v = load32(pr);
                    const __m256i c0 = _mm256_and_si256(_mm256_srli_epi16(v, 6), mask);
                    const __m256i c1 = _mm256_and_si256(_mm256_srli_epi16(v, 4), mask);
                    const __m256i c2 = _mm256_and_si256(_mm256_srli_epi16(v, 2), mask);
                    const __m256i c3 = _mm256_and_si256(v, mask);
                    const __m256i a = _mm256_add_epi16(_mm256_maddubs_epi16(c0, x0),
                                                       _mm256_maddubs_epi16(c1, x1));
                    const __m256i c = _mm256_add_epi16(_mm256_maddubs_epi16(c2, x2),
                                                       _mm256_maddubs_epi16(c3, x3));
                    narrow[r] = _mm256_add_epi16(narrow[r], _mm256_add_epi16(a, c));
                }
            }
            TB_UNROLL
            for (int r = 0; r < R; ++r) {
                wide[r] = _mm256_add_epi32(wide[r], _mm256_madd_epi16(narrow[r], ones));
            }
        }
        TB_UNROLL
        for (int r = 0; r < R; ++r) out[r] = sum_lanes(wide[r]);
    }
};

struct PanelLoad {
    static __m256i codes(const uint8_t* p, int64_t) { return load32(p); }
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

constexpr tb_kernel kKernel =
    i2s_descriptor("i2s_avx2", "avx2", TB_ISA_AVX2, "bitnet.cpp's 2-bit codes, vpmaddubsw", 4,
                   panel_scratch, gemv, gemm, accumulate);
constexpr const tb_kernel* kKernels[] = {&kKernel};

}  // namespace

extern "C" const tb_kernel_table tb_table_i2s_avx2;
const tb_kernel_table tb_table_i2s_avx2 = {TB_ABI_VERSION, sizeof(tb_kernel), 1, kKernels};
