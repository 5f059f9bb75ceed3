// tq2_0 with AVX2. The layout is drawn in layout.h.
//
// GEMV, per 128 weights (32 bytes): v = fields 7:6 | 5:4 | 3:2 | 1:0, w = v >> 4, and codes are
// used where two masks leave them, which takes 1 shift in place of 3:
//
//   by1 += vpmaddubsw(v & 0x03, x0) + vpmaddubsw(w & 0x03, x2)
//   by4 += vpmaddubsw(v & 0x0C, x1) + vpmaddubsw(w & 0x0C, x3)      codes * 4
//
// 1 load, 1 shift, 4 ands, 4 products with activations from L1, 4 adds: 3.25 vector instructions
// per 32 weights, beside 0.1 to widen the sums. They are the bound while rows are in cache: 4
// vector pipes on Zen 4, 3 on Intel. Four rows are walked at a time; 8 sums, 2 masks and 3 operands
// fit the 16 registers.
//
// As published (q8k), the sums of every block are finished: widened, added across (four rows share
// three vphaddd), converted, and multiplied with the scales of the block: 1 more per 32 weights.
//
// Overflow: a vpmaddubsw pair of by4 is within 2 * 8 * 128 = 2048 and a block adds four, so 4
// blocks stay within 32768, and reach it only as -32768, which int16 holds (activations of -128
// included); by1 stays within 8192, and by4 / 4 + by1 within 16384 before vpmaddwd widens them to
// int32. The division is exact: every term of by4 is a multiple of 4.
//
// GEMM: panels of byte codes, see trit_blocks/gemm_codes.h and dot/avx2.h.
#include "kernels/trit_blocks/tq_avx2.h"

#include "kernels/tq2_0/layout.h"

namespace {

struct Blocks {
    using Format = Tq20;
    static constexpr int64_t kSafeBlocks = 4;

    template <int R>
    struct Sums {
        __m256i by1[R], by4[R];
        Sums() {
            TB_UNROLL
            for (int r = 0; r < R; ++r) by1[r] = by4[r] = _mm256_setzero_si256();
        }
    };

    template <int R, bool Prefetch, bool First = false>
    __attribute__((always_inline)) static void add(Sums<R>& sums, const uint8_t* block, int64_t ldg,
                                                   const int8_t* x) {
        const __m256i low = _mm256_set1_epi8(0x03), high = _mm256_set1_epi8(0x0c);
        TB_UNROLL
        for (int half = 0; half < 2; ++half, block += 32, x += 128) {
            TB_UNROLL
            for (int r = 0; r < R; ++r) {
                if (Prefetch) fetch_ahead(block + r * ldg);
                const __m256i v = load32(block + r * ldg);
                const __m256i w = _mm256_srli_epi16(v, 4);
                if (First && half == 0) {
                    sums.by1[r] = _mm256_maddubs_epi16(_mm256_and_si256(v, low), load32(x));
                    sums.by4[r] = _mm256_maddubs_epi16(_mm256_and_si256(v, high), load32(x + 32));
                } else {
                    multiply_add(sums.by1[r], _mm256_and_si256(v, low), x);
                    multiply_add(sums.by4[r], _mm256_and_si256(v, high), x + 32);
                }
                multiply_add(sums.by1[r], _mm256_and_si256(w, low), x + 64);
                multiply_add(sums.by4[r], _mm256_and_si256(w, high), x + 96);
            }
        }
    }

    template <int R>
    static void widen(const Sums<R>& sums, __m256i (&sum)[R]) {
        const __m256i ones = _mm256_set1_epi16(1);
        TB_UNROLL
        for (int r = 0; r < R; ++r) {
            const __m256i both = _mm256_add_epi16(_mm256_srai_epi16(sums.by4[r], 2), sums.by1[r]);
            sum[r] = _mm256_add_epi32(sum[r], _mm256_madd_epi16(both, ones));
        }
    }
};

constexpr tb_kernel kKernel = with_prefetch(trit_blocks_descriptor<Tq20>(
    "tq2_0_avx2", "avx2", TB_ISA_AVX2, "llama.cpp's 2-bit codes, vpmaddubsw", 4, codes_scratch,
    tq_product<Blocks>, tq_product<Blocks>, tq_accumulate<Blocks>));
constexpr tb_kernel kPublished = with_prefetch(q8k_descriptor<Tq20>(
    "tq2_0_avx2_q8k", "avx2", TB_ISA_AVX2, "llama.cpp's 2-bit codes x its Q8_K, vpmaddubsw", 4,
    q8k_scratch, q8k_gemv<Blocks>, q8k_gemm<Blocks>));
// The exact one last: it is taken where none is named.
constexpr const tb_kernel* kKernels[] = {&kPublished, &kKernel};

}  // namespace

extern "C" const tb_kernel_table tb_table_tq2_0_avx2;
const tb_kernel_table tb_table_tq2_0_avx2 = {TB_ABI_VERSION, sizeof(tb_kernel), 2, kKernels};
