/* Prepared activations with four scales per token (TB_ACT_INT8_PHASE), as ik_llama.cpp's Q8_K64 and
 * Q8_K16: the columns belong in turn, `width` at a time, to four phases, phase(k) = k / width % 4,
 * and each phase of a whole row has one scale. Header only, static; see prepared_int8.h.
 *
 *   prepare_tag     width = activation_block    functions
 *   "int8_q8k64"    4                           tb_phase4_prepare
 *   "int8_q8k16"    16                          tb_phase16_prepare
 *
 *   offset 0         q      int8  [m][kp]   in the order of the columns; kp = K rounded up to 64,
 *                                           padded with zeros; a token is 64-byte aligned
 *   offset m*kp      scale  float [m][4]    x ~ q * scale of its phase
 *   offset m*kp+16m  sums   int32 [m][4]    of q over the columns of the phase
 *
 * Quantisation (ik_llama.cpp, iqk_quantize.cpp, quantize_row_q8_K64_ref and quantize_row_q8_K16):
 * a = max|x| over the phase, scale = a / 127, q = round_half_even(x * (1 / scale)); three roundings
 * leave |x| * (1 / scale) below 127.001, so q is within +-127. A phase with a < 1e-30 is all zero,
 * scale 0 (the original has 0 only for a = 0, and something undefined where 1 / scale overflows).
 * From given int8 rows q is taken as it is, -128 allowed, and the token's scale is that of every
 * phase. Sums: |sum| <= 128 * K / 4, in int32 for K < 2^26.
 *
 * A scale needs the whole row, so that preparation is never split over K (prepare_k_step =
 * TB_PHASE_K_STEP, which no K exceeds); the row's maximum that the host finds is not used. */
#ifndef TRITBENCH_KERNELS_API_PREPARED_PHASE_H
#define TRITBENCH_KERNELS_API_PREPARED_PHASE_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "kernels/api/kernel.h"
#include "kernels/api/prepared_int8.h"

#define TB_PHASES 4
#define TB_PHASE4_PREPARE_TAG "int8_q8k64"
#define TB_PHASE16_PREPARE_TAG "int8_q8k16"
#define TB_PHASE_K_STEP (1 << 24)    /* max_k of a kernel is at most this */
#define TB_PHASE_LEAST_ABSMAX 1e-30f /* below it 1 / scale may overflow */

/* A prepared batch, taken apart. */
typedef struct tb_phase_batch {
    int64_t m, k, kp;
    const int8_t* q;
    const float* scale;  /* [m][4] */
    const int32_t* sums; /* [m][4] */
} tb_phase_batch;

static inline size_t tb_phase_scale_offset(int64_t m, int64_t k) {
    return (size_t)(m * tb_round_up(k, 64));
}

static inline size_t tb_phase_sums_offset(int64_t m, int64_t k) {
    return tb_phase_scale_offset(m, k) + (size_t)m * TB_PHASES * sizeof(float);
}

static inline size_t tb_phase_prepared_size(const tb_shape* shape, const tb_tile* tile, int64_t m) {
    (void)tile;
    return tb_phase_sums_offset(m, shape->k) + (size_t)m * TB_PHASES * sizeof(int32_t);
}

static inline tb_phase_batch tb_phase_open(const tb_shape* shape, const void* prepared, int64_t m) {
    const char* base = (const char*)prepared;
    tb_phase_batch b;
    b.m = m;
    b.k = shape->k;
    b.kp = tb_round_up(shape->k, 64);
    b.q = (const int8_t*)base;
    b.scale = (const float*)(const void*)(base + tb_phase_scale_offset(m, shape->k));
    b.sums = (const int32_t*)(const void*)(base + tb_phase_sums_offset(m, shape->k));
    return b;
}

/* Not needed: see above. */
static inline float tb_phase_row_absmax(const float* x, int64_t count) {
    (void)x;
    (void)count;
    return 0;
}

/* 64 floats of a row from column k on: in place, or where the row ends before, padded in `last`. */
static inline const float* tb_phase_floats(const float* x, int64_t k, int64_t end, float* last) {
    if (end - k >= 64) return x + k;
    memset(last, 0, 64 * sizeof(float));
    memcpy(last, x + k, (size_t)(end - k) * sizeof(float));
    return last;
}

/* Scale of each phase, and inverse[64] to multiply 64 columns with. Returns 0 if a value is
 * infinite or NaN. */
