// tl2 with AVX2.
//
// Up to 16 tokens, per 32 rows x 3 columns, after the paper: a lookup of 14 sums in two byte tables
// (vpshufb), but these are the two digits of the sum in base 31, both signed,
//
//   sum = 31 * high + low,   |high| <= 12, |low| <= 15
//
// so that the sign of the weights is one vpsignb for each digit, and 8 lookups are added as bytes
// before they are widened: vpunpck pairs the digits of a row, vpmaddubsw with (31, 1) makes int16.
// (bitnet.cpp stores the two bytes of an int16 and widens, then negates, every lookup.)
//
//   1.5 to take an index, 0.75 to shift a sign up and 1 to make signs bytes, for all tokens; for
//   each 2 vpshufb, 2 vpsignb, 2 vpaddb, 0.75 to widen: 10 instructions for 96 weights with one
//   token, 3.3 per 32 weights, and 7.6 (2.5) with four, beside 2.6 loads.
//
// The bound while weights are in cache: 4 vector pipes on Zen 4, 3 on Intel. Sign words hold rows i
// and i + 16, and the index bytes have the middle groups of rows exchanged, so that signs stay in
// their lane (four_signs in unpack256.h) and so do the widened sums: rows 0..15 and 16..31.
//
// More tokens: gemm256.h.
//
// Overflow: 8 digits are within 8 * 15 = 120 (low) and 8 * 12 = 96 (high) in int8; the BK / 3 <= 80
// sums of 3 * 128 within 30720 in int16 (layout.h computes the limit), 16 pairs of 256 within 4096;
// then int32.
// Source: microsoft/BitNet (TL2), arXiv:2502.11880.
#include "kernels/tl2/gemm256.h"
#include "kernels/tl2/tables.h"

namespace {

// 16 high digits, then 16 low ones.
struct DigitEntry {
    static constexpr int64_t kBytes = 32;
    static constexpr int64_t kMostTokens = 16;

    // To nearest: 1057 / 32768 is 1 / 31 to 1e-6, and no sum within 384 is that near a tie.
    static void digits(const int16_t* sums, uint8_t* to) {
        const __m256i v = load32(sums);
        const __m256i high = _mm256_mulhrs_epi16(v, _mm256_set1_epi16(1057));
        const __m256i low = _mm256_sub_epi16(v, _mm256_mullo_epi16(high, _mm256_set1_epi16(31)));
        const __m256i mixed = _mm256_packs_epi16(high, low);
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), _mm256_permute4x64_epi64(mixed, 0xd8));
    }

    static void triple(const int8_t* x, uint8_t* to) {
        int16_t sums[32];
        WordEntry::triple(x, reinterpret_cast<uint8_t*>(sums));
        digits(sums, to);
    }

    static void pair(int8_t x0, int8_t x1, uint8_t* to) {
        int16_t sums[32];
        WordEntry::pair(x0, x1, reinterpret_cast<uint8_t*>(sums));
        digits(sums, to);
    }
};

// 31 * high + low in int16: rows 0..15 and 16..31.
struct Sums16 {
    __m256i lower = _mm256_setzero_si256(), upper = _mm256_setzero_si256();

    void add(__m256i high, __m256i low) {
        const __m256i weights = _mm256_set1_epi16(0x011f);
        const __m256i a = _mm256_unpacklo_epi8(high, low), b = _mm256_unpackhi_epi8(high, low);
        lower = _mm256_add_epi16(lower, _mm256_maddubs_epi16(weights, a));
        upper = _mm256_add_epi16(upper, _mm256_maddubs_epi16(weights, b));
    }

    static void widen(__m128i eight, int32_t* sums) {
        auto* to = reinterpret_cast<__m256i*>(sums);
        _mm256_store_si256(to,
                           _mm256_add_epi32(_mm256_load_si256(to), _mm256_cvtepi16_epi32(eight)));
    }

    void widen(int32_t* sums) const {
        widen(_mm256_castsi256_si128(lower), sums);
        widen(_mm256_extracti128_si256(lower, 1), sums + 8);
        widen(_mm256_castsi256_si128(upper), sums + 16);
        widen(_mm256_extracti128_si256(upper, 1), sums + 24);
    }
};

