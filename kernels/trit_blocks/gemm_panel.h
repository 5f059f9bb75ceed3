/* GEMM of the ternary block formats with AVX-512 VNNI: see dot/panel64.h. The codes of 16 rows and
 * 256 columns are decoded as the Format does, then transposed, so that a 32-bit lane is a row.
 * Static: see dot/epilogue.h. Include only from AVX-512 VNNI files. */
#ifndef TRITBENCH_KERNELS_TRIT_BLOCKS_GEMM_PANEL_H
#define TRITBENCH_KERNELS_TRIT_BLOCKS_GEMM_PANEL_H

#include "kernels/dot/panel64.h"
#include "kernels/trit_blocks/gemv.h"

namespace {

template <class Format>
struct UnpackGroups {
    static void rows(const tb_shape& s, const uint8_t* packed, int64_t n, int64_t last, int64_t k,
                     int64_t columns, uint8_t* to) {
        constexpr int64_t kStep = 256;
        alignas(64) uint8_t codes[16][kStep];
        for (int64_t c = 0; c < columns; c += kStep) {
            const int64_t count = columns - c < kStep ? columns - c : kStep;
            for (int64_t i = 0; i < 16; ++i) {
                const int64_t row = n + i < last ? n + i : last;
                Format::codes(group_of<Format>(s, packed, row),
                              static_cast<int>(row % Format::kGroup), k + c, count, codes[i]);
            }
            for (int64_t j = 0; j < count; j += 64) {
                __m512i v[16];
                TB_UNROLL_16
                for (int64_t i = 0; i < 16; ++i) v[i] = _mm512_load_si512(codes[i] + j);
                transpose16(v);
                TB_UNROLL_16
                for (int i = 0; i < 16; ++i) _mm512_store_si512(to + (c + j + 4 * i) * 64, v[i]);
            }
        }
    }
};

template <class Format>
struct GroupScales {
    const tb_product* p;

    void operator()(int64_t n, int64_t rows, float* to) const {
        for (int64_t r = 0; r < rows; ++r) {
            to[r] = Format::scale(group_of<Format>(p->shape, p->packed, n + r),
                                  static_cast<int>((n + r) % Format::kGroup), p->shape.k);
        }
    }
};

inline size_t panel_scratch(const tb_shape* s, const tb_tile*, int64_t m) {
    return m <= kFewTokens ? 0 : panel64_scratch(*s, m);
}

// The same for a Core that arranges activations.
template <class Core>
size_t arranged_or_panel_scratch(const tb_shape* s, const tb_tile*, int64_t m) {
    return m <= direct_tokens<Core>() ? arranged_scratch<Core>(*s, m) : panel64_scratch(*s, m);
}

// Any number of tokens. Unpack as for gemm_panel64, where the format has a cheaper one.
template <class Core, class Unpack = UnpackGroups<typename Core::Format>>
void multiply_groups_or_panels(const tb_product* p, int32_t* acc) {
    if (p->m <= direct_tokens<Core>()) return gemv_groups<Core>(p, acc);
    gemm_panel64<Unpack>(p, acc, GroupScales<typename Core::Format>{p});
}

}  // namespace

#endif
