/* GEMV for `i2s`: the rows are cut in kRows equal parts that are walked side by side, so that
 * memory sees a few long streams and kRows rows share each load of activations.
 *
 * A row whose K is no multiple of 128 begins inside a block. Instead of cutting such blocks, the
 * activations are moved: a copy of x begins as deep in its first block as the row does, with zeros
 * before and behind, and what the row's neighbours have in the shared blocks is multiplied by zero.
 * Rows repeat their phase every `phases` rows (1 for K % 128 == 0, 2 for 64, 4 for 32), so that
 * many copies serve all rows, and streams a multiple of `phases` rows apart are always in phase.
 * Other K (odd ones, which no model has) copy x anew for every row.
 *
 * A Core supplies the arithmetic of one ISA:
 *   kRows                          rows side by side
 *   kBlocks                        copies of x are padded to this many blocks
 *   run<R, Prefetch>(p, ldp, x, blocks, out)   R rows, ldp bytes apart, from whole blocks
 *   arrange(x, blocks)             puts a copy of x, in place, in the order that run wants
 *   kAsStored                      whether that is the order it has
 * Static: see dot/epilogue.h. */
#ifndef TRITBENCH_KERNELS_I2S_GEMV_H
#define TRITBENCH_KERNELS_I2S_GEMV_H

#include "kernels/dot/epilogue.h"
#include "kernels/dot/prefetch.h"
#include "kernels/i2s/layout.h"

namespace {

constexpr int64_t kMaxPhases = 4;

// Bytes of one copy of x: the deepest phase, and a whole step of any Core.
inline int64_t copy_bytes(int64_t k) {
    return tb_round_up(k + kBlock - 1, 2 * kBlock);
}

inline int64_t copies_of_x(const tb_shape& s) {
    const int64_t phases = i2s_pack_row_step(&s, nullptr);
    return phases <= kMaxPhases ? phases : 1;
}

// What GEMV needs of scratch, per thread.
inline size_t gemv_scratch(const tb_shape& s) {
    return static_cast<size_t>(copies_of_x(s) * copy_bytes(s.k));
}

// A copy of x that begins `depth` columns into its first block, in the order of Core.
template <class Core>
void copy_x(const int8_t* x, int64_t k, int64_t depth, int8_t* copy) {
    memset(copy, 0, static_cast<size_t>(depth));
    memcpy(copy + depth, x, static_cast<size_t>(k));
    memset(copy + depth + k, 0, static_cast<size_t>(copy_bytes(k) - depth - k));
    Core::arrange(copy, copy_bytes(k) / kBlock);
}

// Rows in their order: where each begins, and the copy of x that is in phase with it.
template <class Core>
struct RowWalk {
    const uint8_t* bytes;
    const int8_t* x;
    int8_t* copies;
    int64_t k, phases, begin, phase;  // of the current row: its place in the stream, n % phases
    const int8_t* copy;

    RowWalk(const tb_product* p, const int8_t* x_stored)
        : bytes(static_cast<const uint8_t*>(p->packed)),
          x(x_stored),
          copies(static_cast<int8_t*>(p->scratch)),
          k(p->shape.k),
          phases(i2s_pack_row_step(&p->shape, nullptr)) {
        if (as_stored() || phases > kMaxPhases) return;
        for (int64_t i = 0; i < phases; ++i) {
            copy_x<Core>(x, k, i * k % kBlock, copies + i * copy_bytes(k));
        }
    }
    bool as_stored() const { return Core::kAsStored && phases == 1; }

    void go_to(int64_t n) {
        begin = n * k;
        phase = n % phases;
        choose();
    }
    void next() {
        begin += k;
        phase = phase + 1 == phases ? 0 : phase + 1;
        choose();
    }
    void choose() {
        copy = as_stored() ? x : phases <= kMaxPhases ? copies + phase * copy_bytes(k) : copies;
        if (phases > kMaxPhases) copy_x<Core>(x, k, begin % kBlock, copies);
    }

    const uint8_t* row() const { return bytes + begin / kBlock * kBlockBytes; }
    int64_t blocks() const { return (begin % kBlock + k + kBlock - 1) / kBlock; }
};

template <class Core, bool Prefetch>
void gemv_streams(const tb_product* p, int32_t* acc) {
    const tb_int8_batch x = tb_int8_open(&p->shape, p->prepared, p->m);
    const Token token = token_of(x, 0, tensor_scale(p->shape, p->packed));
    const Sink out{p->y, acc, p->ldy};
    RowWalk<Core> walk(p, x.q);
    constexpr int kRows = Core::kRows;
    const int64_t rows = p->n_end - p->n_begin;
    const int64_t apart = walk.phases <= kMaxPhases ? rows / kRows / walk.phases * walk.phases : 0;
    walk.go_to(p->n_begin);
    for (int64_t n = p->n_begin; n < p->n_begin + apart; ++n, walk.next()) {
        int32_t sums[kRows];
        Core::template run<kRows, Prefetch>(walk.row(), apart * walk.k / 4, walk.copy,
                                            walk.blocks(), sums);
        if constexpr (kRows == 4) {
            put_four(out, 0, n, apart, sums, token);
        } else {
            for (int r = 0; r < kRows; ++r) put(out, 0, n + r * apart, sums[r], token);
        }
    }
    if (rows == kRows * apart) return;
    walk.go_to(p->n_begin + kRows * apart);
    for (int64_t n = p->n_begin + kRows * apart; n < p->n_end; ++n, walk.next()) {
        int32_t sum[1];
        Core::template run<1, Prefetch>(walk.row(), 0, walk.copy, walk.blocks(), sum);
        put(out, 0, n, sum[0], token);
    }
}

template <class Core>
void gemv_rows(const tb_product* p, int32_t* acc) {
    if (wants_prefetch(p->tile)) return gemv_streams<Core, true>(p, acc);
    gemv_streams<Core, false>(p, acc);
}

}  // namespace

#endif
