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
    return m <= direct_tokens<Core>() ? arranged_scratch<Core>(*s, m) : codes_scratch(s, tile, m);
}

// How rows become codes: of rows n .. n + rows - 1, at most kCodeRows, all K columns, ld apart. A
// format may have a faster way.
template <class Format>
struct UnpackRows {
    static void rows(const tb_shape& s, const uint8_t* packed, int64_t n, int64_t rows, uint8_t* to,
                     int64_t ld) {
        for (int64_t r = 0; r < rows; ++r) {
            Format::codes(group_of<Format>(s, packed, n + r),
                          static_cast<int>((n + r) % Format::kGroup), 0, s.k, to + r * ld);
        }
    }
};

// Calls f(n, rows, codes, scales) for the rows of a call, kCodeRows at a time, with their codes, kp
// apart and padded with zeros, and their scales.
template <class Format, class Unpack, class F>
void for_unpacked_rows(const tb_product* p, int64_t kp, const F& f) {
    const int64_t k = p->shape.k;
    auto* codes = static_cast<uint8_t*>(p->scratch);
    for (int64_t n = p->n_begin; n < p->n_end; n += kCodeRows) {
        const int64_t rows = p->n_end - n < kCodeRows ? p->n_end - n : kCodeRows;
        float scales[kCodeRows] = {0};
        Unpack::rows(p->shape, static_cast<const uint8_t*>(p->packed), n, rows, codes, kp);
        for (int64_t r = 0; r < rows; ++r) {
            memset(codes + r * kp + k, 0, static_cast<size_t>(kp - k));
            scales[r] = Format::scale(group_of<Format>(p->shape, p->packed, n + r),
                                      static_cast<int>((n + r) % Format::kGroup), k);
        }
        f(n, rows, codes, scales);
    }
}

template <class Format, class Tile, class Unpack = UnpackRows<Format>>
void multiply_unpacked(const tb_product* p, int32_t* acc) {
    const tb_int8_batch x = tb_int8_open(&p->shape, p->prepared, p->m);
    const Sink out{p->y, acc, p->ldy};
    for_unpacked_rows<Format, Unpack>(
        p, x.kp, [&](int64_t n, int64_t rows, const uint8_t* codes, const float* scales) {
            multiply_codes<Tile>(codes, x.kp, n, rows, x.kp, x, scales, out);
        });
}

// Any number of tokens.
template <class Core, class Tile, class Unpack = UnpackRows<typename Core::Format>>
void multiply_groups_or_codes(const tb_product* p, int32_t* acc) {
    if (p->m <= direct_tokens<Core>()) return gemv_groups<Core>(p, acc);
    multiply_unpacked<typename Core::Format, Tile, Unpack>(p, acc);
}

}  // namespace

#endif
