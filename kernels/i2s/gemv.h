/* GEMV for `i2s`, and GEMM of so few tokens that unpacking would not pay: the rows are cut in kRows
 * equal parts that are walked side by side, so that memory sees a few long streams and kRows rows
 * share each load of activations. A second token finds the rows in L1.
 *
 * A row whose K is no multiple of 128 begins inside a block. Instead of cutting such blocks, the
 * activations are moved: a copy of x, with zeros before and behind, is read from as deep in a block
 * as the row begins, and what the row's neighbours have in the blocks that they share is multiplied
 * by zero. If K % 32 == 0 every row begins on a field and one copy serves all; the depth repeats
 * every `phases` rows (1 for K % 128 == 0, 2 for 64, 4 for 32), so that streams a multiple of that
 * apart are as deep. Other K (odd ones, which no model has) copy x anew for every row.
 *
 * One copy, because it should stay in L1 while rows stream through: half of L1 for x costs a
 * quarter of the read bandwidth of Zen 4 (measured).
 *
 * A Core supplies the arithmetic of one ISA:
 *   kRows                          rows side by side
 *   kAsStored                      whether run reads x in the order it is stored
 *   arrange(x, copy, k)            if not: makes from the copy in that order the one that run reads
 *   View, view(copy, k, q)         the copy as seen from a row that begins q fields deep
 *   run<R, Prefetch>(p, ldp, view, blocks, out)   R rows, ldp bytes apart, from whole blocks
 * Static: see dot/epilogue.h. */
#ifndef TRITBENCH_KERNELS_I2S_GEMV_H
#define TRITBENCH_KERNELS_I2S_GEMV_H

#include "kernels/dot/epilogue.h"
#include "kernels/dot/prefetch.h"
#include "kernels/dot/streams.h"
#include "kernels/i2s/layout.h"

namespace {

constexpr int64_t kFewTokens = 8;
constexpr int64_t kLead = kBlock;  // zeros before x in a copy that has its order

// A copy: one block of zeros, x from anywhere in the next, and zeros for two blocks at least.
inline int64_t copy_bytes(int64_t k) {
    return tb_round_up(kLead + tb_round_up(k + kBlock - 1, kBlock) + 2 * kBlock, 4 * 64) + 4 * 64;
}

// What m tokens need of scratch, per thread: their copies and one to make them from.
inline size_t gemv_scratch(const tb_shape& s, int64_t m) {
    return static_cast<size_t>((m + 1) * copy_bytes(s.k));
}

// The activations as rows of any depth want them: token m begins at first + m * ldx.
template <class Core>
struct MovedTokens {
    const tb_int8_batch x;
    const int64_t phases;
    const bool on_fields;  // rows begin
    int8_t* const copies;
    const int8_t* first;
    int64_t ldx;

    explicit MovedTokens(const tb_product* p)
        : x(tb_int8_open(&p->shape, p->prepared, p->m)),
          phases(i2s_pack_row_step(&p->shape, nullptr)),
          on_fields(x.k % 32 == 0),
          copies(static_cast<int8_t*>(p->scratch)),
          first(copies + (Core::kAsStored ? kLead : 0)),
          ldx(on_fields ? copy_bytes(x.k) : 0) {
        if (Core::kAsStored && phases == 1) {
            first = x.q;
            ldx = x.kp;
        } else if (on_fields) {
            for (int64_t m = 0; m < x.m; ++m) copy(m, 0);
        }
    }

