// tq1_0 with AVX2. The layout is drawn in layout.h.
//
// The five codes of 32 bytes are made two at a time, in 16 instructions
// (trit_blocks/digits_avx2.h), and there are 10 for their products. The 16 bytes of a block that
// hold 80 weights are done for two rows in the halves of a register, and so are the 4 bytes with 16
// weights: one broadcast, multiplied by 1, 3, 9 and 27 as it goes along.
//
// Two rows of a block are 91 vector instructions, 5.7 per 32 weights, 35 of them vpmaddubsw (2
// pipes on Zen 4 and Intel): 23 cycles on the 4 vector pipes of Zen 4, 31 on the 3 of Intel, for
// 108 bytes. Arithmetic is the bound everywhere.
//
// As published (q8k), the sums of every block are finished: 1 more per 32 weights.
//
// Overflow: v * 9 is at most 2295. A pair of products is within 2 * 2 * 128 = 512 (activations of
// -128 included), of which a block adds at most 6 to a sum: 10 blocks stay within 30720 in int16.
//
// GEMM: panels of byte codes, see trit_blocks/gemm_codes.h and dot/avx2.h.
#include "kernels/trit_blocks/digits_avx2.h"
#include "kernels/trit_blocks/tq_avx2.h"

#include "kernels/tq1_0/layout.h"

namespace {

// acc += codes . x in int16, or = where it is the first.
template <bool First>
inline void add_products(__m256i& acc, __m256i codes, __m256i x) {
    if (First) {
        acc = _mm256_maddubs_epi16(codes, x);
    } else {
        multiply_add(acc, codes, x);
    }
}
template <bool First>
inline void add_products(__m256i& acc, __m256i codes, const int8_t* x) {
    if (First) {
        acc = _mm256_maddubs_epi16(codes, load32(x));
    } else {
        multiply_add(acc, codes, x);
    }
}

// acc += the five codes of 32 bytes times x(0), ..., x(4).
template <bool First, class Activations>
inline void add_five(__m256i& acc, __m256i bytes, const Activations& x) {
    Digits digits(bytes);
    add_products<First>(acc, digits.take<0>(), x(0));
    add_products<false>(acc, digits.take<1>(), x(1));
    add_products<false>(acc, digits.take<2>(), x(2));
    add_products<false>(acc, digits.take<3>(), x(3));
    add_products<false>(acc, digits.take<4>(), x(4));
}

inline __m256i twice(const int8_t* x) {
    return _mm256_broadcastsi128_si256(_mm_load_si128(reinterpret_cast<const __m128i*>(x)));
}

struct Blocks {
    using Format = Tq10;
    static constexpr int64_t kSafeBlocks = 10;

    template <int R>
    struct Sums {
        static constexpr int kPairs = (R + 1) / 2;
        __m256i whole[R], halves[kPairs];
        Sums() {
            TB_UNROLL
            for (int r = 0; r < R; ++r) whole[r] = _mm256_setzero_si256();
            TB_UNROLL
            for (int i = 0; i < kPairs; ++i) halves[i] = _mm256_setzero_si256();
        }
    };

    // The 16 bytes and the 4 behind the first 32 of two rows; a single one is taken twice.
    template <bool First>
    static void add_pair(__m256i& acc, const uint8_t* a, const uint8_t* b, const int8_t* x) {
        const auto* low = reinterpret_cast<const __m128i*>(a + 32);
        const auto* high = reinterpret_cast<const __m128i*>(b + 32);
        const __m256i five = _mm256_inserti128_si256(_mm256_castsi128_si256(_mm_loadu_si128(low)),
                                                     _mm_loadu_si128(high), 1);
        add_five<First>(acc, five, [x](int n) { return twice(x + 160 + 16 * n); });

        // Byte i is digit i / 4 of byte i % 4.
        const __m256i by_even =
            table(_mm_setr_epi8(1, 0, 1, 0, 3, 0, 3, 0, 9, 0, 9, 0, 27, 0, 27, 0));
        const __m256i by_odd =
            table(_mm_setr_epi8(0, 1, 0, 1, 0, 3, 0, 3, 0, 9, 0, 9, 0, 27, 0, 27));
        int32_t of_a, of_b;
        memcpy(&of_a, a + 48, sizeof of_a);
        memcpy(&of_b, b + 48, sizeof of_b);
        const __m256i four =
            _mm256_blend_epi32(_mm256_set1_epi32(of_a), _mm256_set1_epi32(of_b), 0xf0);
        Rest rest(four, by_even, by_odd);
        rest.multiply(_mm256_set1_epi16(3));
        add_products<false>(acc, rest.carried(), twice(x + 240));
    }

    template <int R, bool Prefetch, bool First = false>
    __attribute__((always_inline)) static void add(Sums<R>& sums, const uint8_t* block, int64_t ldg,
                                                   const int8_t* x) {
        TB_UNROLL
        for (int r = 0; r < R; ++r) {
            if (Prefetch) fetch_ahead(block + r * ldg);
            add_five<First>(sums.whole[r], load32(block + r * ldg),
                            [x](int n) { return x + 32 * n; });
        }
        TB_UNROLL
        for (int r = 0; r < R; r += 2) {
            const uint8_t* next = block + (r + 1 < R ? r + 1 : r) * ldg;
            add_pair<First>(sums.halves[r / 2], block + r * ldg, next, x);
        }
    }

    template <int R>
    static void widen(const Sums<R>& sums, __m256i (&sum)[R]) {
        const __m256i ones = _mm256_set1_epi16(1), zero = _mm256_setzero_si256();
        TB_UNROLL
        for (int r = 0; r < R; ++r) {
            const __m256i of_pair = _mm256_madd_epi16(sums.halves[r / 2], ones);
            const __m256i half = r % 2 == 0 ? _mm256_blend_epi32(of_pair, zero, 0xf0)
                                            : _mm256_blend_epi32(of_pair, zero, 0x0f);
            const __m256i both = _mm256_add_epi32(_mm256_madd_epi16(sums.whole[r], ones), half);
            sum[r] = _mm256_add_epi32(sum[r], both);
        }
    }
};

constexpr tb_kernel kKernel = with_prefetch(trit_blocks_descriptor<Tq10>(
    "tq1_0_avx2", "avx2", TB_ISA_AVX2,
    "llama.cpp's five trits in a byte, two at a time, vpmaddubsw", 4, codes_scratch,
    tq_product<Blocks>, tq_product<Blocks>, tq_accumulate<Blocks>));
constexpr tb_kernel kPublished = with_prefetch(
    q8k_descriptor<Tq10>("tq1_0_avx2_q8k", "avx2", TB_ISA_AVX2,
                         "llama.cpp's five trits in a byte x its Q8_K, two at a time, vpmaddubsw",
                         4, q8k_scratch, q8k_gemv<Blocks>, q8k_gemm<Blocks>));
// The exact one last: it is taken where none is named.
constexpr const tb_kernel* kKernels[] = {&kPublished, &kKernel};

}  // namespace

extern "C" const tb_kernel_table tb_table_tq1_0_avx2;
const tb_kernel_table tb_table_tq1_0_avx2 = {TB_ABI_VERSION, sizeof(tb_kernel), 2, kKernels};
