/* The limits on N and K that every layout shares. Header only, static; see prepared_int8.h. */
#ifndef TRITBENCH_KERNELS_API_SHAPE_LIMITS_H
#define TRITBENCH_KERNELS_API_SHAPE_LIMITS_H

#include "kernels/api/kernel.h"

/* Sizes stay far below int64 at any bits per weight, so that nothing that follows can overflow. */
#define TB_MAX_WEIGHTS (INT64_C(1) << 40)

static inline tb_status tb_check_shape(const tb_shape* shape, int64_t max_k) {
    const tb_status ok = {TB_OK, NULL};
    const tb_status too_small = {TB_BAD_SHAPE, "N and K must be at least 1"};
    const tb_status too_wide = {TB_BAD_SHAPE, "K is beyond the largest that its sums are safe for"};
    const tb_status too_large = {TB_BAD_SHAPE, "N * K must be at most 2^40"};
    if (shape->n < 1 || shape->k < 1) return too_small;
    if (shape->k > max_k) return too_wide;
    return shape->n > TB_MAX_WEIGHTS / shape->k ? too_large : ok;
}

#endif
