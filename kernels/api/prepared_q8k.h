/* Prepared activations in blocks of 256 columns (prepare_tag "int8_q8k"), with the values of
 * llama.cpp's Q8_K in a layout of our own. Header only, static; see prepared_int8.h.
 *
 *   offset 0              q      int8  [m][kp]      kp = K rounded up to 256, padded with zeros;
 *                                                   a block is 64-byte aligned
 *   offset m*kp           scale  float [m][blocks]  blocks = kp / 256; of either sign
 *   offset align64(...)   sums   int32 [m][blocks]  of q over the block
 *
 * Q8_K keeps sums over 16 columns, for formats with a scale for so many; the ternary ones have one
 * for the block, and one sum is what they need.
 *
 * Quantisation (llama.cpp, ggml-quants.c, quantize_row_q8_K_ref): max is the value of the block
 * with the largest magnitude, the first of several; iscale = -127 / max, so that max becomes -127
 * and the scale has the sign that max does not; q = min(127, round_half_even(x * iscale)), scale =
 * 1 / iscale. |x * iscale| <= 127 + 2^-16, so the minimum never bites and q is within +-127. A
 * block with |max| < 1e-30 is all zero, scale 0 (the original: only if max is 0; below 4e-37 its
 * iscale is infinite). From given int8 rows q is taken as it is, -128 allowed, and the token's
 * scale is that of every block. A sum is within 2^15. */
#ifndef TRITBENCH_KERNELS_API_PREPARED_Q8K_H
#define TRITBENCH_KERNELS_API_PREPARED_Q8K_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "kernels/api/kernel.h"
#include "kernels/api/prepared_int8.h"

#define TB_Q8K_COLUMNS 256
#define TB_Q8K_PREPARE_TAG "int8_q8k"
#define TB_Q8K_LEAST_ABSMAX 1e-30f

/* A prepared batch, taken apart. */
typedef struct tb_q8k_batch {
    int64_t m, k, kp, blocks;
    const int8_t* q;
    const float* scale;
    const int32_t* sums;
} tb_q8k_batch;

static inline int64_t tb_q8k_blocks(int64_t k) {
    return (k + TB_Q8K_COLUMNS - 1) / TB_Q8K_COLUMNS;
}

static inline size_t tb_q8k_scale_offset(int64_t m, int64_t k) {
    return (size_t)(m * tb_q8k_blocks(k) * TB_Q8K_COLUMNS);
}

static inline size_t tb_q8k_sums_offset(int64_t m, int64_t k) {
    return tb_q8k_scale_offset(m, k) + (size_t)tb_round_up(m * tb_q8k_blocks(k) * 4, 64);
}

static inline size_t tb_q8k_prepared_size(const tb_shape* shape, const tb_tile* tile, int64_t m) {
    (void)tile;
    return tb_q8k_sums_offset(m, shape->k) + (size_t)(m * tb_q8k_blocks(shape->k) * 4);
}

static inline tb_q8k_batch tb_q8k_open(const tb_shape* shape, const void* prepared, int64_t m) {
    const char* base = (const char*)prepared;
    tb_q8k_batch b;
    b.m = m;
    b.k = shape->k;
    b.blocks = tb_q8k_blocks(shape->k);
    b.kp = b.blocks * TB_Q8K_COLUMNS;
    b.q = (const int8_t*)base;
    b.scale = (const float*)(const void*)(base + tb_q8k_scale_offset(m, shape->k));
    b.sums = (const int32_t*)(const void*)(base + tb_q8k_sums_offset(m, shape->k));
    return b;
}

/* Not needed: every block has its own maximum. */
static inline float tb_q8k_row_absmax(const float* x, int64_t count) {
    (void)x;
    (void)count;
    return 0;
}