static inline int tb_phase_scales(const float* x, int64_t k, int width, float* scale,
                                  float* inverse) {
    /* Magnitudes compare as integers, and NaN is above all. */
    uint32_t lanes[64] = {0}, largest[TB_PHASES] = {0};
    float last[64];
    for (int64_t begin = 0; begin < k; begin += 64) {
        uint32_t bits[64];
        memcpy(bits, tb_phase_floats(x, begin, k, last), sizeof bits);
        for (int i = 0; i < 64; ++i) {
            const uint32_t magnitude = bits[i] & 0x7fffffffu;
            lanes[i] = magnitude > lanes[i] ? magnitude : lanes[i];
        }
    }
    for (int i = 0; i < 64; ++i) {
        uint32_t* most = largest + i / width % TB_PHASES;
        *most = lanes[i] > *most ? lanes[i] : *most;
    }
    int finite = 1;
    float of_phase[TB_PHASES];
    for (int i = 0; i < TB_PHASES; ++i) {
        float absmax;
        memcpy(&absmax, largest + i, sizeof absmax);
        const int zero = absmax < TB_PHASE_LEAST_ABSMAX;
        scale[i] = zero ? 0.0f : absmax / 127.0f;
        of_phase[i] = zero ? 0.0f : 1.0f / scale[i];
        finite &= largest[i] < 0x7f800000u;
    }
    for (int i = 0; i < 64; ++i) inverse[i] = of_phase[i / width % TB_PHASES];
    return finite;
}

/* As tb_int8_quantise, each column with a factor of its own. */
static inline void tb_phase_quantise(const float* x, const float* inverse, int8_t* q) {
    for (int i = 0; i < 64; ++i) {
        const float shifted = x[i] * inverse[i] + 12582912.0f;
        int32_t bits;
        memcpy(&bits, &shifted, 4);
        q[i] = (int8_t)(uint8_t)(bits & 0xff);
    }
}

static inline tb_status tb_phase_prepare(const tb_shape* shape, const tb_activations* act,
                                         int64_t m_begin, int64_t m_end, int64_t k_begin,
                                         int64_t k_end, int width, void* prepared) {
    const tb_status bad_range = {TB_BAD_RANGE, "rows are prepared whole: a scale needs all of it"};
    const tb_status bad_input = {TB_BAD_INPUT, "needs float rows, or int8 rows with scales"};
    const tb_status not_finite = {TB_BAD_INPUT, "an activation is infinite or not a number"};
    const tb_status ok = {TB_OK, NULL};
    const int64_t k = shape->k, kp = tb_round_up(k, 64);
    if (k_begin != 0 || k_end != k) return bad_range;
    if (act->x == NULL && (act->q == NULL || act->q_scale == NULL)) return bad_input;
    char* base = (char*)prepared;
    float* scales = (float*)(void*)(base + tb_phase_scale_offset(act->m, k));
    int32_t* sums = (int32_t*)(void*)(base + tb_phase_sums_offset(act->m, k));
    for (int64_t m = m_begin; m < m_end; ++m) {
        int8_t* q = (int8_t*)base + m * kp;
        float* scale = scales + TB_PHASES * m;
        if (act->x != NULL) {
            const float* x = act->x + m * act->ld;
            float inverse[64], last[64];
            if (!tb_phase_scales(x, k, width, scale, inverse)) return not_finite;
            for (int64_t i = 0; i < k; i += 64) {
                tb_phase_quantise(tb_phase_floats(x, i, k, last), inverse, q + i);
            }
        } else {
            memcpy(q, act->q + m * act->ld, (size_t)k);
            memset(q + k, 0, (size_t)(kp - k));
            for (int i = 0; i < TB_PHASES; ++i) scale[i] = act->q_scale[m];
        }
        int32_t lanes[64] = {0};
        for (int64_t i = 0; i < kp; i += 64) {
            for (int j = 0; j < 64; ++j) lanes[j] += q[i + j];
        }
        int32_t* sum = sums + TB_PHASES * m;
        for (int i = 0; i < TB_PHASES; ++i) sum[i] = 0;
        for (int i = 0; i < 64; ++i) sum[i / width % TB_PHASES] += lanes[i];
    }
    return ok;
}

static inline tb_status tb_phase4_prepare(const tb_shape* shape, const tb_tile* tile,
                                          const tb_activations* act, int64_t m_begin, int64_t m_end,
                                          int64_t k_begin, int64_t k_end, void* prepared) {
    (void)tile;
    return tb_phase_prepare(shape, act, m_begin, m_end, k_begin, k_end, 4, prepared);
}

static inline tb_status tb_phase16_prepare(const tb_shape* shape, const tb_tile* tile,
                                           const tb_activations* act, int64_t m_begin,
                                           int64_t m_end, int64_t k_begin, int64_t k_end,
                                           void* prepared) {
    (void)tile;
    return tb_phase_prepare(shape, act, m_begin, m_end, k_begin, k_end, 16, prepared);
}

#endif
