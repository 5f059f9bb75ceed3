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
 * and if run wants the activations in another order, or padded further:
 *   static int64_t arranged_bytes(int64_t k)      of one token, a multiple of 64
 *   static void arrange(const int8_t* x, int64_t k, int8_t* to)
 *        x as above; run is given what arrange made, once per call, in scratch (arranged_scratch)
 * and if several tokens should share the decoding of codes:
 *   kTokens, kTokenGroups         at most so many tokens, and groups one after the other
 *   template <int R, int T>
 *   static void run_tokens(const uint8_t* group, int64_t ldg, int64_t k, const int8_t* x,
 *                          int64_t ldx, int32_t (&out)[T][R][Format::kGroup])
 *        the same of T tokens, ldx bytes apart and never arranged
 * Static: see dot/epilogue.h. */
#ifndef TRITBENCH_KERNELS_TRIT_BLOCKS_GEMV_H
#define TRITBENCH_KERNELS_TRIT_BLOCKS_GEMV_H

#include "kernels/dot/epilogue.h"
#include "kernels/dot/prefetch.h"
#include "kernels/trit_blocks/layout.h"

namespace {

constexpr int64_t kFewTokens = 8;

template <class Core>
constexpr bool kArranges = requires {
    &Core::arrange;
};
template <class Core>
constexpr bool kSharesCodes = requires {
    Core::kTokens;
};

// What m <= kFewTokens tokens need of scratch, per thread.
template <class Core>
size_t arranged_scratch(const tb_shape& s, int64_t m) {
    if constexpr (kArranges<Core>) {
        if (m > 1 && kSharesCodes<Core>) return 0;
        return static_cast<size_t>(m * Core::arranged_bytes(s.k));
    }
    return 0;
}

// Tokens as Core::run wants them: token m begins at first + m * ld.
struct RunTokens {
    const int8_t* first;
    int64_t ld;
};

template <class Core>
RunTokens tokens_for_run(const tb_product* p, const tb_int8_batch& x) {
    if constexpr (kArranges<Core>) {
        const int64_t bytes = Core::arranged_bytes(x.k);
        auto* to = static_cast<int8_t*>(p->scratch);
        for (int64_t m = 0; m < x.m; ++m) Core::arrange(x.q + m * x.kp, x.k, to + m * bytes);
        return {to, bytes};
    }
    return {x.q, x.kp};
}

// The results of one group for one token. token.scale is of the activations only.
template <class Format>
inline void put_group(const tb_product* p, const Sink& out, const uint8_t* group, int64_t g,
                      int64_t m, const Token& token, const int32_t (&sums)[Format::kGroup]) {
    constexpr int G = Format::kGroup;
    float scales[G];
    for (int i = 0; i < G; ++i) scales[i] = Format::scale(group, i, p->shape.k);
    if constexpr (G == 4) {
        if (out.acc == nullptr && g * G >= p->n_begin && g * G + G <= p->n_end) {
            four_int32 four;
            four_float scale;
            memcpy(&four, sums, sizeof four);
            memcpy(&scale, scales, sizeof scale);
            scale *= token.scale;
            const four_float y = __builtin_convertvector(four - token.sum, four_float) * scale;
            memcpy(out.y + m * out.ld + g * G, &y, sizeof y);
            return;
        }
    }
    for (int i = 0; i < G; ++i) {
        const int64_t n = g * G + i;
        if (G > 1 && (n < p->n_begin || n >= p->n_end)) continue;
        put(out, m, n, sums[i], {token.sum, token.scale * scales[i]});
    }
}

// `count` times R groups, `apart` groups from each other, from group g on, with every token. Rows
// outside [n_begin, n_end) are computed where they share a group, and not written.
template <class Core, int R, bool Prefetch>
void multiply_groups(const tb_product* p, const RunTokens& x, const Token* tokens, const Sink& out,
                     int64_t g, int64_t count, int64_t apart) {
    using Format = typename Core::Format;
    constexpr int G = Format::kGroup;
    const int64_t bytes = Format::group_bytes(p->shape.k);
    for (const int64_t end = g + count; g < end; ++g) {
        const uint8_t* group = static_cast<const uint8_t*>(p->packed) + g * bytes;
        for (int64_t m = 0; m < p->m; ++m) {
            int32_t sums[R][G];
            Core::template run<R, Prefetch>(group, apart * bytes, p->shape.k, x.first + m * x.ld,
                                            sums);
            for (int r = 0; r < R; ++r) {
                const int64_t at = r * apart;
                put_group<Format>(p, out, group + at * bytes, g + at, m, tokens[m], sums[r]);
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
    const RunTokens run = tokens_for_run<Core>(p, x);
    const Sink out{p->y, acc, p->ldy};
    const int64_t begin = p->n_begin / G, groups = (p->n_end + G - 1) / G - begin;
    const int64_t apart = groups / Core::kStreams;
    multiply_groups<Core, Core::kStreams, Prefetch>(p, run, tokens, out, begin, apart, apart);
    multiply_groups<Core, 1, Prefetch>(p, run, tokens, out, begin + Core::kStreams * apart,
                                       groups - Core::kStreams * apart, 0);
}

// T tokens from token m on, R groups at a time where as many are left.
template <class Core, int R, int T>
void share_codes(const tb_product* p, const tb_int8_batch& x, int64_t m, const Sink& out, int64_t g,
                 int64_t end) {
    using Format = typename Core::Format;
    const int64_t bytes = Format::group_bytes(p->shape.k);
    for (; g + R <= end; g += R) {
        const uint8_t* group = static_cast<const uint8_t*>(p->packed) + g * bytes;
        int32_t sums[T][R][Format::kGroup];
        Core::template run_tokens<R, T>(group, bytes, p->shape.k, x.q + m * x.kp, x.kp, sums);
        for (int t = 0; t < T; ++t) {
            const Token token = token_of(x, m + t, 1.0F);
            for (int r = 0; r < R; ++r) {
                put_group<Format>(p, out, group + r * bytes, g + r, m + t, token, sums[t][r]);
            }
        }
    }
    if constexpr (R > 1) share_codes<Core, 1, T>(p, x, m, out, g, end);
}

template <class Core, int Most>
void share_codes_of(int64_t tokens, const tb_product* p, const tb_int8_batch& x, int64_t m,
                    const Sink& out, int64_t g, int64_t end) {
    if constexpr (Most > 1) {
        if (tokens < Most) return share_codes_of<Core, Most - 1>(tokens, p, x, m, out, g, end);
    }
    share_codes<Core, Core::kTokenGroups, Most>(p, x, m, out, g, end);
}

// 1 < m. kTokenGroups groups stay in L1 while the tokens pass by.
template <class Core>
void gemm_sharing_codes(const tb_product* p, int32_t* acc) {
    constexpr int64_t G = Core::Format::kGroup, R = Core::kTokenGroups;
    const tb_int8_batch x = tb_int8_open(&p->shape, p->prepared, p->m);
    const Sink out{p->y, acc, p->ldy};
    const int64_t end = (p->n_end + G - 1) / G, tiles = (p->m + Core::kTokens - 1) / Core::kTokens;
    for (int64_t g = p->n_begin / G; g < end; g += R) {
        const int64_t stop = end - g < R ? end : g + R;
        for (int64_t i = 0, m = 0; i < tiles; ++i) {
            const int64_t tokens = p->m / tiles + (i < p->m % tiles);
            share_codes_of<Core, Core::kTokens>(tokens, p, x, m, out, g, stop);
            m += tokens;
        }
    }
}

// m <= kFewTokens.
template <class Core>
void gemv_groups(const tb_product* p, int32_t* acc) {
    if constexpr (kSharesCodes<Core>) {
        if (p->m > 1) return gemm_sharing_codes<Core>(p, acc);
    }
    if (p->m == 1 && wants_prefetch(p->tile)) return gemv_streams<Core, true>(p, acc);
    gemv_streams<Core, false>(p, acc);
}

}  // namespace

#endif
