/* Lookups of `tl2` in AVX-512 BW, up to four tokens. A triple has a table of 32 int16 (index = sign
 * and nibble, the upper half negated: WordEntry in tables.h), one register, so that vpermw is the
 * whole lookup. Per 32 rows x 3 columns:
 *
 *   vpmovzxbw   the 32 bytes of an index group, once for two triples             0.5
 *   vpsrlw      the high nibble down, for every other triple                     0.5
 *   multiply or shift   the sign to bit 4                                        1
 *   vpternlog   index = nibble under a mask, sign above (vpermw reads 5 bits)    1
 *   vpermw, vpaddw                                                               2
 *   vpermq, vpsllvw   the sign words of 32 rows, once for eight triples          0.25
 *
 * 5.25 instructions for 96 weights, 1.75 per 32 weights, beside 1.6 loads. The bound while weights
 * are in cache: 2 ports of 512 bits on Intel, of which shifts have one and permutations the other,
 * 4 pipes of 256 bits on Zen 4, where both share two pipes; there most signs are moved with
 * vpmulhuw, which has the other two (and either port on Intel).
 *
 * Overflow: BK / 3 <= 80 sums of 3 * 128 are within 30720 in int16 (layout.h computes the limit),
 * 16 pairs of 256 within 4096; then int32. Static: see dot/epilogue.h. AVX-512 files only. */
#ifndef TRITBENCH_KERNELS_TL2_WORDS512_H
#define TRITBENCH_KERNELS_TL2_WORDS512_H

#include <immintrin.h>

#include "kernels/dot/unroll.h"
#include "kernels/tl2/tables.h"

namespace {

// words >> count, by a multiplication with 2^(16 - count). As an instruction, because compilers
// know better and make the shift again.
inline __m512i shift_by_product(__m512i words, __m512i factor) {
    __m512i moved;
    asm("vpmulhuw %2, %1, %0" : "=v"(moved) : "v"(words), "v"(factor));
    return moved;
}

// 32 bytes as words.
inline __m512i words_of(const uint8_t* p) {
    return _mm512_cvtepu8_epi16(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
}

struct WordCore {
    using Entry = WordEntry;

    // The sign of triple T, at bit 15 - 2T, to bit 4.
    template <int T>
    static __m512i sign_of(__m512i words) {
        constexpr int kRight = 11 - 2 * T;
        if constexpr (kRight < 0) {
            return _mm512_slli_epi16(words, static_cast<unsigned>(-kRight));
        } else {
            constexpr auto kFactor =
                static_cast<int16_t>(static_cast<uint16_t>(1U << (16 - kRight)));
            return shift_by_product(words, _mm512_set1_epi16(kFactor));
        }
    }

    template <int T>
    static void two_triples(__m512i& acc, const uint8_t* index, __m512i signs,
                            const uint8_t* tables) {
        const __m512i nibble = _mm512_set1_epi16(15), low = words_of(index + 16 * T);
        const __m512i high = _mm512_srli_epi16(low, 4);
        const __m512i first = _mm512_ternarylogic_epi32(nibble, high, sign_of<T>(signs), 0xca);
        const __m512i second = _mm512_ternarylogic_epi32(nibble, low, sign_of<T + 1>(signs), 0xca);
        acc = _mm512_add_epi16(
            acc, _mm512_permutexvar_epi16(first, _mm512_loadu_si512(tables + 64 * T)));
        acc = _mm512_add_epi16(
            acc, _mm512_permutexvar_epi16(second, _mm512_loadu_si512(tables + 64 * T + 64)));
    }

    // Words are in the order of the packed bytes, whose middle groups of rows changed places.
    static void widen(__m512i acc, int32_t* sums) {
        const __m512i a = _mm512_cvtepi16_epi32(_mm512_castsi512_si256(acc));  // 0..7, 16..23
        const __m512i b = _mm512_cvtepi16_epi32(_mm512_extracti64x4_epi64(acc, 1));
        const __m512i lower = _mm512_shuffle_i64x2(a, b, 0x44);
        const __m512i upper = _mm512_shuffle_i64x2(a, b, 0xee);
        _mm512_store_si512(sums, _mm512_add_epi32(_mm512_load_si512(sums), lower));
        _mm512_store_si512(sums + 16, _mm512_add_epi32(_mm512_load_si512(sums + 16), upper));
    }

    template <bool Prefetch>
    static void triples(const uint8_t* index, const uint8_t* sign, const uint8_t* tables,
                        int64_t groups, int32_t* sums) {
        const __m512i order = _mm512_set_epi64(3, 2, 3, 2, 1, 0, 1, 0);
        const __m512i lower_bit = _mm512_set_epi64(0x0001000100010001, 0x0001000100010001, 0, 0,
                                                   0x0001000100010001, 0x0001000100010001, 0, 0);
        __m512i acc = _mm512_setzero_si512(), other = acc;
        for (; groups != 0; --groups) {
            if (Prefetch) {
                fetch_ahead(index);
                fetch_ahead(index + 64);
                fetch_ahead(sign);
            }
            const __m512i words =
                _mm512_castsi256_si512(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(sign)));
            // Rows i and i + 16 side by side, the second with its bits moved to those of the first.
            const __m512i signs =
                _mm512_sllv_epi16(_mm512_permutexvar_epi64(order, words), lower_bit);
            two_triples<0>(acc, index, signs, tables);
            two_triples<2>(other, index, signs, tables);
            two_triples<4>(acc, index, signs, tables);
            two_triples<6>(other, index, signs, tables);
            index += 128;
            sign += 32;
            tables += 8 * Entry::kBytes;
        }
        widen(_mm512_add_epi16(acc, other), sums);
    }

    static void pairs(const uint8_t* bytes, const uint8_t* tables, int32_t* sums) {
        __m512i acc = _mm512_setzero_si512();
        TB_UNROLL
        for (int i = 0; i < 8; ++i) {
            const __m512i low = words_of(bytes + 32 * i), high = _mm512_srli_epi16(low, 4);
            const uint8_t* table = tables + 128 * i;
            acc = _mm512_add_epi16(acc, _mm512_permutexvar_epi16(high, _mm512_loadu_si512(table)));
            acc = _mm512_add_epi16(acc,
                                   _mm512_permutexvar_epi16(low, _mm512_loadu_si512(table + 64)));
        }
        widen(acc, sums);
    }
};

}  // namespace

#endif
