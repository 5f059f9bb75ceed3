/* GEMM for `i2s`: a panel of rows is unpacked once to byte codes in scratch (L2), then multiplied
 * with every token; the unpacking is shared by all M tokens. Static: see dot/epilogue.h. */
#ifndef TRITBENCH_KERNELS_I2S_PANEL_H
#define TRITBENCH_KERNELS_I2S_PANEL_H

#include "kernels/dot/codes.h"
#include "kernels/i2s/gemv.h"

namespace {

constexpr int64_t kPanelRows =
    kCodeRows;  // 32 * 2560 bytes = 80 KB: in L2, with room for the tokens

size_t panel_scratch(const tb_shape* s, const tb_tile*, int64_t m) {
    return m > 1 ? static_cast<size_t>(kPanelRows * tb_round_up(s->k, 64)) : gemv_scratch(*s);
}

// One row of codes in column order, padded with zero codes to kp.
inline void unpack_row(const tb_shape& s, const uint8_t* bytes, int64_t row, int64_t kp,
                       uint8_t* codes) {
    for (int64_t column = 0; column < s.k;) {
        const int64_t e = row * s.k + column;
        const int64_t offset = e % kBlock;
        const uint8_t* block = bytes + e / kBlock * kBlockBytes;
        if (offset == 0 && s.k - column >= kBlock) {
            unpack_block(block, codes + column);
            column += kBlock;
        } else {
            uint8_t whole[kBlock];
            unpack_block(block, whole);
            const int64_t left = s.k - column;
            const int64_t take = left < kBlock - offset ? left : kBlock - offset;
            memcpy(codes + column, whole + offset, static_cast<size_t>(take));
            column += take;
        }
    }
    memset(codes + s.k, 0, static_cast<size_t>(kp - s.k));
}

template <class Tile>
void gemm_panels(const tb_product* p, int32_t* acc) {
    const tb_int8_batch x = tb_int8_open(&p->shape, p->prepared, p->m);
    const auto* bytes = static_cast<const uint8_t*>(p->packed);
    auto* codes = static_cast<uint8_t*>(p->scratch);
    const float scale = tensor_scale(p->shape, p->packed);
    const Sink out{p->y, acc, p->ldy};
    for (int64_t n = p->n_begin; n < p->n_end; n += kPanelRows) {
        const int64_t rows = p->n_end - n < kPanelRows ? p->n_end - n : kPanelRows;
        for (int64_t r = 0; r < rows; ++r) {
            unpack_row(p->shape, bytes, n + r, x.kp, codes + r * x.kp);
        }
        multiply_codes<Tile>(codes, x.kp, n, rows, x.kp, x, scale, out);
    }
}

}  // namespace

#endif
