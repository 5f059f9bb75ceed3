// q8_0 with AVX-512 VNNI, on 256-bit vectors.
//
// GEMV, a chunk of 8 blocks of a row (256 weights, 272 bytes); the lanes are blocks (lanes.h):
//
//   8 loads, 8 inserts, 16 unpacks   dword i of the 8 blocks, i = 0..7
//   8 xors, 8 vpdpbusd, 1 add        codes + 128 as unsigned; S began as -128 * sum of activations
//   4 loads, 2 vpermt2w, 1 unpack, vcvtph2ps
//   2 multiplies by scales, 1 vcvtdq2ps
//
// 48 operations, 6 per 32 weights; four rows share the activations. Bound by memory: on Zen 4 1.5
// cycles of its 4 pipes, 2.8 measured in L2, where 34 GB/s bring 32 weights in 3.7; on Intel 2 of 3
// ports against 6.
//
// Overflow: 32 columns of 255 * 128, and 128 times |sum of 32 activations| <= 2^12: below 2^21.
//
// GEMM: a row at a time against 8 tokens, its codes in registers.
#include "kernels/blocks/avx512vnni.h"
#include "kernels/blocks/avx512.h"
#include "kernels/q8_0/layout.h"

namespace {

struct Core {
    using Format = Q80;
    static constexpr int kGroup = 1, kParts = 1;
    struct Codes {
        __m256i dwords[8];  // dword i of the 8 blocks, + 128
    };

    static inline Codes codes(const uint8_t* chunk, int) {
        Codes c;
        transpose<Q80::kBytes>(chunk + 2, c.dwords);
        transpose<Q80::kBytes>(chunk + 18, c.dwords + 4);
        TB_UNROLL
        for (int i = 0; i < 8; ++i) {
            c.dwords[i] = _mm256_xor_si256(c.dwords[i], _mm256_set1_epi8(-128));
        }
        return c;
    }

    static inline __m256 scales(const uint8_t* chunk) { return scales_34_bytes_apart(chunk); }

    template <int G>
    static inline void sums(const Codes (&c)[G], const tb_block32_chunk& x, int,
                            __m256i (&out)[G]) {
        const __m256i offset =
            _mm256_sub_epi32(_mm256_setzero_si256(), _mm256_slli_epi32(block_sums(x), 7));
        __m256i second[G];
        TB_UNROLL
        for (int r = 0; r < G; ++r) {
            out[r] = offset;
            second[r] = _mm256_setzero_si256();
        }
        TB_UNROLL
        for (int j = 0; j < 4; ++j) {
            const __m256i x_first = load32(x.q[2 * j]), x_second = load32(x.q[2 * j + 1]);
            TB_UNROLL
            for (int r = 0; r < G; ++r) {
                dot4(out[r], c[r].dwords[j], x_first);
                dot4(second[r], c[r].dwords[j + 4], x_second);
            }
        }
        TB_UNROLL
        for (int r = 0; r < G; ++r) out[r] = _mm256_add_epi32(out[r], second[r]);
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
    block_descriptor<Q80>("q8_0_avx512vnni", "avx512vnni", TB_ISA_AVX512VNNI,
                          "ggml's Q8_0 x int8 per 32 columns, vpdpbusd", 4, gemv, gemm));
constexpr const tb_kernel* kKernels[] = {&kKernel};

}  // namespace

extern "C" const tb_kernel_table tb_table_q8_0_avx512vnni;
const tb_kernel_table tb_table_q8_0_avx512vnni = {TB_ABI_VERSION, sizeof(tb_kernel), 1, kKernels};
