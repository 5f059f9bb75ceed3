/* The layout `int8`: one signed byte a weight, the naive baseline that papers call W8A8.
 *
 *   int8  [N][K]  row-major trits, no padding
 *   float scale   at N*K rounded up to 4: one for the tensor
 *
 * 8 bits per weight. Kernels add 1 on load, so that bytes are codes {0,1,2} as everywhere else. */
#ifndef TRITBENCH_KERNELS_INT8_LAYOUT_H
#define TRITBENCH_KERNELS_INT8_LAYOUT_H

#include <string.h>

#include "kernels/api/kernel.h"
#include "kernels/api/prepared_int8.h"
#include "kernels/api/shape_limits.h"
#include "kernels/dot/trits.h"

namespace {

constexpr int64_t kMaxK = int64_t{1} << 22;

inline int64_t scale_offset(const tb_shape& s) {
    return tb_round_up(s.n * s.k, 4);
}

inline float tensor_scale(const tb_shape& s, const void* packed) {
    float scale;
    memcpy(&scale, static_cast<const uint8_t*>(packed) + scale_offset(s), sizeof scale);
    return scale;
}

tb_status int8_accepts(const tb_shape* s, const tb_tile*) {
    return tb_check_shape(s, kMaxK);
}

size_t int8_packed_size(const tb_shape* s, const tb_tile*) {
    return static_cast<size_t>(scale_offset(*s)) + sizeof(float);
}

int64_t int8_pack_row_step(const tb_shape*, const tb_tile*) {
    return 1;
}

tb_status int8_pack(const tb_shape* s, const tb_tile*, const tb_weights* w, int64_t row_begin,
                    int64_t row_end, void* packed) {
    if (w->trits == nullptr || w->scales == nullptr)
        return {TB_BAD_INPUT, "needs trits and a scale"};
    auto* rows = static_cast<int8_t*>(packed);
    for (int64_t n = row_begin; n < row_end; ++n) {
        const int8_t* t = w->trits + (n - row_begin) * w->ld;
        if (!are_trits(t, s->k)) return {TB_BAD_WEIGHT, "a weight is not -1, 0 or +1"};
        memcpy(rows + n * s->k, t, static_cast<size_t>(s->k));
    }
    if (row_end == s->n) {
        memset(rows + s->n * s->k, 0, static_cast<size_t>(scale_offset(*s) - s->n * s->k));
        memcpy(rows + scale_offset(*s), w->scales, sizeof(float));
    }
    return {TB_OK, nullptr};
}

tb_status int8_unpack(const tb_shape* s, const tb_tile*, const void* packed, int64_t row_begin,
                      int64_t row_end, const tb_weights_out* w) {
    const auto* rows = static_cast<const int8_t*>(packed);
    const float scale = tensor_scale(*s, packed);
    if (w->scales != nullptr) *w->scales = scale;
    for (int64_t n = row_begin; n < row_end; ++n) {
        const int8_t* t = rows + n * s->k;
        const int64_t at = (n - row_begin) * w->ld;
        int bad = 0;
        for (int64_t k = 0; k < s->k; ++k) bad |= static_cast<uint8_t>(t[k] + 1) > 2;
        if (bad != 0) return {TB_BAD_WEIGHT, "a byte is not -1, 0 or +1"};
        if (w->trits != nullptr) memcpy(w->trits + at, t, static_cast<size_t>(s->k));
        if (w->values != nullptr) {
            for (int64_t k = 0; k < s->k; ++k) w->values[at + k] = static_cast<float>(t[k]) * scale;
        }
    }
    return {TB_OK, nullptr};
}

inline size_t no_scratch(const tb_shape*, const tb_tile*, int64_t) {
    return 0;
}

void int8_work(const tb_shape* s, const tb_tile*, int64_t m, tb_work* out) {
    const double n = static_cast<double>(s->n), k = static_cast<double>(s->k);
    const double tokens = static_cast<double>(m);
    *out = {n * k + 4, k * tokens, 0, n * tokens * 4, n * k * tokens, 0};
}

using Product = void (*)(const tb_product*);
using ScratchSize = size_t (*)(const tb_shape*, const tb_tile*, int64_t);

constexpr tb_kernel int8_descriptor(const char* id, const char* isa, tb_features features,
                                    const char* description, int64_t row_step, Product product,
                                    Product accumulate, ScratchSize scratch_size = no_scratch) {
    tb_kernel d{};
    d.id = id;
    d.layout = "int8";
    d.isa = isa;
    d.description = description;
    d.source = "the W8A8 baseline of arXiv:2410.16144";
    d.weight_kind = TB_WEIGHT_TERNARY;
    d.scale_granularity = TB_SCALE_TENSOR;
    d.activation_kind = TB_ACT_INT8_TOKEN;
    d.exactness = TB_EXACT;
    d.features = features;
    d.bits_num = 8;
    d.bits_den = 1;
    d.overhead_bytes_tensor = 4;
    d.k_multiple = 1;
    d.row_step = row_step;
    d.max_k = kMaxK;
    d.min_m = 1;
    d.packed_align = 1;
    d.prepared_align = 64;
    d.prepare_k_step = TB_INT8_K_STEP;
    d.prepare_tag = TB_INT8_PREPARE_TAG;
    d.accepts = int8_accepts;
    d.packed_size = int8_packed_size;
    d.pack_row_step = int8_pack_row_step;
    d.pack = int8_pack;
    d.unpack = int8_unpack;
    d.prepared_size = tb_int8_prepared_size;
    d.row_absmax = tb_int8_row_absmax;
    d.prepare = tb_int8_prepare;
    d.scratch_size = scratch_size;
    d.gemv = product;
    d.gemm = product;
    d.accumulate = accumulate;
    d.work = int8_work;
    return d;
}

}  // namespace

#endif
