/* What a model needs beside matrix products: norm, rope, softmax, attention, gating.
 *
 * Plain C like the kernel contract: one constant table of functions per ISA, no allocation, no
 * threads, no state. Every table computes the same bits: float reductions run in 16 fixed lanes
 * (lane = index % 16) and one fixed tree (16 -> 8 -> 4 -> 2 -> 1, adding lane i + width/2 to lane
 * i), multiplications and additions are never fused, exp is our own polynomial, and only division
 * and square root, which IEEE 754 rounds exactly, are used beside. kernels/ops/ops.inl is the one
 * source, compiled once per ISA. Matrices are row-major, sizes and strides in elements.
 *
 * Passes are fused where a result is a by-product: add and the gates return the sum of squares that
 * the norm behind them needs, norm_scale the maximum that the quantisation behind it needs. The
 * quantisation itself cannot be done from norm_scale's registers: its scale is that maximum, known
 * only at the end of the row. The bits are those of the passes done one by one.
 */
#ifndef TRITBENCH_KERNELS_API_OPS_H
#define TRITBENCH_KERNELS_API_OPS_H

#include <stddef.h>
#include <stdint.h>

#include "kernels/api/features.h"

#ifdef __cplusplus
extern "C" {
#endif

/* What a row of the KV cache holds. Halves become floats exactly, so that every table gives the
 * same bits for the same cache of either type. */
typedef enum tb_cache_type { TB_CACHE_F16, TB_CACHE_F32 } tb_cache_type;

/* Causal grouped-query attention over the KV cache of one layer, for a rectangle of tokens and
 * heads. Query head h reads KV head h / (heads / kv_heads). Token t sees the cached positions
 * [0, position + t]:  out = sum_j softmax_j(scale * q.k_j) v_j. */
typedef struct tb_attention {
    const float* q; /* [tokens][q_stride], head h at h * head_dim */
    int64_t q_stride;
    const void* k; /* [kv_heads][rows][row_stride] of cache_type, rows % 16 == 0; the elements of */
    const void* v; /* a row past head_dim are zero, and rows not yet written are finite */
    tb_cache_type cache_type;
    int64_t head_stride; /* elements between KV heads: rows * row_stride */
    int64_t row_stride;  /* head_dim rounded up to a multiple of 16 */
    int64_t heads;
    int64_t kv_heads; /* divides heads */
    int64_t head_dim;
    int64_t position; /* cached positions before token 0; token t itself is cached */
    float scale;
    float* out; /* [tokens][out_stride], head h at h * head_dim */
    int64_t out_stride;
    int64_t token_begin, token_end;
    int64_t head_begin, head_end;
    float* scratch; /* tb_attention_scratch floats, 64-byte aligned, one per thread */
} tb_attention;

#define TB_ATTENTION_ROWS 64  /* (token, head) pairs that share one pass over keys and values */
#define TB_ATTENTION_BLOCK 64 /* keys or values that are converted to floats at once */

/* Floats of scratch for up to `positions` cached positions and any rectangle. */
static inline int64_t tb_attention_scratch(int64_t head_dim, int64_t positions) {
    const int64_t row = (head_dim + 15) / 16 * 16;
    const int64_t scores = (positions + 15) / 16 * 16;
    return TB_ATTENTION_ROWS * (2 * row + scores) + TB_ATTENTION_BLOCK * row;
}

typedef struct tb_ops {
    const char* isa;      /* scalar, avx2, avx512 */
    tb_features features; /* every bit must be allowed on this CPU */

    /* y[i] = x[i] * (1 / sqrt(mean(x^2) + eps)) * w[i], i < n: norm_scale of sum_squares. y may be
     * x. */
    void (*rms_norm)(const float* x, const float* w, float eps, int64_t n, float* y);
    /* The sum of x[i]^2. */
    float (*sum_squares)(const float* x, int64_t n);
    /* y[i] = x[i] * (1 / sqrt(sum_squares / n + eps)) * w[i]. Returns max |y[i]|, found as the
     * maximum of the bits without their sign as integers: a NaN counts for more than infinity, so
     * that the result is finite only if every y[i] is. y may be x. */
    float (*norm_scale)(const float* x, float sum_squares, const float* w, float eps, int64_t n,
                        float* y);
    /* NEOX rotary embedding in place: the pairs (i, i + head_dim/2) of each of `heads` rows
     * turned by the angle whose cosine and sine are cos[i], sin[i], i < head_dim/2. */
    void (*rope)(float* x, int64_t heads, int64_t head_dim, const float* cos, const float* sin);
    /* The same for the pairs (2i, 2i + 1), as the architecture llama has them. */
    void (*rope_pairs)(float* x, int64_t heads, int64_t head_dim, const float* cos,
                       const float* sin);
    /* x[i] = exp(x[i] - max) / sum, in place. */
    void (*softmax)(float* x, int64_t n);
    void (*attention)(const tb_attention* a);
    /* y[i] = max(gate[i], 0)^2 * up[i]. y may be gate or up. Returns sum_squares of y. */
    float (*relu2_gate)(const float* gate, const float* up, int64_t n, float* y);
    /* y[i] = gate[i] / (1 + e^-gate[i]) * up[i], in that order: SiLU. y may be gate or up. Returns
     * sum_squares of y. */
    float (*silu_gate)(const float* gate, const float* up, int64_t n, float* y);
    /* x[i] += y[i]. Returns sum_squares of the new x. */
    float (*add)(float* x, const float* y, int64_t n);
    /* y[i] = e^x[i], relative error at most 1e-7 (measured 7.9e-8). Below -87.33 (results that are
     * not normal) the result is 0; above 88 it is e^88. y may be x. */
    void (*exp)(const float* x, int64_t n, float* y);
    /* y[i] = x[i] as an IEEE half, rounded to nearest even. A finite value beyond 65504 becomes
     * 65504 with its sign, not infinity; infinity stays, and every NaN becomes 0x7e00 with the sign
     * that it had. */
    void (*store_f16)(const float* x, int64_t n, uint16_t* y);
} tb_ops;

#ifdef __cplusplus
} /* extern "C" */

#include <span>

namespace tritbench {

// Every table compiled in, narrowest ISA first.
std::span<const tb_ops* const> all_ops();

// The widest table that allowed_features() permits.
const tb_ops& best_ops();

}  // namespace tritbench
#endif

#endif
