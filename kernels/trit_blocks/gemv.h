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
 *   kTokens, kTokenGroups         at most so many tokens, and groups side by side
 *   kDirectTokens                 batches up to this, at least kFewTokens, are multiplied so
 *   kTokensArranged               (if it arranges) whether run_tokens wants what arrange makes
 *   template <int R, int T>
 *   static void run_tokens(const uint8_t* group, int64_t ldg, int64_t k, const int8_t* x,
 *                          int64_t ldx, int32_t (&out)[T][R][Format::kGroup])
 *        the same of T tokens, ldx bytes apart
 * Static: see dot/epilogue.h. */
#ifndef TRITBENCH_KERNELS_TRIT_BLOCKS_GEMV_H
#define TRITBENCH_KERNELS_TRIT_BLOCKS_GEMV_H

#include "kernels/dot/epilogue.h"
#include "kernels/dot/prefetch.h"
#include "kernels/dot/streams.h"
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

// Batches up to this are not unpacked.
template <class Core>
constexpr int64_t direct_tokens() {
    if constexpr (kSharesCodes<Core>) {
        return Core::kDirectTokens;
    } else {
        return kFewTokens;
    }
}

// Whether a batch of m <= direct_tokens is rearranged.
template <class Core>
constexpr bool arranges(int64_t m) {
    if constexpr (kSharesCodes<Core>) {
        if (m > 1) return Core::kTokensArranged;
    }
    return kArranges<Core>;
}

// What m <= direct_tokens tokens need of scratch, per thread.
template <class Core>
size_t arranged_scratch(const tb_shape& s, int64_t m) {
    if constexpr (kArranges<Core>) {
        if (arranges<Core>(m)) return static_cast<size_t>(m * Core::arranged_bytes(s.k));
    }
    return 0;
}

// Tokens in the order that Core wants: token m begins at first + m * ld.
struct OrderedTokens {
    const int8_t* first;
    int64_t ld;
};

template <class Core>
OrderedTokens ordered_tokens(const tb_product* p, const tb_int8_batch& x) {
    if constexpr (kArranges<Core>) {
        if (arranges<Core>(x.m)) {
            const int64_t bytes = Core::arranged_bytes(x.k);
            auto* to = static_cast<int8_t*>(p->scratch);
            for (int64_t m = 0; m < x.m; ++m) Core::arrange(x.q + m * x.kp, x.k, to + m * bytes);
            return {to, bytes};
        }
    }
    return {x.q, x.kp};
}

// The exact results of a call. How the loops below want it (phase_rows.h has another):
//   Sums                         of code * q: what Core::run makes for one group
//   x                            the tokens
//   template <int R> void put(const uint8_t* group, int64_t g, int64_t apart, int64_t m,
//                             const Sums (&sums)[R]) const
//        of token m and R groups from group g on, which is at `group`, `apart` groups from each
//        other; what is outside of the call's rows is not written
template <class Core>
struct ExactResults {
    using Format = typename Core::Format;
    static constexpr int kGroup = Format::kGroup;
    using Sums = int32_t[kGroup];

    const tb_product* p;
    const tb_int8_batch x;
    const Sink out;
    Token tokens[direct_tokens<Core>()];  // scales: of the activations only

    ExactResults(const tb_product* product, int32_t* acc)
        : p(product), x(tb_int8_open(&p->shape, p->prepared, p->m)), out{p->y, acc, p->ldy} {
        for (int64_t m = 0; m < x.m; ++m) tokens[m] = token_of(x, m, 1.0F);
    }

    void put_group(const uint8_t* group, int64_t g, int64_t m, const Sums& sums) const {
        const Token& token = tokens[m];
        float scales[kGroup];
        for (int i = 0; i < kGroup; ++i) scales[i] = Format::scale(group, i, x.k);
        if constexpr (kGroup == 4) {
            if (out.acc == nullptr && g * 4 >= p->n_begin && g * 4 + 4 <= p->n_end) {
                four_int32 four;
                four_float scale;
                memcpy(&four, sums, sizeof four);
                memcpy(&scale, scales, sizeof scale);
                scale *= token.scale;
                const four_float y = __builtin_convertvector(four - token.sum, four_float) * scale;
                memcpy(out.y + m * out.ld + g * 4, &y, sizeof y);
                return;
            }
        }
        for (int i = 0; i < kGroup; ++i) {
            const int64_t n = g * kGroup + i;
            if (kGroup > 1 && (n < p->n_begin || n >= p->n_end)) continue;
            ::put(out, m, n, sums[i], {token.sum, token.scale * scales[i]});
        }
    }

    template <int R>
    void put(const uint8_t* group, int64_t g, int64_t apart, int64_t m,
             const Sums (&sums)[R]) const {
        const int64_t bytes = apart * Format::group_bytes(x.k);
        for (int r = 0; r < R; ++r) put_group(group + r * bytes, g + r * apart, m, sums[r]);
    }
};

