/* GEMV of the ternary block formats, and GEMM of so few tokens that unpacking would not pay: the
 * rows (or groups of rows) of a call are cut in Core::kStreams equal parts that are walked side by
 * side, so that memory sees a few long streams and each load of activations serves several rows. A
 * second token finds the rows in L1.
 *
 * A Core supplies the arithmetic of one ISA:
 *   Format                        trit_blocks/layout.h
 *   kStreams                      groups side by side
 *   template <int R, bool Prefetch>
 *   static void run(const uint8_t* group, int64_t ldg, int64_t k, const int8_t* x,
 *                   int32_t (&out)[R][Format::kGroup])
 *        the sums of code * q over k columns of R groups that are ldg bytes apart. x is a token of
 *        prepared_int8.h: 64-byte aligned, K rounded up to 64 with zeros. Nothing past the bytes of
 *        a group is read.
 * Static: see dot/epilogue.h. */
#ifndef TRITBENCH_KERNELS_TRIT_BLOCKS_GEMV_H
#define TRITBENCH_KERNELS_TRIT_BLOCKS_GEMV_H

#include "kernels/dot/epilogue.h"
#include "kernels/dot/prefetch.h"
#include "kernels/trit_blocks/layout.h"

namespace {

constexpr int64_t kFewTokens = 8;

// `count` times R groups, `apart` groups from each other, from group g on, with every token. Rows
// outside [n_begin, n_end) are computed where they share a group, and not written.
template <class Core, int R, bool Prefetch>
void multiply_groups(const tb_product* p, const tb_int8_batch& x, const Token* tokens,
                     const Sink& out, int64_t g, int64_t count, int64_t apart) {
    using Format = typename Core::Format;
    constexpr int G = Format::kGroup;
    const int64_t bytes = Format::group_bytes(p->shape.k);
    for (const int64_t end = g + count; g < end; ++g) {
        const uint8_t* group = static_cast<const uint8_t*>(p->packed) + g * bytes;
        for (int64_t m = 0; m < p->m; ++m) {
            int32_t sums[R][G];
            Core::template run<R, Prefetch>(group, apart * bytes, p->shape.k, x.q + m * x.kp, sums);
            for (int r = 0; r < R; ++r) {
                for (int i = 0; i < G; ++i) {
                    const int64_t n = (g + r * apart) * G + i;
                    if (G > 1 && (n < p->n_begin || n >= p->n_end)) continue;
                    const float scale = Format::scale(group + r * apart * bytes, i, p->shape.k);
                    put(out, m, n, sums[r][i], {tokens[m].sum, tokens[m].scale * scale});
                }
            }
        }
    }
}

template <class Core, bool Prefetch>
void gemv_streams(const tb_product* p, int32_t* acc) {
    constexpr int G = Core::Format::kGroup;
    const tb_int8_batch x = tb_int8_open(&p->shape, p->prepared, p->m);
    Token tokens[kFewTokens];
    for (int64_t m = 0; m < p->m; ++m) tokens[m] = token_of(x, m, 1.0F);
    const Sink out{p->y, acc, p->ldy};
    const int64_t begin = p->n_begin / G, groups = (p->n_end + G - 1) / G - begin;
    const int64_t apart = groups / Core::kStreams;
    multiply_groups<Core, Core::kStreams, Prefetch>(p, x, tokens, out, begin, apart, apart);
    multiply_groups<Core, 1, Prefetch>(p, x, tokens, out, begin + Core::kStreams * apart,
                                       groups - Core::kStreams * apart, 0);
}

// m <= kFewTokens.
template <class Core>
void gemv_groups(const tb_product* p, int32_t* acc) {
    if (p->m == 1 && wants_prefetch(p->tile)) return gemv_streams<Core, true>(p, acc);
    gemv_streams<Core, false>(p, acc);
}

}  // namespace

#endif
