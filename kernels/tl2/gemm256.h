/* GEMM of `tl2` in 256 bits without VNNI: 32 rows at a time are unpacked to byte codes whose 32-bit
 * lanes are rows (unpack256.h), up to 480 columns of them at once, which is half of L1. Four
 * activations enter as one broadcast dword; a tile of 2 tokens holds 8 sums and does 8 vpmaddubsw
 * and 8 vpaddw for 4 loads and 2 broadcasts, without any horizontal sum. Bound by these 16
 * instructions per 32 rows x 4 columns x 2 tokens, 2 per 32 weights and token.
 *
 * Overflow: a vpmaddubsw pair of codes <= 2 is within 512, and 63 quads stay within 32256; then
 * vpmaddwd widens them. int32: 2 * 128 * K < 2^31.
 * Static: see dot/epilogue.h. AVX2 files and wider. */
#ifndef TRITBENCH_KERNELS_TL2_GEMM256_H
#define TRITBENCH_KERNELS_TL2_GEMM256_H

#include "kernels/dot/epilogue.h"
#include "kernels/tl/tables.h"
#include "kernels/tl2/unpack256.h"

namespace {

constexpr int64_t kBlockColumns = 480;
constexpr int64_t kSafeQuads = 63;

size_t gemm256_scratch(const tb_shape* s, const tb_tile* tile, int64_t m) {
    const Places at(*s, tile);
    return static_cast<size_t>((ColumnBlocks(at, kBlockColumns).widest() + 4 * m) * kBlockRows);
}

// sums [T][32] become, or if `add` are increased by, those of T tokens over 4 * quads columns.
template <int T>
void gemm256_tile(const uint8_t* codes, const int8_t* x, int64_t ldx, int64_t quads, bool add,
                  int32_t* sums) {
    const __m256i ones = _mm256_set1_epi16(1);
    auto* wide = reinterpret_cast<__m256i*>(sums);
    while (quads > 0) {
        const int64_t count = quads < kSafeQuads ? quads : kSafeQuads;
        __m256i narrow[T][4];
        TB_UNROLL
        for (int t = 0; t < T; ++t) {
            TB_UNROLL
            for (int g = 0; g < 4; ++g) narrow[t][g] = _mm256_setzero_si256();
        }
        for (const uint8_t* end = codes + 128 * count; codes != end; codes += 128, x += 4) {
            __m256i xs[T];
            TB_UNROLL
            for (int t = 0; t < T; ++t) {
                int32_t four;
                memcpy(&four, x + t * ldx, sizeof four);
                xs[t] = _mm256_set1_epi32(four);
            }
            TB_UNROLL
            for (int g = 0; g < 4; ++g) {
                const __m256i c = load32(codes + 32 * g);
                TB_UNROLL
                for (int t = 0; t < T; ++t) multiply_add(narrow[t][g], c, xs[t]);
            }
        }
        TB_UNROLL
        for (int t = 0; t < T; ++t) {
            TB_UNROLL
            for (int g = 0; g < 4; ++g) {
                const __m256i sum = _mm256_madd_epi16(narrow[t][g], ones);
                wide[4 * t + g] = add ? _mm256_add_epi32(wide[4 * t + g], sum) : sum;
            }
        }
        add = true;
        quads -= count;
    }
}

void gemm256(const tb_product* p, int32_t* acc) {
    const Places at(p->shape, p->tile);
    const ColumnBlocks blocks(at, kBlockColumns);
    const tb_int8_batch x = tb_int8_open(&p->shape, p->prepared, p->m);
    const auto* bytes = static_cast<const uint8_t*>(p->packed);
    auto* codes = static_cast<uint8_t*>(p->scratch);
    auto* sums = reinterpret_cast<int32_t*>(codes + blocks.widest() * kBlockRows);
    const float scale = tensor_scale(p->shape, p->tile, p->packed);
    const Sink out{p->y, acc, p->ldy};
    for (int64_t n = p->n_begin / 32 * 32; n < p->n_end; n += 32) {
        for (int64_t k = 0, end = 0; k < blocks.total; k = end) {
            end = blocks.end(k);
            unpack_rows32(at, bytes, n, k, end, codes, 128);
            const int64_t quads = ((end < x.k ? end : x.k) - k + 3) / 4;
            const int8_t* q = x.q + k;
            int64_t m = 0;
            for (; m + 2 <= x.m; m += 2, q += 2 * x.kp) {
                gemm256_tile<2>(codes, q, x.kp, quads, k != 0, sums + 32 * m);
            }
            if (m < x.m) gemm256_tile<1>(codes, q, x.kp, quads, k != 0, sums + 32 * m);
        }
        const int64_t first = n < p->n_begin ? p->n_begin : n;
        const int64_t last = n + 32 < p->n_end ? n + 32 : p->n_end;
        for (int64_t m = 0; m < x.m; ++m) {
            const Token token = token_of(x, m, scale);
            const int32_t* of = sums + 32 * m;
            int64_t r = first;
            for (; r + 4 <= last; r += 4) put_four(out, m, r, 1, of + r - n, token);
            for (; r < last; ++r) put(out, m, r, of[r - n], token);
        }
    }
}

}  // namespace

#endif
