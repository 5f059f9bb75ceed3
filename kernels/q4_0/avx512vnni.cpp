#include "kernels/blocks/avx512vnni.h"
#include "kernels/blocks/avx512.h"
#include "kernels/q4_0/layout.h"

namespace {

struct Core {
    using Format = Q40;
    static constexpr int kGroup = 2;
    struct Codes {
        __m256i
            dwords[4];  // dword j of the 8 blocks: low nibbles dword j of the columns, high 4 + j
    };

    static inline Codes codes(const uint8_t* chunk) {
        Codes c;
        transpose<Q40::kBytes>(chunk + 2, c.dwords);
        return c;
    }

    static inline __m256 scales(const uint8_t* chunk) { return scales_18_bytes_apart(chunk); }

    template <int G>
    static inline void sums(const Codes (&c)[G], const tb_block32_chunk& x, __m256i (&out)[G]) {
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