// As instructions, because compilers add in an order of their own and run out of registers.
inline void look_up_add(__m256i& digits, __m256i table, __m256i index, __m256i minus) {
    __m256i found;
    asm("vpshufb %3, %2, %1\n\tvpsignb %4, %1, %1\n\tvpaddb %1, %0, %0"
        : "+x"(digits), "=&x"(found)
        : "x"(table), "x"(index), "x"(minus));
}
inline void look_up_add(__m256i& digits, __m256i table, __m256i index) {
    __m256i found;
    asm("vpshufb %3, %2, %1\n\tvpaddb %1, %0, %0"
        : "+x"(digits), "=&x"(found)
        : "x"(table), "x"(index));
}

struct Core {
    using Entry = DigitEntry;
    static constexpr int kTokens = 4;
    template <int T>
    static constexpr int kBlocks = 1;

    template <int R, int T>
    static void triples(Tl2Blocks at, const uint8_t* tables, int64_t of_token, int64_t ahead,
                        int32_t* sums) {
        static_assert(R == 1);
        Sums16 wide[T];
        for (int64_t g = at.groups; g != 0; --g) {
            __builtin_prefetch(at.index + ahead);
            __builtin_prefetch(at.index + ahead + 64);
            __builtin_prefetch(at.sign + ahead / 4);
            const __m256i words = load32(at.sign);
            __m256i high[T], low[T], signs = words;
            TB_UNROLL
            for (int t = 0; t < T; ++t) high[t] = low[t] = _mm256_setzero_si256();
            TB_UNROLL
            for (int i = 0; i < 8; ++i) {
                if (i % 4 == 0) signs = four_signs(words, i);
                const __m256i minus = _mm256_slli_epi16(signs, 2 * (i % 4));
                const __m256i index = nibbles(load32(at.index + i / 2 * 32), i % 2 == 0);
                TB_UNROLL
                for (int t = 0; t < T; ++t) {
                    const uint8_t* table = tables + t * of_token + 32 * i;
                    look_up_add(high[t], load16_twice(table), index, minus);
                    look_up_add(low[t], load16_twice(table + 16), index, minus);
                }
            }
            TB_UNROLL
            for (int t = 0; t < T; ++t) wide[t].add(high[t], low[t]);
            at.index += 128;
            at.sign += 32;
            tables += 8 * Entry::kBytes;
        }
        for (int t = 0; t < T; ++t) wide[t].widen(sums + t * kMaxBm);
    }

    template <int T>
    static void pairs(const uint8_t* bytes, const uint8_t* tables, int64_t of_token,
                      int32_t* sums) {
        for (int t = 0; t < T; ++t, tables += of_token, sums += kMaxBm)
            pairs_of(bytes, tables, sums);
    }

    static void pairs_of(const uint8_t* bytes, const uint8_t* tables, int32_t* sums) {
        Sums16 wide;
        for (int half = 0; half < 2; ++half, bytes += 128, tables += 8 * Entry::kBytes) {
            __m256i high = _mm256_setzero_si256(), low = high;
            TB_UNROLL
            for (int i = 0; i < 8; ++i) {
                const __m256i index = nibbles(load32(bytes + i / 2 * 32), i % 2 == 0);
                look_up_add(high, load16_twice(tables + 32 * i), index);
                look_up_add(low, load16_twice(tables + 32 * i + 16), index);
            }
            wide.add(high, low);
        }
        wide.widen(sums);
    }
};

size_t scratch(const tb_shape* s, const tb_tile* tile, int64_t m) {
    return m <= DigitEntry::kMostTokens ? 0 : gemm256_scratch(s, tile, m);
}

void product(const tb_product* p, int32_t* acc) {
    if (p->m <= DigitEntry::kMostTokens) return tl2_look_up<Core>(p, acc);
    gemm256(p, acc);
}
void multiply(const tb_product* p) {
    product(p, nullptr);
}
void accumulate(const tb_product* p) {
    product(p, p->acc);
}

constexpr tb_kernel kKernel = with_tables<DigitEntry>(
    tl2_descriptor("tl2_avx2", "avx2", TB_ISA_AVX2, "bitnet.cpp's TL2, byte tables in base 31",
                   scratch, multiply, accumulate),
    "tl2_digits");
constexpr const tb_kernel* kKernels[] = {&kKernel};

}  // namespace

extern "C" const tb_kernel_table tb_table_tl2_avx2;
const tb_kernel_table tb_table_tl2_avx2 = {TB_ABI_VERSION, sizeof(tb_kernel), 1, kKernels};
