/* Prepared activations of float kernels (prepare_tag "float"): the rows as given, each padded with
 * zeros to a multiple of 16 columns.   float [m][kp], kp = K rounded up to 16.
 * Header only, static; see prepared_int8.h. */
#ifndef TRITBENCH_KERNELS_API_PREPARED_FLOAT_H
#define TRITBENCH_KERNELS_API_PREPARED_FLOAT_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "kernels/api/kernel.h"

#define TB_FLOAT_K_STEP 512
#define TB_FLOAT_PREPARE_TAG "float"

static inline int64_t tb_float_stride(int64_t k) {
    return (k + 15) / 16 * 16;
}

static inline size_t tb_float_prepared_size(const tb_shape* shape, const tb_tile* tile, int64_t m) {
    (void)tile;
    return (size_t)(m * tb_float_stride(shape->k)) * sizeof(float);
}

static inline float tb_float_row_absmax(const float* x, int64_t count) {
    (void)x;
    (void)count;
    return 0;
}

static inline tb_status tb_float_prepare(const tb_shape* shape, const tb_tile* tile,
                                         const tb_activations* act, int64_t m_begin, int64_t m_end,
                                         int64_t k_begin, int64_t k_end, void* prepared) {
    (void)tile;
    const tb_status bad_range = {TB_BAD_RANGE, "k range must begin on 512 and end on 512 or K"};
    const tb_status bad_input = {TB_BAD_INPUT, "needs float rows, or int8 rows with scales"};
    const tb_status ok = {TB_OK, NULL};
    if (k_begin % TB_FLOAT_K_STEP != 0 || (k_end % TB_FLOAT_K_STEP != 0 && k_end != shape->k)) {
        return bad_range;
    }
    if (act->x == NULL && (act->q == NULL || act->q_scale == NULL)) return bad_input;
    const int64_t kp = tb_float_stride(shape->k);
    for (int64_t m = m_begin; m < m_end; ++m) {
        float* row = (float*)prepared + m * kp;
        if (act->x != NULL) {
            memcpy(row + k_begin, act->x + m * act->ld + k_begin,
                   (size_t)(k_end - k_begin) * sizeof(float));
        } else {
            for (int64_t k = k_begin; k < k_end; ++k) {
                row[k] = (float)act->q[m * act->ld + k] * act->q_scale[m];
            }
        }
        if (k_end == shape->k) {
            for (int64_t k = k_end; k < kp; ++k) row[k] = 0;
        }
    }
    return ok;
}

#endif
