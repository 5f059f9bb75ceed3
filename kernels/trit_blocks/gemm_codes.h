/* GEMM of the ternary block formats for any ISA: a panel of rows is unpacked once to byte codes in
 * scratch (L2), then multiplied with every token; the unpacking is shared by all of them.
 * Static: see dot/epilogue.h. */
#ifndef TRITBENCH_KERNELS_TRIT_BLOCKS_GEMM_CODES_H
#define TRITBENCH_KERNELS_TRIT_BLOCKS_GEMM_CODES_H

#include "kernels/dot/codes.h"
#include "kernels/trit_blocks/gemv.h"

namespace {

// 32 * 2560 bytes = 80 KB: in L2, with room for the tokens.
inline size_t codes_scratch(const tb_shape* s, const tb_tile*, int64_t m) {
    if (m <= kFewTokens) return 0;
    return static_cast<size_t>(kCodeRows * tb_round_up(s->k, 64));
}

// The same for a Core that arranges activations.
template <class Core>
size_t arranged_or_codes_scratch(const tb_shape* s, const tb_tile* tile, int64_t m) {
    return m <= kFewTokens ? arranged_scratch<Core>(*s, m) : codes_scratch(s, tile, m);
}

template <class Format, class Tile>
void multiply_unpacked(const tb_product* p, int32_t* acc) {
    const tb_int8_batch x = tb_int8_open(&p->shape, p->prepared, p->m);
    auto* codes = static_cast<uint8_t*>(p->scratch);
    const Sink out{p->y, acc, p->ldy};
    for (int64_t n = p->n_begin; n < p->n_end; n += kCodeRows) {
        const int64_t rows = p->n_end - n < kCodeRows ? p->n_end - n : kCodeRows;
        float scales[kCodeRows];
        for (int64_t r = 0; r < rows; ++r) {
            const uint8_t* group = group_of<Format>(p->shape, p->packed, n + r);
            const int of_group = static_cast<int>((n + r) % Format::kGroup);
            uint8_t* row = codes + r * x.kp;
            Format::codes(group, of_group, 0, x.k, row);
            memset(row + x.k, 0, static_cast<size_t>(x.kp - x.k));
            scales[r] = Format::scale(group, of_group, x.k);
        }
        multiply_codes<Tile>(codes, x.kp, n, rows, x.kp, x, scales, out);
    }
}

// Any number of tokens.
template <class Core, class Tile>
void multiply_groups_or_codes(const tb_product* p, int32_t* acc) {
    if (p->m <= kFewTokens) return gemv_groups<Core>(p, acc);
    multiply_unpacked<typename Core::Format, Tile>(p, acc);
}

}  // namespace

#endif
