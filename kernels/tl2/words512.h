/* Lookups of `tl2` in AVX-512 BW. A triple has a table of 32 int16 (index = sign and nibble, the
 * upper half negated: WordEntry in tables.h), one register, so that vpermw is the whole lookup. Per
 * 32 rows x 3 columns:
 *
 *   vpmovzxbw   the 32 bytes of an index group, once for two triples             0.5
 *   vpsrlw      the high nibble down, for every other triple                     0.5
 *   multiply or shift   the sign to bit 4                                        1
 *   vpternlog   index = nibble under a mask, sign above (vpermw reads 5 bits)    1
 *   vpermq, vpsllvw   the sign words of 32 rows, once for eight triples          0.25
 *   vpermw, vpaddw      for each token                                           2
 *
 * 5.25 instructions for 96 weights with one token, 1.75 per 32 weights, beside 1.6 loads. Up to
 * four tokens share the index, and two blocks of rows then share the load of a table: 2.8 for 96
 * weights and token. (More tokens have their tables no longer in L1.) The bound while weights are
 * in cache: 2 ports of 512 bits on Intel, of which shifts have one and permutations the other, 4
 * pipes of 256 bits on Zen 4, where both share two pipes; there most signs are moved with vpmulhuw,
 * which has the other two (and either port on Intel).
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

// sums += a[i] + b[j]. As instructions, because compilers add in an order of their own, with which
// sums wait for one another (Zen 4: 1.25 cycles a lookup, not 1) and run out of registers.
inline void look_up_two(__m512i& sums, __m512i i, __m512i a, __m512i j, __m512i b) {
    __m512i first, second;
    asm("vpermw %4, %3, %1\n\tvpermw %6, %5, %2\n\tvpaddw %2, %1, %1\n\tvpaddw %1, %0, %0"
        : "+v"(sums), "=&v"(first), "=&v"(second)
        : "v"(i), "v"(a), "v"(j), "v"(b));
}
inline void look_up_two(__m512i& sums, __m512i i, const uint8_t* a, __m512i j, const uint8_t* b) {
    __m512i first, second;
    asm("vpermw %4, %3, %1\n\tvpermw %6, %5, %2\n\tvpaddw %2, %1, %1\n\tvpaddw %1, %0, %0"
        : "+v"(sums), "=&v"(first), "=&v"(second)
        : "v"(i), "m"(*reinterpret_cast<const __m512i*>(a)), "v"(j),
          "m"(*reinterpret_cast<const __m512i*>(b)));
}

// 32 bytes as words.
inline __m512i words_of(const uint8_t* p) {
    return _mm512_cvtepu8_epi16(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
}

template <class Words>
struct WordCore {
    using Entry = Words;
    static constexpr int kTokens = 4;
    // One token alone is faster with a single stream (from memory, on Zen 4).
    template <int T>
    static constexpr int kBlocks = T == 1 ? 1 : 2;

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

    // Triples I and I + 1 of a group, of R blocks, for T tokens: indices are made once for all
    // tokens, a table is loaded once for all blocks.
    template <int I, int R, int T>
    static void two_triples(__m512i (&acc)[R][T], const Tl2Blocks& at, const __m512i (&signs)[R],
                            const uint8_t* tables, int64_t of_token) {
        const __m512i nibble = _mm512_set1_epi16(15);
        __m512i first[R], second[R];
        TB_UNROLL
        for (int r = 0; r < R; ++r) {
            const __m512i low = words_of(at.index_of(r) + 16 * I);
            const __m512i high = _mm512_srli_epi16(low, 4);
            first[r] = _mm512_ternarylogic_epi32(nibble, high, sign_of<I>(signs[r]), 0xca);
            second[r] = _mm512_ternarylogic_epi32(nibble, low, sign_of<I + 1>(signs[r]), 0xca);
        }
        TB_UNROLL
        for (int t = 0; t < T; ++t) {
            const uint8_t* table = tables + t * of_token + 64 * I;
            if constexpr (R == 1) {
                look_up_two(acc[0][t], first[0], table, second[0], table + 64);
            } else {
                const __m512i a = _mm512_loadu_si512(table), b = _mm512_loadu_si512(table + 64);
                TB_UNROLL
                for (int r = 0; r < R; ++r) look_up_two(acc[r][t], first[r], a, second[r], b);
            }
        }
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

    template <int R, int T>
    static void triples(Tl2Blocks at, const uint8_t* tables, int64_t of_token, int64_t ahead,
                        int32_t* sums) {
        const __m512i order = _mm512_set_epi64(3, 2, 3, 2, 1, 0, 1, 0);
        const __m512i lower_bit = _mm512_set_epi64(0x0001000100010001, 0x0001000100010001, 0, 0,
                                                   0x0001000100010001, 0x0001000100010001, 0, 0);
        __m512i acc[R][T];
        TB_UNROLL
        for (int r = 0; r < R; ++r) {
            TB_UNROLL
            for (int t = 0; t < T; ++t) acc[r][t] = _mm512_setzero_si512();
        }
        const uint8_t *next_index = at.index + R * ahead, *next_sign = at.sign + R * ahead / 4;
        for (int64_t g = at.groups; g != 0; --g) {
            __m512i signs[R];
            TB_UNROLL
            for (int r = 0; r < R; ++r) {
                // In the order of memory, whatever the order of reading.
                __builtin_prefetch(next_index + 128 * r);
                __builtin_prefetch(next_index + 128 * r + 64);
                if (r % 2 == 0) __builtin_prefetch(next_sign + 32 * r);
                const __m512i words = _mm512_castsi256_si512(
                    _mm256_loadu_si256(reinterpret_cast<const __m256i*>(at.sign_of(r))));
                // Rows i and i + 16 side by side, the second with its bits moved to those of the
                // first.
                signs[r] = _mm512_sllv_epi16(_mm512_permutexvar_epi64(order, words), lower_bit);
            }
            two_triples<0, R, T>(acc, at, signs, tables, of_token);
            two_triples<2, R, T>(acc, at, signs, tables, of_token);
            two_triples<4, R, T>(acc, at, signs, tables, of_token);
            two_triples<6, R, T>(acc, at, signs, tables, of_token);
            at.index += 128;
            at.sign += 32;
            next_index += 128 * R;
            next_sign += 32 * R;
            tables += 8 * Entry::kBytes;
        }
        TB_UNROLL
        for (int r = 0; r < R; ++r) {
            TB_UNROLL
            for (int t = 0; t < T; ++t) widen(acc[r][t], sums + t * kMaxBm + 32 * r);
        }
    }

    template <int T>
    static void pairs(const uint8_t* bytes, const uint8_t* tables, int64_t of_token,
                      int32_t* sums) {
        __m512i acc[T];
        TB_UNROLL
        for (int t = 0; t < T; ++t) acc[t] = _mm512_setzero_si512();
        for (int i = 0; i < 8; ++i, bytes += 32, tables += 2 * Entry::kBytes) {
            const __m512i low = words_of(bytes), high = _mm512_srli_epi16(low, 4);
            TB_UNROLL
            for (int t = 0; t < T; ++t) {
                const uint8_t* table = tables + t * of_token;
                look_up_two(acc[t], high, table, low, table + 64);
            }
        }
        TB_UNROLL
        for (int t = 0; t < T; ++t) widen(acc[t], sums + t * kMaxBm);
    }
};

}  // namespace

#endif
