// q6_k with AVX2.
//
// GEMV, a block of a row (256 weights, 210 bytes); the lanes are its 8 blocks of 32 (lanes.h):
//
//   6 loads, 6 inserts                       a half of ql and qh, low and high 128 columns
//   10 shifts, 16 ands, 8 ors                codes of 6 bits, four blocks to a register each
//   16 unpacks                               dword i of the 8 blocks, i = 0..7
//   8 vpmaddubsw, 4 vpaddw, 4 vpmaddwd, 2 vpaddd, 2 vpsubd
//   2 vpshufb, 2 vpmovsxbd, 2 vpmulld, 1 vpaddd           times the scales of 16 columns
//   vpbroadcastw, vcvtph2ps, 2 multiplies by scales, 1 vcvtdq2ps
//
// 88 operations, 11 per 32 weights: 22 cycles a block of the 4 pipes of a Zen 4, which 34 GB/s of
// memory bring in 23; but shifts and shuffles have two of the four, and what is measured in L2 is
// 31 to 34 cycles, about 80% of the read bandwidth. Bound by the ports there, by memory where a
// core reads less than 20 GB/s.
//
// Overflow: two pairs of products of 63 * 128 fit int16, 32256; then avx512vnni.cpp.
//
// GEMM: a row at a time against 8 tokens.
#include "kernels/blocks/lanes.h"
#include "kernels/q6_k/layout.h"

namespace {

struct Core {
    using Format = Q6K;
    static constexpr int kGroup = 1, kParts = 2;
    struct Codes {          // of the first, or the second, 16 columns of the 8 blocks
        __m256i dwords[4];  // dword i
        __m256i scales;     // int32
    };

    // Dwords 0 .. 3 of the 8 blocks, from 4 dwords of each half of ql for blocks 0 and 2 (a), for
    // blocks 1 and 3 (b), and 4 of each half of qh: codes first, then rows of four by four dwords
    // become columns.
    static inline void four_dwords(__m256i a, __m256i b, __m256i high, __m256i out[4]) {
        const __m256i low_mask = _mm256_set1_epi8(0x0f), high_mask = _mm256_set1_epi8(0x30);
        const auto join = [&](__m256i low, __m256i up) {
            return _mm256_or_si256(_mm256_and_si256(low, low_mask),
                                   _mm256_and_si256(up, high_mask));
        };
        const __m256i block0 = join(a, _mm256_slli_epi16(high, 4));
        const __m256i block1 = join(b, _mm256_slli_epi16(high, 2));
        const __m256i block2 = join(_mm256_srli_epi16(a, 4), high);
        const __m256i block3 = join(_mm256_srli_epi16(b, 4), _mm256_srli_epi16(high, 2));
        const __m256i low01 = _mm256_unpacklo_epi32(block0, block1);
        const __m256i low23 = _mm256_unpacklo_epi32(block2, block3);
        const __m256i high01 = _mm256_unpackhi_epi32(block0, block1);
        const __m256i high23 = _mm256_unpackhi_epi32(block2, block3);
        out[0] = _mm256_unpacklo_epi64(low01, low23);
        out[1] = _mm256_unpackhi_epi64(low01, low23);
        out[2] = _mm256_unpacklo_epi64(high01, high23);
        out[3] = _mm256_unpackhi_epi64(high01, high23);
    }

    static inline Codes codes(const uint8_t* p, int part) {
        Codes c;
        const uint8_t* low = p + 16 * part;
        const uint8_t* high = p + Q6K::kHigh + 16 * part;
        four_dwords(load_two(low, low + 64), load_two(low + 32, low + 96),
                    load_two(high, high + 32), c.dwords);
        const __m128i even = _mm_setr_epi8(0, 2, 4, 6, 8, 10, 12, 14, 0, 0, 0, 0, 0, 0, 0, 0);
        const __m128i order = _mm_add_epi8(even, _mm_set1_epi8(static_cast<char>(part)));
        c.scales = _mm256_cvtepi8_epi32(_mm_shuffle_epi8(load16(p + Q6K::kScales), order));
        return c;
    }

    static inline __m256 scales(const uint8_t* p) {
        int16_t d;
        memcpy(&d, p + Q6K::kD, sizeof d);
        return _mm256_cvtph_ps(_mm_set1_epi16(d));
    }

    // The sums over the columns 16 part .. 16 part + 15 of the blocks.
    static inline __m256i part_sums(const Codes& c, const tb_block32_chunk& x, int part) {
        const __m256i ones = _mm256_set1_epi16(1);
        const __m256i a =
            _mm256_add_epi16(_mm256_maddubs_epi16(c.dwords[0], load32(x.q[part])),
                             _mm256_maddubs_epi16(c.dwords[1], load32(x.q[2 + part])));
        const __m256i b =
            _mm256_add_epi16(_mm256_maddubs_epi16(c.dwords[2], load32(x.q[4 + part])),
                             _mm256_maddubs_epi16(c.dwords[3], load32(x.q[6 + part])));
        const __m256i offset = _mm256_slli_epi32(_mm256_cvtepi16_epi32(load16(x.sums[part])), 5);
        return _mm256_sub_epi32(
            _mm256_add_epi32(_mm256_madd_epi16(a, ones), _mm256_madd_epi16(b, ones)), offset);
    }

    template <int G>
    static inline void sums(const Codes (&c)[G], const tb_block32_chunk& x, int part,
                            __m256i (&out)[G]) {
        TB_UNROLL
        for (int r = 0; r < G; ++r) {
            out[r] = _mm256_mullo_epi32(part_sums(c[r], x, part), c[r].scales);
        }
    }
};

using Tile = LaneTile<Core>;

void gemv(const tb_product* p) {
    product_streams<Tile>(p);
}
void gemm(const tb_product* p) {
    if (p->m == 1) return gemv(p);
    product_rows<Tile, 8>(p);
}

constexpr tb_kernel kKernel = with_prefetch(
    block_descriptor<Q6K>("q6_k_avx2", "avx2", TB_ISA_AVX2,
                          "ggml's Q6_K x int8 per 32 columns, vpmaddubsw", 4, gemv, gemm));
constexpr const tb_kernel* kKernels[] = {&kKernel};

}  // namespace

extern "C" const tb_kernel_table tb_table_q6_k_avx2;
const tb_kernel_table tb_table_q6_k_avx2 = {TB_ABI_VERSION, sizeof(tb_kernel), 1, kKernels};
