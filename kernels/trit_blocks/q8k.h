/* TQ1_0 and TQ2_0 as published: weights of a block times activations of a block, both with a scale
 * of their own (llama.cpp's Q8_K, prepared_q8k.h). Their packed bytes are those of the exact
 * kernels, so a layout has both; here the scale of every block counts, agree or not.
 *
 *   S_b = sum over block b of trit * q             in integers, |S_b| <= 2^15: exact in a float
 *   y   = fma(d_b * dx_b, (float)S_b, y)           b ascending from y = 0
 *
 * The bound: with u = 2^-24 and B = K / 256 blocks, d_b * dx_b is rounded once and the sum B times,
 * so y is within ((1 + u)^(B + 1) - 1) * sum |w||x| of the sum of w and x as stored; and x = q *
 * scale as a float is rounded once more. K <= 2^20 makes that (4096 + 2) * 2^-24 = 2.443e-4, where
 * no product of scales is subnormal.
 * Static: see dot/epilogue.h. */
#ifndef TRITBENCH_KERNELS_TRIT_BLOCKS_Q8K_H
#define TRITBENCH_KERNELS_TRIT_BLOCKS_Q8K_H

#include "kernels/api/prepared_q8k.h"
#include "kernels/trit_blocks/tq.h"

namespace {

constexpr int64_t kQ8kMaxK = int64_t{1} << 20;
constexpr double kQ8kBound = 2.45e-4;

template <class Format>
tb_status q8k_accepts(const tb_shape* s, const tb_tile* tile) {
    const tb_status status = tb_check_shape(s, kQ8kMaxK);
    return status.code != TB_OK ? status : trit_blocks_accepts<Format>(s, tile);
}

template <class Format>
void q8k_work(const tb_shape* s, const tb_tile* tile, int64_t m, tb_work* out) {
    trit_blocks_work<Format>(s, tile, m, out);
    out->activation_bytes = static_cast<double>(tb_q8k_prepared_size(s, tile, m));
}

template <class Format>
constexpr tb_kernel q8k_descriptor(const char* id, const char* isa, tb_features features,
                                   const char* description, int64_t row_step,
                                   ScratchSize scratch_size, Product gemv, Product gemm) {
    tb_kernel d = trit_blocks_descriptor<Format>(id, isa, features, description, row_step,
                                                 scratch_size, gemv, gemm, nullptr);
    d.activation_kind = TB_ACT_INT8_BLOCK;
    d.activation_block = TB_Q8K_COLUMNS;
    d.exactness = TB_BOUNDED;
    d.bound = kQ8kBound;
    d.max_k = kQ8kMaxK;
    d.prepare_k_step = TB_Q8K_COLUMNS;
    d.prepare_tag = TB_Q8K_PREPARE_TAG;
    d.accepts = q8k_accepts<Format>;
    d.prepared_size = tb_q8k_prepared_size;
    d.row_absmax = tb_q8k_row_absmax;
    d.prepare = tb_q8k_prepare;
    d.work = q8k_work<Format>;
    return d;
}

template <class Format>
void q8k_multiply_scalar(const tb_product* p) {
    const tb_q8k_batch x = tb_q8k_open(&p->shape, p->prepared, p->m);
    for (int64_t n = p->n_begin; n < p->n_end; ++n) {
        const uint8_t* row = group_of<Format>(p->shape, p->packed, n);
        for (int64_t m = 0; m < p->m; ++m) {
            const int8_t* q = x.q + m * x.kp;
            float y = 0;
            for (int64_t b = 0; b < x.blocks; ++b, q += kTqColumns) {
                const uint8_t* block = row + b * Format::kBlockBytes;
                uint8_t codes[kTqColumns];
                Format::block_codes(block, codes);
                int32_t sum = -x.sums[m * x.blocks + b];
                for (int64_t i = 0; i < kTqColumns; ++i) sum += codes[i] * q[i];
                const float scale = Format::block_scale(block) * x.scale[m * x.blocks + b];
                y = __builtin_fmaf(scale, static_cast<float>(sum), y);
            }
            p->y[m * p->ldy + n] = y;
        }
    }
}

}  // namespace

#endif
