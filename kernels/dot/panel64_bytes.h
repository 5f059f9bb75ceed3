/* What panel64.h needs of layouts that store a byte a weight, row after row. Static: see
 * epilogue.h. Include only from AVX-512 VNNI files. */
#ifndef TRITBENCH_KERNELS_DOT_PANEL64_BYTES_H
#define TRITBENCH_KERNELS_DOT_PANEL64_BYTES_H

#include "kernels/dot/panel64.h"

namespace {

// From so many tokens on, the rearrangement pays: 4 shuffles and a store to L2 for 64 weights.
constexpr int64_t kManyTokens = 128;

// Load: as Avx512VnniTile has it.
template <class Load>
struct ByteRows {
    static void rows(const tb_shape& s, const uint8_t* packed, int64_t n, int64_t last, int64_t k,
                     int64_t columns, uint8_t* to) {
        for (int64_t c = 0; c < columns; c += 64) {
            const int64_t left = columns - c;
            __m512i v[16];
            TB_UNROLL_16
            for (int64_t i = 0; i < 16; ++i) {
                const uint8_t* p = packed + (n + i < last ? n + i : last) * s.k + k + c;
                v[i] = left < 64 ? Load::tail(p, left) : Load::codes(p);
            }
            transpose16(v);
            TB_UNROLL_16
            for (int i = 0; i < 16; ++i) _mm512_store_si512(to + (c + 4 * i) * 64, v[i]);
        }
    }
};

inline size_t many_tokens_scratch(const tb_shape* s, const tb_tile*, int64_t m) {
    return m < kManyTokens ? 0 : panel64_scratch(*s, m);
}

}  // namespace

#endif
