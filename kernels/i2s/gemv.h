/* GEMV for `i2s`, and GEMM of so few tokens that unpacking would not pay: the rows are cut in kRows
 * equal parts that are walked side by side, so that memory sees a few long streams and kRows rows
 * share each load of activations. A second token finds the rows in L1.
 *
 * A row whose K is no multiple of 128 begins inside a block. Instead of cutting such blocks, the
 * activations are moved: a copy of x begins as deep in its first block as the row does, with zeros
 * before and behind, and what the row's neighbours have in the shared blocks is multiplied by zero.
 * Rows repeat their phase every `phases` rows (1 for K % 128 == 0, 2 for 64, 4 for 32), so that
 * many copies serve all rows, and streams a multiple of `phases` rows apart are always in phase.
 * Other K (odd ones, which no model has) copy x anew for every row.
 *
 * A Core supplies the arithmetic of one ISA:
 *   kRows          rows side by side
 *   kAsStored      whether run takes x in the order it is stored; if not, ...
 *   arrange(x, blocks)   ... brings a copy of x, in place, into the order that run wants
 *   run<R, Prefetch>(p, ldp, x, blocks, out)   R rows, ldp bytes apart, from whole blocks
 * Copies of x are zero up to an even number of blocks. Static: see dot/epilogue.h. */
#ifndef TRITBENCH_KERNELS_I2S_GEMV_H
#define TRITBENCH_KERNELS_I2S_GEMV_H

#include "kernels/dot/epilogue.h"
#include "kernels/dot/prefetch.h"
#include "kernels/i2s/layout.h"

namespace {

constexpr int64_t kMaxPhases = 4;
constexpr int64_t kFewTokens = 8;

// Bytes of one copy of x: the deepest phase, and two blocks at a time.
inline int64_t copy_bytes(int64_t k) {
    return tb_round_up(k + kBlock - 1, 2 * kBlock);
}

// What m tokens need of scratch, per thread.
inline size_t gemv_scratch(const tb_shape& s, int64_t m) {
    const int64_t phases = i2s_pack_row_step(&s, nullptr);
    return static_cast<size_t>((phases <= kMaxPhases ? phases * m : 1) * copy_bytes(s.k));
}

// The activations in every phase: token m in phase i begins at first + i * between + m * ldx.
template <class Core>
struct PhasedTokens {
    const tb_int8_batch x;
    const int64_t phases;
    const bool few;  // phases, so that all are copied beforehand
    int8_t* const copies;
    const int8_t* first;
    int64_t between, ldx;

    explicit PhasedTokens(const tb_product* p)
        : x(tb_int8_open(&p->shape, p->prepared, p->m)),
          phases(i2s_pack_row_step(&p->shape, nullptr)),
          few(phases <= kMaxPhases),
          copies(static_cast<int8_t*>(p->scratch)),
          first(copies),
          between(few ? x.m * copy_bytes(x.k) : 0),
          ldx(few ? copy_bytes(x.k) : 0) {
        if (Core::kAsStored && phases == 1) {
            first = x.q;
            ldx = x.kp;
        } else if (few) {
            for (int64_t i = 0; i < phases; ++i) {
                for (int64_t m = 0; m < x.m; ++m) {
                    copy(m, i * x.k % kBlock, copies + i * between + m * ldx);
                }
            }
        }
    }

    // For rows that begin `depth` columns into their first block.
    void copy(int64_t m, int64_t depth, int8_t* to) const {
        memset(to, 0, static_cast<size_t>(depth));
        memcpy(to + depth, x.q + m * x.kp, static_cast<size_t>(x.k));
        memset(to + depth + x.k, 0, static_cast<size_t>(copy_bytes(x.k) - depth - x.k));
        Core::arrange(to, copy_bytes(x.k) / kBlock);
    }
};

// `count` times R rows `apart` rows from each other, from row n on, with every token; few phases.
template <class Core, int R, bool Prefetch, bool One>
void multiply_rows(const tb_product* p, const PhasedTokens<Core>& tokens, const Token* epilogue,
                   const Sink& out, int64_t n, int64_t count, int64_t apart) {
    const int64_t k = p->shape.k, ldp = apart * k / 4;
    int64_t begin = n * k, phase = n % tokens.phases;
    for (int64_t end = n + count; n < end; ++n, begin += k) {
        const auto* row = static_cast<const uint8_t*>(p->packed) + begin / kBlock * kBlockBytes;
        const int64_t blocks = (begin % kBlock + k + kBlock - 1) / kBlock;
        const int8_t* x = tokens.first + phase * tokens.between;
        int64_t m = 0;
        do {
            int32_t sums[R];
            Core::template run<R, Prefetch>(row, ldp, x, blocks, sums);
            if constexpr (R == 4) {
                put_four(out, m, n, apart, sums, epilogue[m]);
            } else {
                for (int r = 0; r < R; ++r) put(out, m, n + r * apart, sums[r], epilogue[m]);
            }
            x += tokens.ldx;
        } while (!One && ++m < p->m);
        phase = phase + 1 == tokens.phases ? 0 : phase + 1;
    }
}

// Rows n .. n_end - 1 where every one has a phase of its own.
template <class Core>
void multiply_odd_rows(const tb_product* p, const PhasedTokens<Core>& tokens, const Token* epilogue,
                       const Sink& out) {
    const int64_t k = p->shape.k;
    for (int64_t n = p->n_begin; n < p->n_end; ++n) {
        const int64_t begin = n * k, depth = begin % kBlock;
        const auto* row = static_cast<const uint8_t*>(p->packed) + begin / kBlock * kBlockBytes;
        for (int64_t m = 0; m < p->m; ++m) {
            tokens.copy(m, depth, tokens.copies);
            int32_t sum[1];
            Core::template run<1, false>(row, 0, tokens.copies, (depth + k + kBlock - 1) / kBlock,
                                         sum);
            put(out, m, n, sum[0], epilogue[m]);
        }
    }
}

template <class Core, bool Prefetch, bool One>
void gemv_streams(const tb_product* p, int32_t* acc) {
    const PhasedTokens<Core> tokens(p);
    const float scale = tensor_scale(p->shape, p->packed);
    Token epilogue[kFewTokens];
    for (int64_t m = 0; m < p->m; ++m) epilogue[m] = token_of(tokens.x, m, scale);
    const Sink out{p->y, acc, p->ldy};
    if (!tokens.few) return multiply_odd_rows<Core>(p, tokens, epilogue, out);
    constexpr int kRows = Core::kRows;
    const int64_t rows = p->n_end - p->n_begin;
    const int64_t apart = rows / kRows / tokens.phases * tokens.phases;
    multiply_rows<Core, kRows, Prefetch, One>(p, tokens, epilogue, out, p->n_begin, apart, apart);
    multiply_rows<Core, 1, Prefetch, One>(p, tokens, epilogue, out, p->n_begin + kRows * apart,
                                          rows - kRows * apart, 0);
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
