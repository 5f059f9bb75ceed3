// tl2 with AVX2.
//
// Up to four tokens, per 32 rows x 3 columns, after the paper: a lookup of 14 sums in two byte
// tables (vpshufb), but these are the two digits of the sum in base 31, both signed,
//
//   sum = 31 * high + low,   |high| <= 12, |low| <= 15
//
// so that the sign of the weights is one vpsignb for each digit, and 8 lookups are added as bytes
// before they are widened: vpunpck pairs the digits of a row, vpmaddubsw with (31, 1) makes int16.
// (bitnet.cpp stores the two bytes of an int16 and widens, then negates, every lookup.)
//
//   1.5 to take an index, 0.75 to shift a sign up, 2 vpshufb, 2 vpsignb, 2 vpaddb; 1 to make signs
//   bytes and 0.75 to widen: 10 instructions for 96 weights, 3.3 per 32 weights, beside 2.6 loads.
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

    static void digits(const int16_t* sums, uint8_t* to) {
        int8_t table[32];
        for (int i = 0; i < 16; ++i) {
            // To nearest: 2114 / 65536 is 1 / 31 to 1e-6, and no sum within 384 is that near a tie.
            const int high = (sums[i] * 2114 + 32768) >> 16;
            table[i] = static_cast<int8_t>(high);
            table[i + 16] = static_cast<int8_t>(sums[i] - 31 * high);
        }
        memcpy(to, table, sizeof table);
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

struct Core {
    using Entry = DigitEntry;

    template <bool Prefetch>
    static void triples(const uint8_t* index, const uint8_t* sign, const uint8_t* tables,
                        int64_t groups, int32_t* sums) {
        Sums16 wide;
        for (; groups != 0; --groups) {
            if (Prefetch) {
                fetch_ahead(index);
                fetch_ahead(index + 64);
                fetch_ahead(sign);
            }
            const __m256i words = load32(sign);
            __m256i high = _mm256_setzero_si256(), low = high, signs = high;
            TB_UNROLL
            for (int t = 0; t < 8; ++t) {
                if (t % 4 == 0) signs = four_signs(words, t);
                const __m256i minus = _mm256_slli_epi16(signs, 2 * (t % 4));
                const __m256i i = nibbles(load32(index + t / 2 * 32), t % 2 == 0);
                const __m256i h = _mm256_shuffle_epi8(load16_twice(tables + 32 * t), i);
                const __m256i l = _mm256_shuffle_epi8(load16_twice(tables + 32 * t + 16), i);
                high = _mm256_add_epi8(high, _mm256_sign_epi8(h, minus));
                low = _mm256_add_epi8(low, _mm256_sign_epi8(l, minus));
            }
            wide.add(high, low);
            index += 128;
            sign += 32;
            tables += 8 * Entry::kBytes;
        }
        wide.widen(sums);
    }

    static void pairs(const uint8_t* bytes, const uint8_t* tables, int32_t* sums) {
        Sums16 wide;
        for (int half = 0; half < 2; ++half, bytes += 128, tables += 8 * Entry::kBytes) {
            __m256i high = _mm256_setzero_si256(), low = high;
            TB_UNROLL
            for (int t = 0; t < 8; ++t) {
                const __m256i i = nibbles(load32(bytes + t / 2 * 32), t % 2 == 0);
                const __m256i h = _mm256_shuffle_epi8(load16_twice(tables + 32 * t), i);
                const __m256i l = _mm256_shuffle_epi8(load16_twice(tables + 32 * t + 16), i);
                high = _mm256_add_epi8(high, h);
                low = _mm256_add_epi8(low, l);
            }
            wide.add(high, low);
        }
        wide.widen(sums);
    }
};

void product(const tb_product* p, int32_t* acc) {
    if (p->m <= kTableTokens) return tl2_look_up<Core>(p, acc);
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
                   gemm256_scratch, multiply, accumulate),
    "tl2_digits");
constexpr const tb_kernel* kKernels[] = {&kKernel};

}  // namespace

extern "C" const tb_kernel_table tb_table_tl2_avx2;
const tb_kernel_table tb_table_tl2_avx2 = {TB_ABI_VERSION, sizeof(tb_kernel), 1, kKernels};
