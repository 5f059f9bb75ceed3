// tl2 with AVX-512 VNNI.
//
// Up to 16 tokens: lookups as in avx512.cpp (words512.h), which are as fast as vpdpbusd would be.
// More tokens: 64 rows at a time are unpacked to byte codes whose 32-bit lanes are rows
// (unpack256.h, 6 instructions per 32 weights, no transpose) and multiplied by the tile of
// dot/panel64.h: 24 vpdpbusd for 4 loads and 6 broadcasts, 0.5 per 32 weights and token. Bound by
// the two dot-product ports.
//
// Overflow: lookups as in words512.h; codes are at most 2, an int32 lane is safe for K < 2^23.
// Source: microsoft/BitNet (TL2), arXiv:2502.11880; the panel is the project's own.
#include "kernels/dot/panel64.h"
#include "kernels/tl2/unpack256.h"
#include "kernels/tl2/words512.h"

namespace {

size_t scratch(const tb_shape* s, const tb_tile* tile, int64_t m) {
    if (m <= Words16::kMostTokens) return 0;
    const ColumnBlocks blocks(Places(*s, tile), kPanel64Columns);
    return static_cast<size_t>((blocks.widest() + (blocks.one() ? 0 : 4 * m)) * kPanel64Rows);
}

// The rows of [begin, end) in the 64 from n on; all others are left alone.
void put_rows(const Sink& out, int64_t m, int64_t n, int64_t begin, int64_t end,
              const __m512i* sums, const Token& token, const float* scales) {
    if (begin <= n) {
        const int64_t rows = end - n < kPanel64Rows ? end - n : kPanel64Rows;
        return panel64_put(out, m, n, rows, sums, token, scales);
    }
    alignas(64) int32_t of[kPanel64Rows];
    memcpy(of, sums, sizeof of);
    const Token whole{token.sum, token.scale * scales[0]};
    for (int64_t r = begin; r < end && r < n + kPanel64Rows; ++r) put(out, m, r, of[r - n], whole);
}

void gemm_panels(const tb_product* p, int32_t* acc) {
    const Places at(p->shape, p->tile);
    const ColumnBlocks blocks(at, kPanel64Columns);
    const tb_int8_batch x = tb_int8_open(&p->shape, p->prepared, p->m);
    const auto* bytes = static_cast<const uint8_t*>(p->packed);
    auto* codes = static_cast<uint8_t*>(p->scratch);
    auto* carried = reinterpret_cast<__m512i*>(codes + blocks.widest() * kPanel64Rows);
    const Sink out{p->y, acc, p->ldy};
    alignas(64) float scales[kPanel64Rows];
    TensorScale{tensor_scale(p->shape, p->tile, p->packed)}(0, kPanel64Rows, scales);
    const int64_t tiles = (x.m + kPanel64Tokens - 1) / kPanel64Tokens;
    for (int64_t n = p->n_begin / 32 * 32; n < p->n_end; n += kPanel64Rows) {
        const int64_t second =
            n + 32 < at.n ? n + 32 : n;  // of the panel; rows behind N are nobody's
        for (int64_t k = 0, end = 0; k < blocks.total; k = end) {
            end = blocks.end(k);
            unpack_rows32(at, bytes, n, k, end, codes, 256);
            unpack_rows32(at, bytes, second, k, end, codes + 128, 256);
            const int64_t quads = ((end < x.k ? end : x.k) - k + 3) / 4;
            for (int64_t i = 0, m = 0; i < tiles; ++i) {
                const int64_t tokens = x.m / tiles + (i < x.m % tiles);
                __m512i local[4 * kPanel64Tokens];
                __m512i* sums = blocks.one() ? local : carried + 4 * m;
                panel64_tokens<kPanel64Tokens>(tokens, codes, x.q + m * x.kp + k, x.kp, quads,
                                               k != 0, sums);
                for (const int64_t last = m + tokens; m < last; ++m, sums += 4) {
                    if (end != blocks.total) continue;
                    put_rows(out, m, n, p->n_begin, p->n_end, sums, token_of(x, m, 1.0F), scales);
                }
            }
        }
    }
}

void product(const tb_product* p, int32_t* acc) {
    if (p->m <= Words16::kMostTokens) return tl2_look_up<WordCore<Words16>>(p, acc);
    gemm_panels(p, acc);
}
void multiply(const tb_product* p) {
    product(p, nullptr);
}
void accumulate(const tb_product* p) {
    product(p, p->acc);
}

constexpr tb_kernel kKernel = with_tables<Words16>(
    tl2_descriptor("tl2_avx512vnni", "avx512vnni", TB_ISA_AVX512VNNI,
                   "bitnet.cpp's TL2, signed tables in vpermw; GEMM with vpdpbusd", scratch,
                   multiply, accumulate),
    kWords16Tag);
constexpr const tb_kernel* kKernels[] = {&kKernel};

}  // namespace

extern "C" const tb_kernel_table tb_table_tl2_avx512vnni;
const tb_kernel_table tb_table_tl2_avx512vnni = {TB_ABI_VERSION, sizeof(tb_kernel), 1, kKernels};
