/* The portable tile of the block formats: prepared_block.h and a Format (layout.h) read plainly. It
 * is bound by the integers of a row, which are unpacked one at a time for every token.
 * Static: see dot/epilogue.h. */
#ifndef TRITBENCH_KERNELS_BLOCKS_SCALAR_H
#define TRITBENCH_KERNELS_BLOCKS_SCALAR_H

#include "kernels/blocks/rows.h"

namespace {

template <class AnyFormat>
struct ScalarTile {
    using Format = AnyFormat;

    static float dot(const uint8_t* w, const tb_block32_chunk* x, int64_t k) {
        float lanes[TB_BLOCK32_BLOCKS] = {0};
        for (int64_t begin = 0; begin < k; begin += Format::kColumns, w += Format::kBytes) {
            int32_t v[Format::kColumns];
            Format::integers(w, v);
            const float d = Format::scale(w);
            for (int64_t i = 0; i < Format::kColumns; i += TB_BLOCK32_COLUMNS) {
                const int64_t at = (begin + i) % TB_BLOCK32_CHUNK;
                const int64_t b = at / TB_BLOCK32_COLUMNS;
                const tb_block32_chunk& chunk = x[(begin + i) / TB_BLOCK32_CHUNK];
                const int8_t* q = chunk.q[0];
                int32_t sum = 0;
                for (int64_t j = 0; j < TB_BLOCK32_COLUMNS; ++j) {
                    sum += v[i + j] * q[tb_block32_position(at + j)];
                }
                lanes[b] = __builtin_fmaf(d * chunk.scale[b], static_cast<float>(sum), lanes[b]);
            }
        }
        for (int width = TB_BLOCK32_BLOCKS / 2; width >= 1; width /= 2) {
            for (int i = 0; i < width; ++i) lanes[i] += lanes[i + width];
        }
        return lanes[0];
    }

    template <int R, int T, bool /* Prefetch */>
    static void run(const uint8_t* w, int64_t ldw, const uint8_t* /* end */,
                    const tb_block32_chunk* x, int64_t chunks, int64_t k, float (&out)[R][T]) {
        for (int r = 0; r < R; ++r) {
            for (int t = 0; t < T; ++t) out[r][t] = dot(w + r * ldw, x + t * chunks, k);
        }
    }
};

}  // namespace

#endif
