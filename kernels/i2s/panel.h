/* GEMM for `i2s`: a panel of rows is unpacked once to byte codes in scratch (L2), then multiplied
 * with every token; the unpacking is shared by all M tokens. Static: see dot/epilogue.h. */
#ifndef TRITBENCH_KERNELS_I2S_PANEL_H
#define TRITBENCH_KERNELS_I2S_PANEL_H

#include "kernels/dot/codes.h"
#include "kernels/i2s/layout.h"

namespace {

constexpr int64_t kPanelRows = 32;  // 32 * 2560 bytes = 80 KB: in L2, with room for the tokens

size_t panel_scratch(const tb_shape* s, const tb_tile*, int64_t m) {
    return m > 1 ? static_cast<size_t>(kPanelRows * tb_round_up(s->k, 64)) : 0;
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

// GEMV: Core::run<R>(block pointer, bytes between rows, x, blocks, sums) on whole blocks, kRows
// rows at a time (as many as the registers of the ISA hold). A row that begins or ends inside a
// block is completed through a copy of x with zeros around it.
template <class Core>
int32_t ragged_row(const tb_shape& s, const uint8_t* bytes, int64_t row, const int8_t* x) {
    int32_t total = 0;
    for (int64_t column = 0; column < s.k;) {
        const int64_t e = row * s.k + column;
        const int64_t offset = e % kBlock;
        const uint8_t* block = bytes + e / kBlock * kBlockBytes;
        const int64_t left = s.k - column;
        int32_t sum[1];
        if (offset == 0 && left >= kBlock) {
            const int64_t blocks = left / kBlock;
            Core::template run<1>(block, 0, x + column, blocks, sum);
            column += blocks * kBlock;
        } else {
            int8_t padded[kBlock] = {0};
            const int64_t take = left < kBlock - offset ? left : kBlock - offset;
            memcpy(padded + offset, x + column, static_cast<size_t>(take));
            Core::template run<1>(block, 0, padded, 1, sum);
            column += take;
        }
        total += sum[0];
    }
    return total;
}

template <class Core>
void gemv_rows(const tb_product* p, int32_t* acc) {
    const tb_int8_batch x = tb_int8_open(&p->shape, p->prepared, p->m);
    const auto* bytes = static_cast<const uint8_t*>(p->packed);
    const Token token = token_of(x, 0, tensor_scale(p->shape, p->packed));
    const Sink out{p->y, acc, p->ldy};
    int64_t n = p->n_begin;
    if (p->shape.k % kBlock == 0) {
        constexpr int kRows = Core::kRows;
        const int64_t row_bytes = p->shape.k / 4;
        const int64_t apart = (p->n_end - p->n_begin) / kRows;
        for (; n < p->n_begin + apart; ++n) {
            int32_t sums[kRows];
            Core::template run<kRows>(bytes + n * row_bytes, apart * row_bytes, x.q,
                                      p->shape.k / kBlock, sums);
            for (int r = 0; r < kRows; ++r) put(out, 0, n + r * apart, sums[r], token);
        }
        n = p->n_begin + kRows * apart;
    }
    for (; n < p->n_end; ++n) put(out, 0, n, ragged_row<Core>(p->shape, bytes, n, x.q), token);
}

}  // namespace

#endif
