/* The layout `f16`: IEEE half precision, row-major [N][K], no padding, no scale: the bytes of a
 * GGUF F16 tensor, the baseline that papers call FP16, and the usual type of embedding and LM head.
 *
 * 16 bits per weight, float32 activations and arithmetic. */
#ifndef TRITBENCH_KERNELS_F16_LAYOUT_H
#define TRITBENCH_KERNELS_F16_LAYOUT_H

#include "kernels/api/half.h"
#include "kernels/api/kernel.h"
#include "kernels/api/prepared_float.h"
#include "kernels/api/shape_limits.h"

namespace {

constexpr int64_t kMaxK = int64_t{1} << 22;

tb_status f16_accepts(const tb_shape* s, const tb_tile*) {
    return tb_check_shape(s, kMaxK);
}

size_t f16_packed_size(const tb_shape* s, const tb_tile*) {
    return static_cast<size_t>(s->n * s->k) * 2;
}

int64_t f16_pack_row_step(const tb_shape*, const tb_tile*) {
    return 1;
}

tb_status f16_pack(const tb_shape* s, const tb_tile*, const tb_weights* w, int64_t row_begin,
                   int64_t row_end, void* packed) {
    if (w->values == nullptr) return {TB_BAD_INPUT, "needs float rows"};
    for (int64_t n = row_begin; n < row_end; ++n) {
        const float* values = w->values + (n - row_begin) * w->ld;
        uint16_t* row = static_cast<uint16_t*>(packed) + n * s->k;
        for (int64_t k = 0; k < s->k; ++k) row[k] = tb_float_to_half(values[k]);
    }
    return {TB_OK, nullptr};
}

tb_status f16_unpack(const tb_shape* s, const tb_tile*, const void* packed, int64_t row_begin,
                     int64_t row_end, const tb_weights_out* w) {
    if (w->values == nullptr) return {TB_OK, nullptr};
    for (int64_t n = row_begin; n < row_end; ++n) {
        const uint16_t* row = static_cast<const uint16_t*>(packed) + n * s->k;
        float* values = w->values + (n - row_begin) * w->ld;
        for (int64_t k = 0; k < s->k; ++k) values[k] = tb_half_to_float(row[k]);
    }
    return {TB_OK, nullptr};
}

size_t no_scratch(const tb_shape*, const tb_tile*, int64_t) {
    return 0;
}

void f16_work(const tb_shape* s, const tb_tile*, int64_t m, tb_work* out) {
    const double n = static_cast<double>(s->n), k = static_cast<double>(s->k);
    const double tokens = static_cast<double>(m);
    *out = {n * k * 2, k * tokens * 4, 0, n * tokens * 4, n * k * tokens, 0};
}

using Product = void (*)(const tb_product*);

constexpr tb_kernel f16_descriptor(const char* id, const char* isa, tb_features features,
                                   const char* description, int64_t row_step, Product gemv,
                                   Product gemm) {
    tb_kernel d{};
    d.id = id;
    d.layout = "f16";
    d.isa = isa;
    d.description = description;
    d.source = "IEEE 754 binary16; the FP16 baseline of arXiv:2410.16144";
    d.weight_kind = TB_WEIGHT_FLOAT;
    d.scale_granularity = TB_SCALE_NONE;
    d.activation_kind = TB_ACT_FLOAT;
    d.exactness = TB_BOUNDED;
    // Rounding a weight to half costs 2^-11 of it; the sums add K/16 + 4 roundings of 2^-24 each.
    d.bound = 6e-4;
    d.features = features;
    d.bits_num = 16;
    d.bits_den = 1;
    d.k_multiple = 1;
    d.row_step = row_step;
    d.max_k = kMaxK;
    d.min_m = 1;
    d.packed_align = 2;
    d.prepared_align = 64;
    d.prepare_k_step = TB_FLOAT_K_STEP;
    d.prepare_tag = TB_FLOAT_PREPARE_TAG;
    d.accepts = f16_accepts;
    d.packed_size = f16_packed_size;
    d.pack_row_step = f16_pack_row_step;
    d.pack = f16_pack;
    d.unpack = f16_unpack;
    d.prepared_size = tb_float_prepared_size;
    d.row_absmax = tb_float_row_absmax;
    d.prepare = tb_float_prepare;
    d.scratch_size = no_scratch;
    d.gemv = gemv;
    d.gemm = gemm;
    d.accumulate = nullptr;
    d.work = f16_work;
    return d;
}

}  // namespace

#endif
