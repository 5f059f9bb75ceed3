// q8_row with AVX2.
//
// There is no signed product of bytes: w x = (w with the sign of x) |x|, where |-128| is 128 as an
// unsigned byte. Per 32 weights: 1 load, vpsignb, vpmaddubsw, vpmaddwd, vpaddd, and a vpabsb that
// four rows share; a 4 x 2 tile in GEMM. A row that ends inside 32 bytes is finished from a copy,
// so that nothing past the packed bytes is read. Bound by memory: 4.25 operations for 32 bytes,
// 1.4 to 2.1 cycles of 2 or 3 pipes, where 26 GB/s bring 32 bytes in 4.5. The products by signs are
// llama.cpp's.
//
// Overflow: weights are within +-127, so a pair is within 2 * 127 * 128 = 32512 and fits int16. An
// int32 lane is within that of the whole row: layout.h.
#include "kernels/dot/avx2.h"

#include "kernels/q8_row/direct.h"

namespace {

struct SignTile {
    template <int R, int T>
    static inline void step(const __m256i (&w)[R], const int8_t* x, int64_t ldx,
                            __m256i (&acc)[R][T]) {
        const __m256i ones = _mm256_set1_epi16(1);
        TB_UNROLL
        for (int t = 0; t < T; ++t) {
            const __m256i q = load32(x + t * ldx), size = _mm256_abs_epi8(q);
            TB_UNROLL
            for (int r = 0; r < R; ++r) {
                const __m256i pairs = _mm256_maddubs_epi16(size, _mm256_sign_epi8(w[r], q));
                acc[r][t] = _mm256_add_epi32(acc[r][t], _mm256_madd_epi16(pairs, ones));
            }
        }
    }

    template <int R, int T, bool Prefetch>
    static void small(const uint8_t* c, int64_t ldc, const int8_t* x, int64_t ldx, int64_t k,
                      int32_t* out, int64_t ldo) {
        __m256i acc[R][T];
        TB_UNROLL
        for (int r = 0; r < R; ++r) {
            TB_UNROLL
            for (int t = 0; t < T; ++t) acc[r][t] = _mm256_setzero_si256();
        }
        __m256i w[R];
        for (; k >= 32; k -= 32, c += 32, x += 32) {
            TB_UNROLL
            for (int r = 0; r < R; ++r) {
                if (Prefetch) fetch_ahead(c + r * ldc);
                w[r] = load32(c + r * ldc);
            }
            step<R, T>(w, x, ldx, acc);
        }
        if (k > 0) {
            TB_UNROLL
            for (int r = 0; r < R; ++r) {
                uint8_t whole[32] = {0};
                memcpy(whole, c + r * ldc, static_cast<size_t>(k));
                w[r] = load32(whole);
            }
            step<R, T>(w, x, ldx, acc);
        }
        TB_UNROLL
        for (int r = 0; r < R; ++r) sum_each<T>(acc[r], out + r * ldo);
    }

    template <int R, int T, bool Prefetch = false>
    static void run(const uint8_t* c, int64_t ldc, const int8_t* x, int64_t ldx, int64_t k,
                    int32_t (&out)[R][T]) {
        if constexpr (T > 2) {  // no more tokens at once than there are registers for
            small<R, 2, Prefetch>(c, ldc, x, ldx, k, out[0], T);
            small<R, T - 2, Prefetch>(c, ldc, x + 2 * ldx, ldx, k, out[0] + 2, T);
        } else {
            small<R, T, Prefetch>(c, ldc, x, ldx, k, out[0], T);
        }
    }
};

void gemm(const tb_product* p) {
    product_direct<SignTile, 0>(p, nullptr);
}
void accumulate(const tb_product* p) {
    product_direct<SignTile, 0>(p, p->acc);
}

constexpr tb_kernel kKernel = with_prefetch(
    q8_row_descriptor("q8_row_avx2", "avx2", TB_ISA_AVX2, "int8 with one scale per row, vpmaddubsw",
                      4, gemm, accumulate));
constexpr const tb_kernel* kKernels[] = {&kKernel};

}  // namespace

extern "C" const tb_kernel_table tb_table_q8_row_avx2;
const tb_kernel_table tb_table_q8_row_avx2 = {TB_ABI_VERSION, sizeof(tb_kernel), 1, kKernels};
