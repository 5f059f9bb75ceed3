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
    if (m <= kFewTokens) return gemv_scratch(*s, m);
    return static_cast<size_t>(kPanelRows * tb_round_up(s->k, 64));
}

template <class Tile>
void multiply_panels(const tb_product* p, int32_t* acc) {
    const tb_int8_batch x = tb_int8_open(&p->shape, p->prepared, p->m);
    const auto* bytes = static_cast<const uint8_t*>(p->packed);
    auto* codes = static_cast<uint8_t*>(p->scratch);
    float scales[kPanelRows];
    TensorScale{tensor_scale(p->shape, p->packed)}(0, kPanelRows, scales);
    const Sink out{p->y, acc, p->ldy};
    for (int64_t n = p->n_begin; n < p->n_end; n += kPanelRows) {
        const int64_t rows = p->n_end - n < kPanelRows ? p->n_end - n : kPanelRows;
        for (int64_t r = 0; r < rows; ++r) {
            uint8_t* row = codes + r * x.kp;
            unpack_stream(bytes, (n + r) * x.k, x.k, row);
            memset(row + x.k, 0, static_cast<size_t>(x.kp - x.k));
        }
        multiply_codes<Tile>(codes, x.kp, n, rows, x.kp, x, scales, out);
    }
}

// Any number of tokens.
template <class Core, class Tile>
void multiply_rows_or_panels(const tb_product* p, int32_t* acc) {
    if (p->m <= kFewTokens) return gemv_rows<Core>(p, acc);
    multiply_panels<Tile>(p, acc);
}

}  // namespace

#endif