// `count` times R groups, `apart` groups from each other, from group g on, with every token. Rows
// outside [n_begin, n_end) are computed where they share a group.
template <class Core, int R, bool Prefetch, class Results>
void multiply_groups(const tb_product* p, const Results& results, const OrderedTokens& x, int64_t g,
                     int64_t count, int64_t apart) {
    const int64_t bytes = Core::Format::group_bytes(p->shape.k);
    for (const int64_t end = g + count; g < end; ++g) {
        const uint8_t* group = static_cast<const uint8_t*>(p->packed) + g * bytes;
        for (int64_t m = 0; m < p->m; ++m) {
            typename Results::Sums sums[R];
            Core::template run<R, Prefetch>(group, apart * bytes, p->shape.k, x.first + m * x.ld,
                                            sums);
            results.template put<R>(group, g, apart, m, sums);
        }
    }
}

template <class Core, bool Prefetch, class Results>
void multiply_streams(const tb_product* p, const Results& results) {
    constexpr int G = Core::Format::kGroup, S = Core::kStreams;
    const OrderedTokens x = ordered_tokens<Core>(p, results.x);
    const int64_t begin = p->n_begin / G, groups = (p->n_end + G - 1) / G - begin;
    const int64_t apart = rows_apart(groups, S, Core::Format::group_bytes(p->shape.k));
    multiply_groups<Core, S, Prefetch>(p, results, x, begin, apart, apart);
    // What is left is as many streams again, and then single groups.
    const int64_t next = begin + S * apart, few = (groups - S * apart) / S;
    multiply_groups<Core, S, Prefetch>(p, results, x, next, few, few);
    multiply_groups<Core, 1, Prefetch>(p, results, x, next + S * few, groups - S * (apart + few),
                                       0);
}

// A batch of which several tokens share the decoding.
template <class Core, class Results>
struct SharedCodes {
    const tb_product* p;
    const Results& results;
    const OrderedTokens x;

    // T tokens from token m on and R groups, `apart` groups from each other, from group g on.
    template <int R, int T>
    void multiply(int64_t m, int64_t g, int64_t apart) const {
        const int64_t bytes = Core::Format::group_bytes(p->shape.k);
        const uint8_t* group = static_cast<const uint8_t*>(p->packed) + g * bytes;
        typename Results::Sums sums[T][R];
        Core::template run_tokens<R, T>(group, apart * bytes, p->shape.k, x.first + m * x.ld, x.ld,
                                        sums);
        for (int t = 0; t < T; ++t) results.template put<R>(group, g, apart, m + t, sums[t]);
    }

    // 1 <= tokens <= Most.
    template <int R, int Most>
    void multiply_up_to(int64_t tokens, int64_t m, int64_t g, int64_t apart) const {
        if constexpr (Most > 1) {
            if (tokens < Most) return multiply_up_to<R, Most - 1>(tokens, m, g, apart);
        }
        multiply<R, Most>(m, g, apart);
    }

    // `count` times R groups, which stay in L1 while the tokens pass by.
    template <int R>
    void multiply_groups(int64_t g, int64_t count, int64_t apart) const {
        const int64_t tiles = (p->m + Core::kTokens - 1) / Core::kTokens;
        for (const int64_t end = g + count; g < end; ++g) {
            for (int64_t i = 0, m = 0; i < tiles; ++i) {
                const int64_t tokens = p->m / tiles + (i < p->m % tiles);
                multiply_up_to<R, Core::kTokens>(tokens, m, g, apart);
                m += tokens;
            }
        }
    }

    void multiply_all() const {
        constexpr int64_t G = Core::Format::kGroup, R = Core::kTokenGroups;
        const int64_t begin = p->n_begin / G, groups = (p->n_end + G - 1) / G - begin;
        const int64_t apart = groups / R;
        multiply_groups<R>(begin, apart, apart);
        multiply_groups<1>(begin + R * apart, groups - R * apart, 0);
    }
};

// m <= direct_tokens.
template <class Core, class Results>
void multiply_directly(const tb_product* p, const Results& results) {
    if constexpr (kSharesCodes<Core>) {
        if (p->m > 1) {
            const SharedCodes<Core, Results> shared{p, results, ordered_tokens<Core>(p, results.x)};
            return shared.multiply_all();
        }
    }
    if (p->m == 1 && wants_prefetch(p->tile)) {
        return multiply_streams<Core, true>(p, results);
    }
    multiply_streams<Core, false>(p, results);
}

template <class Core>
void gemv_groups(const tb_product* p, int32_t* acc) {
    multiply_directly<Core>(p, ExactResults<Core>(p, acc));
}

}  // namespace

#endif
