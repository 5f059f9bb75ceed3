/* Prepared activations of W1.58A8: int8 per token, one scale per token, sums per column chunk.
 * Shared by every kernel with prepare_tag "int8_token". Header only, static: an ISA file that
 * includes it compiles its own copy and exports nothing.
 *
 *   offset 0              q      int8  [m][kp]     kp = K rounded up to 64, padded with zeros
 *   offset m*kp           scale  float [m]         x ~ q * scale
 *   offset align64(...)   sums   int32 [m][chunks] sum of q over columns [512 c, 512 c + 512)
 *
 * Quantisation (BitNet b1.58 2B4T report, arXiv:2504.12285; bitnet.cpp quantize_row_i8_s):
 *   a = max(max|x|, 1e-5),  q = round_half_even(x * (127 / a)),  scale = a / 127.
 * |x| * (127/a) <= 127 + 2^-16, so q needs no clamp: it is within +-127. From given int8 rows q may
 * be -128. Sums: |sum| <= 128 * 512 a chunk; over a row it fits int32 for K < 2^24. */
#ifndef TRITBENCH_KERNELS_API_PREPARED_INT8_H
#define TRITBENCH_KERNELS_API_PREPARED_INT8_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "kernels/api/kernel.h"

#define TB_INT8_K_STEP 512 /* columns of a chunk, and the step on which prepare may be split */
#define TB_INT8_PREPARE_TAG "int8_token"

/* A prepared batch, taken apart. */
typedef struct tb_int8_batch {
    int64_t m, k, kp, chunks;
    const int8_t* q;
    const float* scale;
    const int32_t* sums;
} tb_int8_batch;

static inline int64_t tb_round_up(int64_t value, int64_t step) {
    return (value + step - 1) / step * step;
}

static inline size_t tb_int8_scale_offset(int64_t m, int64_t k) {
    return (size_t)(m * tb_round_up(k, 64));
}

static inline size_t tb_int8_sums_offset(int64_t m, int64_t k) {
    return tb_int8_scale_offset(m, k) + (size_t)tb_round_up(m * 4, 64);
}

static inline int64_t tb_int8_chunks(int64_t k) {
    return (k + TB_INT8_K_STEP - 1) / TB_INT8_K_STEP;
}

static inline size_t tb_int8_prepared_size(const tb_shape* shape, const tb_tile* tile, int64_t m) {
    (void)tile;
    return tb_int8_sums_offset(m, shape->k) + (size_t)(m * tb_int8_chunks(shape->k) * 4);
}

static inline tb_int8_batch tb_int8_open(const tb_shape* shape, const void* prepared, int64_t m) {
    const char* base = (const char*)prepared;
    tb_int8_batch b;
    b.m = m;
    b.k = shape->k;
    b.kp = tb_round_up(shape->k, 64);
    b.chunks = tb_int8_chunks(shape->k);
    b.q = (const int8_t*)base;
    b.scale = (const float*)(const void*)(base + tb_int8_scale_offset(m, shape->k));
    b.sums = (const int32_t*)(const void*)(base + tb_int8_sums_offset(m, shape->k));
    return b;
}

/* Sum of q over the row of one token. */
static inline int32_t tb_int8_row_sum(const tb_int8_batch* b, int64_t token) {
    int32_t sum = 0;
    for (int64_t c = 0; c < b->chunks; ++c) sum += b->sums[token * b->chunks + c];
    return sum;
}

/* As integers the bits of floats >= 0 are in the order of the floats. A maximum of integers is one
 * that GCC vectorises; one of 16 lanes of floats it keeps in memory, for five times as long as the
 * quantisation takes. */
static inline float tb_int8_row_absmax(const float* x, int64_t count) {
    int32_t most = 0;
    for (int64_t k = 0; k < count; ++k) {
        int32_t bits;
        memcpy(&bits, x + k, 4);
        bits &= 0x7fffffff;
        most = bits > most ? bits : most;
    }
    float result;
    memcpy(&result, &most, 4);
    return result;
}

/* q = round_half_even(x * s). Adding 1.5 * 2^23 leaves the rounded integer in the low bits of the
 * sum, exact for |x * s| < 2^22, and no conversion that could be undefined. */
static inline void tb_int8_quantise(const float* x, float s, int64_t count, int8_t* q) {
    for (int64_t k = 0; k < count; ++k) {
        const float shifted = x[k] * s + 12582912.0f;
        int32_t bits;
        memcpy(&bits, &shifted, 4);
        q[k] = (int8_t)(uint8_t)(bits & 0xff);
    }
}

static inline tb_status tb_int8_prepare(const tb_shape* shape, const tb_tile* tile,
                                        const tb_activations* act, int64_t m_begin, int64_t m_end,
                                        int64_t k_begin, int64_t k_end, void* prepared) {
    (void)tile;
    const tb_status bad_range = {TB_BAD_RANGE, "k range must begin on 512 and end on 512 or K"};
    const tb_status bad_input = {TB_BAD_INPUT,
                                 "needs float rows with maxima, or int8 rows with scales"};
    const tb_status ok = {TB_OK, NULL};
    if (k_begin % TB_INT8_K_STEP != 0 || (k_end % TB_INT8_K_STEP != 0 && k_end != shape->k)) {
        return bad_range;
    }
    if (act->x != NULL ? act->absmax == NULL : (act->q == NULL || act->q_scale == NULL)) {
        return bad_input;
    }
    const int64_t kp = tb_round_up(shape->k, 64);
    const int64_t chunks = tb_int8_chunks(shape->k);
    char* base = (char*)prepared;
    float* scale = (float*)(void*)(base + tb_int8_scale_offset(act->m, shape->k));
    int32_t* sums = (int32_t*)(void*)(base + tb_int8_sums_offset(act->m, shape->k));
    for (int64_t m = m_begin; m < m_end; ++m) {
        int8_t* q = (int8_t*)base + m * kp;
        if (act->x != NULL) {
            const float a = act->absmax[m] > 1e-5f ? act->absmax[m] : 1e-5f;
            tb_int8_quantise(act->x + m * act->ld + k_begin, 127.0f / a, k_end - k_begin,
                             q + k_begin);
            if (k_begin == 0) scale[m] = a / 127.0f;
        } else {
            memcpy(q + k_begin, act->q + m * act->ld + k_begin, (size_t)(k_end - k_begin));
            if (k_begin == 0) scale[m] = act->q_scale[m];
        }
        if (k_end == shape->k) memset(q + k_end, 0, (size_t)(kp - k_end));
        for (int64_t k = k_begin; k < k_end; k += TB_INT8_K_STEP) {
            const int64_t stop = k + TB_INT8_K_STEP < k_end ? k + TB_INT8_K_STEP : k_end;
            int32_t sum = 0;
            for (int64_t i = k; i < stop; ++i) sum += q[i];
            sums[m * chunks + k / TB_INT8_K_STEP] = sum;
        }
    }
    return ok;
}

#endif