    // Token m for rows that begin `depth` columns into their first block.
    void copy(int64_t m, int64_t depth) const {
        const int64_t bytes = copy_bytes(x.k);
        int8_t* const to = copies + m * ldx;
        int8_t* const plain = Core::kAsStored ? to : copies + x.m * bytes;
        memset(plain, 0, static_cast<size_t>(bytes));
        memcpy(plain + kLead + depth, x.q + m * x.kp, static_cast<size_t>(x.k));
        if constexpr (!Core::kAsStored) Core::arrange(plain, to, x.k);
    }
};

// `count` times R rows `apart` rows from each other, from row n on, with every token.
template <class Core, int R, bool Prefetch, bool One>
void multiply_rows(const tb_product* p, const MovedTokens<Core>& tokens, const Token* epilogue,
                   const Sink& out, int64_t n, int64_t count, int64_t apart) {
    const int64_t k = p->shape.k, ldp = apart * k / 4;
    int64_t begin = n * k;
    for (int64_t end = n + count; n < end; ++n, begin += k) {
        const auto* row = static_cast<const uint8_t*>(p->packed) + begin / kBlock * kBlockBytes;
        const int64_t depth = begin % kBlock, blocks = (depth + k + kBlock - 1) / kBlock;
        const int8_t* x = tokens.first;
        int64_t m = 0;
        do {
            int32_t sums[R];
            Core::template run<R, Prefetch>(row, ldp, Core::view(x, k, depth / 32), blocks, sums);
            if constexpr (R == 4) {
                put_four(out, m, n, apart, sums, epilogue[m]);
            } else {
                for (int r = 0; r < R; ++r) put(out, m, n + r * apart, sums[r], epilogue[m]);
            }
            x += tokens.ldx;
        } while (!One && ++m < p->m);
    }
}

// The rows of a call where they begin anywhere.
template <class Core>
void multiply_odd_rows(const tb_product* p, const MovedTokens<Core>& tokens, const Token* epilogue,
                       const Sink& out) {
    const int64_t k = p->shape.k;
    for (int64_t n = p->n_begin; n < p->n_end; ++n) {
        const int64_t begin = n * k, depth = begin % kBlock;
        const auto* row = static_cast<const uint8_t*>(p->packed) + begin / kBlock * kBlockBytes;
        for (int64_t m = 0; m < p->m; ++m) {
            tokens.copy(m, depth);
            int32_t sum[1];
            Core::template run<1, false>(row, 0, Core::view(tokens.first, k, 0),
                                         (depth + k + kBlock - 1) / kBlock, sum);
            put(out, m, n, sum[0], epilogue[m]);
        }
    }
}

template <class Core, bool Prefetch, bool One>
void gemv_streams(const tb_product* p, int32_t* acc) {
    const MovedTokens<Core> tokens(p);
    const float scale = tensor_scale(p->shape, p->packed);
    Token epilogue[kFewTokens];
    for (int64_t m = 0; m < p->m; ++m) epilogue[m] = token_of(tokens.x, m, scale);
    const Sink out{p->y, acc, p->ldy};
    if (!tokens.on_fields) return multiply_odd_rows<Core>(p, tokens, epilogue, out);
    constexpr int kRows = Core::kRows;
    const int64_t rows = p->n_end - p->n_begin;
    const int64_t apart = rows_apart(rows, kRows, p->shape.k / 4, tokens.phases);
    multiply_rows<Core, kRows, Prefetch, One>(p, tokens, epilogue, out, p->n_begin, apart, apart);
    // What is left is as many streams again, and then single rows.
    const int64_t next = p->n_begin + kRows * apart;
    const int64_t few = (p->n_end - next) / kRows / tokens.phases * tokens.phases;
    multiply_rows<Core, kRows, Prefetch, One>(p, tokens, epilogue, out, next, few, few);
    multiply_rows<Core, 1, Prefetch, One>(p, tokens, epilogue, out, next + kRows * few,
                                          p->n_end - next - kRows * few, 0);
}

// m <= kFewTokens.
template <class Core>
void gemv_rows(const tb_product* p, int32_t* acc) {
    if (p->m > 1) return gemv_streams<Core, false, false>(p, acc);
    if (wants_prefetch(p->tile)) return gemv_streams<Core, true, true>(p, acc);
    gemv_streams<Core, false, true>(p, acc);
}

}  // namespace

#endif
