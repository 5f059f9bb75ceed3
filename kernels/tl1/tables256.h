/* The tables of tl1 for vpshufb: the sums of a pair of activations with every pair of weights.
 *
 * A sum, |v| <= 256, does not fit a byte. It is stored as two digits of base 23, v = 23 h + l with
 * |h|, |l| <= 11, each in a table of 16 bytes, so that the digits of eight pairs can be added up in
 * bytes, within +-88. The published tables hold the low and the high byte of v, which must be
 * joined after every single lookup.
 *
 * For every 8 columns, pairs 0..3, 128 bytes: h of pairs 0 and 2, l of 0 and 2, h of 1 and 3, l of
 * 1 and 3 (pairs 0 and 2 are what the high nibbles of two groups of columns look up). The same
 * whatever BM, BK and bm are. Static: see dot/epilogue.h. Include only from AVX2 files. */
#ifndef TRITBENCH_KERNELS_TL1_TABLES256_H
#define TRITBENCH_KERNELS_TL1_TABLES256_H

#include "kernels/dot/avx2.h"
#include "kernels/tl/tables.h"

namespace {

constexpr int16_t kBase = 23;
constexpr int kSafePairs = 127 / 11;  // whose digits a byte holds
static_assert(kBase * 11 + 11 >= 2 * 128 && kSafePairs >= 8);

constexpr int64_t kTableColumns = 8;
constexpr int64_t kTableBytes = 128;

// Up to so many tokens looking up is faster than unpacking and multiplying (measured on Zen 4).
constexpr int64_t kLookUpTokens = 8;

struct Tables {
    static int64_t bytes(const tb_shape& s, const tb_tile*) {
        return tb_round_up(s.k, 64) / kTableColumns * kTableBytes;
    }

    // The sums of one pair, in the places of their nibbles; q has 128 added.
    static __m256i sums(const uint8_t* q) {
        // (w0, w1) at 3 w0 + w1 + 4; nothing at 9..15.
        const __m256i w = _mm256_setr_epi8(-1, -1, -1, 0, -1, 1, 0, -1, 0, 0, 0, 1, 1, -1, 1, 0,  //
                                           1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0);
        const __m256i excess = _mm256_maddubs_epi16(_mm256_set1_epi8(-128), w);
        int16_t pair;
        memcpy(&pair, q, sizeof pair);
        return _mm256_sub_epi16(_mm256_maddubs_epi16(_mm256_set1_epi16(pair), w), excess);
    }

    // Both digits of the pairs at q and at q + 4.
    static void store(const uint8_t* q, uint8_t* to) {
        // v * 1425 / 2^15 is within 0.003 of v / 23, which is never that near to a half.
        const __m256i reciprocal = _mm256_set1_epi16(1425), base = _mm256_set1_epi16(kBase);
        const __m256i a = sums(q), b = sums(q + 4);
        const __m256i ah = _mm256_mulhrs_epi16(a, reciprocal);
        const __m256i bh = _mm256_mulhrs_epi16(b, reciprocal);
        const __m256i al = _mm256_sub_epi16(a, _mm256_mullo_epi16(ah, base));
        const __m256i bl = _mm256_sub_epi16(b, _mm256_mullo_epi16(bh, base));
        const __m256i h = _mm256_permute4x64_epi64(_mm256_packs_epi16(ah, bh), 0xd8);
        const __m256i l = _mm256_permute4x64_epi64(_mm256_packs_epi16(al, bl), 0xd8);
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), h);
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(to + 32), l);
    }

    static void build(const tb_shape& s, const tb_tile*, const int8_t* q, int64_t k_begin,
                      int64_t k_end, uint8_t* tables) {
        const int64_t end = k_end == s.k ? tb_round_up(k_end, 64) : k_end;
        for (int64_t k = k_begin; k < end; k += 32) {
            alignas(32) uint8_t shifted[32];
            _mm256_store_si256(reinterpret_cast<__m256i*>(shifted),
                               _mm256_xor_si256(load32(q + k), _mm256_set1_epi8(-128)));
            for (int64_t i = 0; i < 32; i += kTableColumns) {
                uint8_t* to = tables + (k + i) / kTableColumns * kTableBytes;
                store(shifted + i, to);
                store(shifted + i + 2, to + 64);
            }
        }
    }
};

inline __m256i both_lanes(const uint8_t* p) {
    return _mm256_broadcastsi128_si256(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
}

}  // namespace

#endif
