/* q6_k on 512-bit vectors: 16 lanes are the first, then the second 16 columns of the 8 blocks of 32
 * of a ggml block, which is a chunk of prepared_block.h. See avx512vnni.cpp.
 *
 *   Dot: static void sums(const __m512i (&codes)[4], const tb_block32_chunk& x, __m512i& acc);
 *        acc += codes . x
 * Static: see dot/epilogue.h. Include only from AVX-512 files. */
#ifndef TRITBENCH_KERNELS_Q6_K_WIDE_H
#define TRITBENCH_KERNELS_Q6_K_WIDE_H

#include "kernels/blocks/lanes.h"
#include "kernels/q6_k/layout.h"

namespace {

template <class Dot>
struct WideCore {
    using Format = Q6K;
    static constexpr int kGroup = 2, kParts = 1;
    struct Codes {
        __m512i dwords[4];  // dword j of the first 16 columns of the blocks | of the second
        __m512i scales;     // int32, in the same order
    };

    // Dword kFrom of every 128-bit lane, in all of its places.
    template <int kFrom>
    static inline __m512i spread(__m512i v) {
        return _mm512_shuffle_epi32(v, static_cast<_MM_PERM_ENUM>(kFrom * 0x55));
    }

    static inline Codes codes(const uint8_t* p, int) {
        // Which dwords of ql (its halves: 0.., 16..) are the low bits of dword 0 of the lanes.
        const __m512i from = _mm512_setr_epi32(0, 8, 0, 8, 16, 24, 16, 24,  //
                                               4, 12, 4, 12, 20, 28, 20, 28);
        const __m512i low_shift = _mm512_broadcast_i32x4(_mm_setr_epi32(0, 0, 4, 4));
        const __m512i high_turn = _mm512_broadcast_i32x4(_mm_setr_epi32(4, 2, 0, 30));
        const __m512i low_mask = _mm512_set1_epi8(0x0f), high_mask = _mm512_set1_epi8(0x30);
        const __m512i ql0 = _mm512_loadu_si512(p), ql1 = _mm512_loadu_si512(p + 64);
        // The dwords 0..3 of either half, then 4..7: those of the first 16 columns, of the second.
        const __m512i loaded = _mm512_loadu_si512(p + Q6K::kHigh);
        const __m512i qh = _mm512_shuffle_i64x2(loaded, loaded, 0xd8);
        const __m512i high[4] = {spread<0>(qh), spread<1>(qh), spread<2>(qh), spread<3>(qh)};
        Codes c;
        TB_UNROLL
        for (int j = 0; j < 4; ++j) {
            const __m512i index = _mm512_add_epi32(from, _mm512_set1_epi32(j));
            const __m512i low =
                _mm512_srlv_epi32(_mm512_permutex2var_epi32(ql0, index, ql1), low_shift);
            const __m512i turned =
                _mm512_and_si512(_mm512_rolv_epi32(high[j], high_turn), high_mask);
            c.dwords[j] = _mm512_ternarylogic_epi32(low, low_mask, turned, 0xea);  // a & b | c
        }
        const __m128i order = _mm_setr_epi8(0, 2, 4, 6, 8, 10, 12, 14, 1, 3, 5, 7, 9, 11, 13, 15);
        c.scales = _mm512_cvtepi8_epi32(_mm_shuffle_epi8(load16(p + Q6K::kScales), order));
        return c;
    }

    static inline __m256 scales(const uint8_t* p) {
        int16_t d;
        memcpy(&d, p + Q6K::kD, sizeof d);
        return _mm256_cvtph_ps(_mm_set1_epi16(d));
    }

    template <int G>
    static inline void sums(const Codes (&c)[G], const tb_block32_chunk& x, int,
                            __m256i (&out)[G]) {
        const __m512i offset = _mm512_sub_epi32(
            _mm512_setzero_si512(), _mm512_slli_epi32(_mm512_cvtepi16_epi32(load32(x.sums)), 5));
        TB_UNROLL
        for (int r = 0; r < G; ++r) {
            __m512i sum = offset;
            Dot::sums(c[r].dwords, x, sum);
            sum = _mm512_mullo_epi32(sum, c[r].scales);
            out[r] =
                _mm256_add_epi32(_mm512_castsi512_si256(sum), _mm512_extracti64x4_epi64(sum, 1));
        }
    }
};

}  // namespace

#endif
