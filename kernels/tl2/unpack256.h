/* Byte codes (trit + 1) of a block of 32 rows of `tl2`, 256 bits at a time, in the order that GEMM
 * wants: a 32-bit lane is a row with four columns. The packed bytes have a row per byte lane
 * already, so that each column is one lookup (and a sign) for all 32 rows; four columns are then
 * interleaved. Per 24 columns: 24 lookups, 24 signs, 24 additions, 60 to interleave and permute and
 * 20 for indices and signs: 6 instructions per 32 weights, shared by all tokens.
 * Static: see dot/epilogue.h. AVX2 files and wider. */
#ifndef TRITBENCH_KERNELS_TL2_UNPACK256_H
#define TRITBENCH_KERNELS_TL2_UNPACK256_H

#include "kernels/dot/avx2.h"
#include "kernels/tl2/layout.h"

namespace {

inline __m256i load16_twice(const void* p) {
    return _mm256_broadcastsi128_si256(_mm_loadu_si128(static_cast<const __m128i*>(p)));
}

inline __m256i nibbles(__m256i bytes, bool high) {
    return _mm256_and_si256(high ? _mm256_srli_epi16(bytes, 4) : bytes, _mm256_set1_epi8(15));
}

// The signs of triples t .. t + 3 (t = 0 or 4) as bytes in the order of the index plane: bits 7, 5,
// 3 and 1, and ones between them, so that no byte is zero when they are shifted up to bit 7.
// A word has two rows: its bytes are taken twice, and shifted by one for rows 16 to 31. Because the
// middle groups of rows changed places, both copies are in their lane.
inline __m256i four_signs(__m256i words, int t) {
    const __m256i odd = _mm256_set1_epi64x(0x0f0d0b0907050301);
    const __m256i even = _mm256_set1_epi64x(0x0e0c0a0806040200);
    const __m256i upper = _mm256_set_epi64x(-1, 0, -1, 0);
    const __m256i bytes = _mm256_shuffle_epi8(words, t == 0 ? odd : even);
    const __m256i moved = _mm256_add_epi8(bytes, _mm256_and_si256(bytes, upper));
    return _mm256_or_si256(moved, _mm256_set1_epi8(0x55));
}

// Four columns, bytes of rows in the order of the packed bytes, to 4 x 8 rows in their own order.
inline void store_quad(const __m256i* c, uint8_t* to) {
    const __m256i a0 = _mm256_unpacklo_epi8(c[0], c[1]), a1 = _mm256_unpackhi_epi8(c[0], c[1]);
    const __m256i b0 = _mm256_unpacklo_epi8(c[2], c[3]), b1 = _mm256_unpackhi_epi8(c[2], c[3]);
    const __m256i r0 = _mm256_unpacklo_epi16(a0, b0);  // rows 0..3, 8..11
    const __m256i r4 = _mm256_unpackhi_epi16(a0, b0);
    const __m256i r16 = _mm256_unpacklo_epi16(a1, b1);
    const __m256i r20 = _mm256_unpackhi_epi16(a1, b1);
    auto* rows = reinterpret_cast<__m256i*>(to);
    _mm256_store_si256(rows, _mm256_permute2x128_si256(r0, r4, 0x20));
    _mm256_store_si256(rows + 1, _mm256_permute2x128_si256(r0, r4, 0x31));
    _mm256_store_si256(rows + 2, _mm256_permute2x128_si256(r16, r20, 0x20));
    _mm256_store_si256(rows + 3, _mm256_permute2x128_si256(r16, r20, 0x31));
}

// 24 columns in triples; four columns are 128 bytes, at to, to + ld, ...
inline void unpack_24(const uint8_t* index, const uint8_t* sign, uint8_t* to, int64_t ld) {
    const __m256i one = _mm256_set1_epi8(1);
    const __m256i first = load16_twice("\0\0\0\0\0\1\1\1\1\1\1\1\1\1\0");
    const __m256i second = load16_twice("\0\0\1\1\1\377\377\377\0\0\0\1\1\1\0");
    const __m256i third = load16_twice("\0\1\377\0\1\377\0\1\377\0\1\377\0\1\0");
    const __m256i words = load32(sign);
    __m256i c[24];
    TB_UNROLL
    for (int t = 0; t < 8; ++t) {
        const __m256i minus = _mm256_slli_epi16(four_signs(words, t / 4 * 4), 2 * (t % 4));
        const __m256i i = nibbles(load32(index + t / 2 * 32), t % 2 == 0);
        const auto code = [&](__m256i trits) {
            return _mm256_add_epi8(_mm256_sign_epi8(_mm256_shuffle_epi8(trits, i), minus), one);
        };
        c[3 * t] = code(first);
        c[3 * t + 1] = code(second);
        c[3 * t + 2] = code(third);
    }
    TB_UNROLL
    for (int i = 0; i < 6; ++i) store_quad(c + 4 * i, to + i * ld);
}

// The same for 32 columns in pairs.
inline void unpack_32(const uint8_t* bytes, uint8_t* to, int64_t ld) {
    const __m256i first = load16_twice("\0\0\0\1\1\1\2\2\2\1\1\1\1\1\1");
    const __m256i second = load16_twice("\0\1\2\0\1\2\0\1\2\1\1\1\1\1\1");
    for (int i = 0; i < 8; ++i) {
        const __m256i v = load32(bytes + 32 * i), high = nibbles(v, true), low = nibbles(v, false);
        const __m256i c[4] = {_mm256_shuffle_epi8(first, high), _mm256_shuffle_epi8(second, high),
                              _mm256_shuffle_epi8(first, low), _mm256_shuffle_epi8(second, low)};
        store_quad(c, to + i * ld);
    }
}

// Columns [begin, end) of the 32 rows from r on; begin is on BK, end on BK or the last.
inline void unpack_rows32(const Places& at, const uint8_t* bytes, int64_t r, int64_t begin,
                          int64_t end, uint8_t* to, int64_t ld) {
    const int64_t triples = end < at.k3 ? end : at.k3;
    int64_t k = begin;
    for (; k < triples; k += 24, to += 6 * ld) {
        unpack_24(bytes + at.index_at(r, k), bytes + at.sign_at(r, k), to, ld);
    }
    for (; k < end; k += 32, to += 8 * ld) unpack_32(bytes + at.pair_at(r, k - at.k3), to, ld);
}

// How columns are cut in blocks for GEMM: on BK, pairs always in the last.
struct ColumnBlocks {
    int64_t step, total, k3;

    ColumnBlocks(const Places& at, int64_t at_most) : total(at.k3 + at.k2), k3(at.k3) {
        const int64_t count = (total + at_most - 1) / at_most;
        step = tb_round_up((total + count - 1) / count, at.bk);
    }
    int64_t end(int64_t begin) const { return begin + step >= k3 ? total : begin + step; }
    bool one() const { return end(0) == total; }
    int64_t widest() const { return one() ? total : step + total - k3; }
};

}  // namespace

#endif
