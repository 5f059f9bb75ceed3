/* IQ1_BN with AVX2: rows to byte codes in the order of the columns, and activations to the order of
 * packed bytes.
 *
 * Codes: a vpshufb spreads bytes over the high bytes of words, vpmullw by 3^(4 - digit) brings the
 * trit to the point and vpmulhuw by 3 over it; 16 instructions for 64 weights.
 * Static: see dot/epilogue.h. Include only from AVX2 files. */
#ifndef TRITBENCH_KERNELS_IQ1_BN_UNPACK256_H
#define TRITBENCH_KERNELS_IQ1_BN_UNPACK256_H

#include "kernels/dot/avx2.h"
#include "kernels/iq1_bn/layout.h"

namespace {

inline __m128i load16(const void* p) {
    return _mm_loadu_si128(static_cast<const __m128i*>(p));
}

// The 13 bytes of a block, of which nothing follows: 0..7 | 5..12.
inline __m128i load_block(const uint8_t* p) {
    return _mm_unpacklo_epi64(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p)),
                              _mm_loadl_epi64(reinterpret_cast<const __m128i*>(p + 5)));
}
constexpr uint8_t in_load_block(int byte) {
    return static_cast<uint8_t>(byte < 8 ? byte : byte + 3);
}

struct SpreadTables {
    // Of 16 columns each: their bytes in load_block, and their powers of 3.
    alignas(32) uint8_t spread[4][32];
    alignas(32) uint16_t multiply[4][16];

    constexpr SpreadTables() : spread(), multiply() {
        for (int c = 0; c < 64; ++c) {
            // vpackuswb of two registers makes columns 0..7 | 16..23 of the first and 8..15 |
            // 24..31 of the second 32 in their order.
            const int of = c / 32 * 2 + c / 8 % 2, word = c / 16 % 2 * 8 + c % 8;
            spread[of][2 * word] = 0x80;
            spread[of][2 * word + 1] = in_load_block(iq1_bn_byte(c));
            multiply[of][word] = iq1_bn_power(c);
        }
    }
};

constexpr SpreadTables kSpreadTables;

// See UnpackRows.
struct Unpack {
    static __m256i words(__m256i bytes, int i) {
        const __m256i v = _mm256_shuffle_epi8(bytes, load32(kSpreadTables.spread[i]));
        return _mm256_mulhi_epu16(_mm256_mullo_epi16(v, load32(kSpreadTables.multiply[i])),
                                  _mm256_set1_epi16(3));
    }

    static void rows(const tb_shape& s, const uint8_t* packed, int64_t n, int64_t rows, uint8_t* to,
                     int64_t ld) {
        for (int64_t r = 0; r < rows; ++r) {
            const uint8_t* block = group_of<Iq1Bn>(s, packed, n + r) + Iq1Bn::kRowOverhead;
            auto* out = reinterpret_cast<__m256i*>(to + r * ld);
            for (int64_t k = s.k; k > 0; k -= Iq1Bn::kColumns, out += 2) {
                const __m256i bytes = _mm256_broadcastsi128_si256(load_block(block));
                _mm256_storeu_si256(out, _mm256_packus_epi16(words(bytes, 0), words(bytes, 1)));
                _mm256_storeu_si256(out + 1, _mm256_packus_epi16(words(bytes, 2), words(bytes, 3)));
                block += Iq1Bn::kBlockBytes;
            }
        }
    }
};

// Of a block of activations, in five planes: plane j has the one that digit 4 - j of each packed
// byte is multiplied with, 0 where there is none. Slot(b) is where byte b is, below 16.
template <class Slot>
struct Planes {
    uint8_t from[5][4][16];  // in each 16 columns

    constexpr Planes() : from() {
        for (auto& plane : from) {
            for (auto& groups : plane) {
                for (uint8_t& byte : groups) byte = 0x80;
            }
        }
        for (int c = 0; c < 64; ++c) {
            from[4 - iq1_bn_digit(c)][c / 16][Slot::of(iq1_bn_byte(c))] =
                static_cast<uint8_t>(c % 16);
        }
    }

    __m128i plane(const int8_t* x, int j) const {
        __m128i v = _mm_setzero_si128();
        TB_UNROLL
        for (int i = 0; i < 4; ++i) {
            v = _mm_or_si128(v, _mm_shuffle_epi8(load16(x + 16 * i), load16(from[j][i])));
        }
        return v;
    }
};

}  // namespace

#endif