/* The first value of the largest magnitude among 256, as bits; NaN is above all. */
static inline uint32_t tb_q8k_extreme(const float* x) {
    uint32_t most[16] = {0}, magnitude = 0;
    for (int i = 0; i < TB_Q8K_COLUMNS; i += 16) {
        uint32_t bits[16];
        memcpy(bits, x + i, sizeof bits);
        for (int j = 0; j < 16; ++j) {
            const uint32_t value = bits[j] & 0x7fffffffu;
            most[j] = value > most[j] ? value : most[j];
        }
    }
    for (int j = 0; j < 16; ++j) magnitude = most[j] > magnitude ? most[j] : magnitude;
    for (int i = 0; i < TB_Q8K_COLUMNS; ++i) {
        uint32_t bits;
        memcpy(&bits, x + i, sizeof bits);
        if ((bits & 0x7fffffffu) == magnitude) return bits;
    }
    return magnitude;
}

/* int8 values and scale of 256 floats. Returns 0 if one of them is infinite or NaN. */
static inline int tb_q8k_quantise(const float* x, int8_t* q, float* scale) {
    const uint32_t bits = tb_q8k_extreme(x);
    float max;
    memcpy(&max, &bits, sizeof max);
    if ((bits & 0x7fffffffu) >= 0x7f800000u) return 0;
    if (max < TB_Q8K_LEAST_ABSMAX && -max < TB_Q8K_LEAST_ABSMAX) {
        memset(q, 0, TB_Q8K_COLUMNS);
        *scale = 0;
        return 1;
    }
    const float inverse = -127.0f / max;
    tb_int8_quantise(x, inverse, TB_Q8K_COLUMNS, q);
    *scale = 1.0f / inverse;
    return 1;
}

static inline tb_status tb_q8k_prepare(const tb_shape* shape, const tb_tile* tile,
                                       const tb_activations* act, int64_t m_begin, int64_t m_end,
                                       int64_t k_begin, int64_t k_end, void* prepared) {
    (void)tile;
    const tb_status bad_range = {TB_BAD_RANGE, "k range must begin on 256 and end on 256 or K"};
    const tb_status bad_input = {TB_BAD_INPUT, "needs float rows, or int8 rows with scales"};
    const tb_status not_finite = {TB_BAD_INPUT, "an activation is infinite or not a number"};
    const tb_status ok = {TB_OK, NULL};
    if (k_begin % TB_Q8K_COLUMNS != 0 || (k_end % TB_Q8K_COLUMNS != 0 && k_end != shape->k)) {
        return bad_range;
    }
    if (act->x == NULL && (act->q == NULL || act->q_scale == NULL)) return bad_input;
    const int64_t blocks = tb_q8k_blocks(shape->k);
    char* base = (char*)prepared;
    float* scale = (float*)(void*)(base + tb_q8k_scale_offset(act->m, shape->k));
    int32_t* sums = (int32_t*)(void*)(base + tb_q8k_sums_offset(act->m, shape->k));
    for (int64_t m = m_begin; m < m_end; ++m) {
        for (int64_t k = k_begin; k < k_end; k += TB_Q8K_COLUMNS) {
            const int64_t b = m * blocks + k / TB_Q8K_COLUMNS;
            const int64_t left = k_end - k;
            const size_t count = (size_t)(left < TB_Q8K_COLUMNS ? left : TB_Q8K_COLUMNS);
            int8_t* q = (int8_t*)base + b * TB_Q8K_COLUMNS;
            if (act->x == NULL) {
                memcpy(q, act->q + m * act->ld + k, count);
                memset(q + count, 0, TB_Q8K_COLUMNS - count);
                scale[b] = act->q_scale[m];
            } else if (count == TB_Q8K_COLUMNS) {
                if (!tb_q8k_quantise(act->x + m * act->ld + k, q, scale + b)) return not_finite;
            } else {
                float x[TB_Q8K_COLUMNS] = {0};
                memcpy(x, act->x + m * act->ld + k, count * sizeof(float));
                if (!tb_q8k_quantise(x, q, scale + b)) return not_finite;
            }
            int32_t sum = 0;
            for (int i = 0; i < TB_Q8K_COLUMNS; ++i) sum += q[i];
            sums[b] = sum;
        }
    }
    return ok;
}

#endif
