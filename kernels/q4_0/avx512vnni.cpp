// q4_0 with AVX-512 VNNI, on 256-bit vectors.
//
// GEMV, a chunk of 8 blocks of a row (256 weights, 144 bytes); the lanes are blocks (lanes.h):
//
//   4 loads, 4 inserts            the 16 bytes of blocks b and b + 4, b = 0..3
//   8 unpacks                     dword j of the 8 blocks, j = 0..3
//   8 ands, 8 vpdpbusd            low nibbles; high nibbles in place, 16 times too large
//   1 shift, 1 add                S = high / 16 + low; high began as -8 * 16 * sum of activations
//   2 loads, vpermt2w, vcvtph2ps  the 8 scales
//   2 multiplies by scales, 1 vcvtdq2ps
//
// 36 operations, 4.5 per 32 weights; four rows share the activations. Zen 4 has 4 pipes of 256
// bits: 1.2 cycles per 32 weights at best, 1.8 measured in L2, where 34 GB/s of memory bring them
// in 2.0: bound by memory, but with little room (90-100% of the read bandwidth for K <= 8192,
// 75-80% beyond, where the activations leave L1: rows.h). Intel has 3 ports for them, 1.6 cycles
// against 3.2. 512 bits would save no pipe on Zen 4 and cost three inserts for each of these four.
//
// Overflow: 16 columns of 240 * 128, and 128 times |sum of 32 activations| <= 2^12: below 2^20.
//
// GEMM: a row at a time against 8 tokens, its codes in registers. Codes with an offset that the
// sums of activations take away are llama.cpp's and ik_llama.cpp's; blocks in lanes are our own.
#include "kernels/blocks/avx512vnni.h"
#include "kernels/blocks/avx512.h"
#include "kernels/q4_0/layout.h"

namespace {

struct Core {
    using Format = Q40;
    static constexpr int kGroup = 2, kParts = 1;
    struct Codes {
        __m256i
            dwords[4];  // dword j of the 8 blocks: low nibbles dword j of the columns, high 4 + j
    };

    static inline Codes codes(const uint8_t* chunk, int) {
        Codes c;
        transpose<Q40::kBytes>(chunk + 2, c.dwords);
        return c;
    }

    static inline __m256 scales(const uint8_t* chunk) { return scales_18_bytes_apart(chunk); }

    template <int G>
    static inline void sums(const Codes (&c)[G], const tb_block32_chunk& x, int,
                            __m256i (&out)[G]) {
        const __m256i low_mask = _mm256_set1_epi8(0x0f);
        const __m256i high_mask = _mm256_set1_epi8(static_cast<char>(0xf0));
        // -8 * 16 * the sum of the activations: the high sums are 16 times too large.
        const __m256i offset =
            _mm256_sub_epi32(_mm256_setzero_si256(), _mm256_slli_epi32(block_sums(x), 7));
        __m256i low[G], high[G];
        TB_UNROLL
        for (int r = 0; r < G; ++r) {
            low[r] = _mm256_setzero_si256();
            high[r] = offset;
        }
        TB_UNROLL
        for (int j = 0; j < 4; ++j) {
            const __m256i x_low = load32(x.q[2 * j]), x_high = load32(x.q[2 * j + 1]);
            TB_UNROLL
            for (int r = 0; r < G; ++r) {
                dot4(low[r], _mm256_and_si256(c[r].dwords[j], low_mask), x_low);
                dot4(high[r], _mm256_and_si256(c[r].dwords[j], high_mask), x_high);
            }
        }
        TB_UNROLL
        for (int r = 0; r < G; ++r) {
            out[r] = _mm256_add_epi32(low[r], _mm256_srai_epi32(high[r], 4));
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
    block_descriptor<Q40>("q4_0_avx512vnni", "avx512vnni", TB_ISA_AVX512VNNI,
                          "ggml's Q4_0 x int8 per 32 columns, vpdpbusd", 4, gemv, gemm));
constexpr const tb_kernel* kKernels[] = {&kKernel};

}  // namespace

extern "C" const tb_kernel_table tb_table_q4_0_avx512vnni;
const tb_kernel_table tb_table_q4_0_avx512vnni = {TB_ABI_VERSION, sizeof(tb_kernel), 1, kKernels};
