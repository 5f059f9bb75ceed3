/* What the layouts of plain numbers, `f32`, `f16` and `bf16`, share: everything but the number.
 *
 *   packed   row-major [N][K], no padding, no scale: the bytes of a GGUF tensor of the same type.
 *            Row n begins at byte n * K * sizeof(Weight).
 *
 * A layout is a Format (see f16/layout.h):
 *   using Weight                       how a number is stored
 *   kLayout, kSource                   for the descriptor
 *   kRounding                          |decode(encode(w)) - w| <= kRounding * |w| for every w that
 *                                      the format holds as a normal number
 *   static Weight encode(float)        round to nearest even
 *   static float decode(Weight)        exact
 * Activations and arithmetic are float32. Static: see dot/epilogue.h. */
#ifndef TRITBENCH_KERNELS_FLOAT_LAYOUT_H
#define TRITBENCH_KERNELS_FLOAT_LAYOUT_H

#include "kernels/api/kernel.h"
#include "kernels/api/prepared_float.h"
#include "kernels/api/shape_limits.h"

namespace {

// The error of a sum grows with K; no matrix of a model is wider, and the bound stays a useful one.
constexpr int64_t kMaxK = int64_t{1} << 18;

// K/16 fused multiply-adds of a lane and the 4 additions of the tree, each rounded by 2^-24 of what
// it adds up (Higham: n roundings of u cost at most n u / (1 - n u)).
constexpr double kSumRoundings = (static_cast<double>(kMaxK) / 16 + 4) * 0x1p-24;
constexpr double kSumError = kSumRoundings / (1 - kSumRoundings);

// The tile parameter `prefetch` (dot/prefetch.h), in bytes ahead. These kernels do so little with a
// byte that 1 KB is enough.
constexpr int32_t kAhead = 1024;
constexpr int32_t kAheadValues[] = {0, kAhead};
constexpr tb_tile_param kFloatTile[] = {
    {"prefetch", kAheadValues, 2, kAhead, TB_TILE_AFFECTS_CALL}};

tb_status float_accepts(const tb_shape* s, const tb_tile*) {
    return tb_check_shape(s, kMaxK);
}

template <class Format>
size_t float_packed_size(const tb_shape* s, const tb_tile*) {
    return static_cast<size_t>(s->n * s->k) * sizeof(typename Format::Weight);
}

int64_t float_pack_row_step(const tb_shape*, const tb_tile*) {
    return 1;
}

template <class Format>
tb_status float_pack(const tb_shape* s, const tb_tile*, const tb_weights* w, int64_t row_begin,
                     int64_t row_end, void* packed) {
    if (w->values == nullptr) return {TB_BAD_INPUT, "needs float rows"};
    for (int64_t n = row_begin; n < row_end; ++n) {
        const float* values = w->values + (n - row_begin) * w->ld;
        auto* row = static_cast<typename Format::Weight*>(packed) + n * s->k;
        for (int64_t k = 0; k < s->k; ++k) row[k] = Format::encode(values[k]);
    }
    return {TB_OK, nullptr};
}

template <class Format>
tb_status float_unpack(const tb_shape* s, const tb_tile*, const void* packed, int64_t row_begin,
                       int64_t row_end, const tb_weights_out* w) {
    if (w->values == nullptr) return {TB_OK, nullptr};
    for (int64_t n = row_begin; n < row_end; ++n) {
        const auto* row = static_cast<const typename Format::Weight*>(packed) + n * s->k;
        float* values = w->values + (n - row_begin) * w->ld;
        for (int64_t k = 0; k < s->k; ++k) values[k] = Format::decode(row[k]);
    }
    return {TB_OK, nullptr};
}

size_t no_scratch(const tb_shape*, const tb_tile*, int64_t) {
    return 0;
}

template <class Format>
void float_work(const tb_shape* s, const tb_tile*, int64_t m, tb_work* out) {
    const double n = static_cast<double>(s->n), k = static_cast<double>(s->k);
    const double tokens = static_cast<double>(m);
    const double bytes = n * k * sizeof(typename Format::Weight);
    *out = {bytes, k * tokens * 4, 0, n * tokens * 4, n * k * tokens, 0};
}

using Product = void (*)(const tb_product*);

// A kernel without tile parameter and scratch.
template <class Format>
constexpr tb_kernel float_descriptor(const char* id, const char* isa, tb_features features,
                                     const char* description, int64_t row_step, Product gemv,
                                     Product gemm) {
    tb_kernel d{};
    d.id = id;
    d.layout = Format::kLayout;
    d.isa = isa;
    d.description = description;
    d.source = Format::kSource;
    d.weight_kind = TB_WEIGHT_FLOAT;
    d.scale_granularity = TB_SCALE_NONE;
    d.activation_kind = TB_ACT_FLOAT;
    d.exactness = TB_BOUNDED;
    // A weight rounded, and then the sums of what it became.
    d.bound = Format::kRounding + (1 + Format::kRounding) * kSumError;
    d.features = features;
    d.bits_num = 8 * sizeof(typename Format::Weight);
    d.bits_den = 1;
    d.k_multiple = 1;
    d.row_step = row_step;
    d.max_k = kMaxK;
    d.min_m = 1;
    d.packed_align = sizeof(typename Format::Weight);
    d.prepared_align = 64;
    d.prepare_k_step = TB_FLOAT_K_STEP;
    d.prepare_tag = TB_FLOAT_PREPARE_TAG;
    d.accepts = float_accepts;
    d.packed_size = float_packed_size<Format>;
    d.pack_row_step = float_pack_row_step;
    d.pack = float_pack<Format>;
    d.unpack = float_unpack<Format>;
    d.prepared_size = tb_float_prepared_size;
    d.row_absmax = tb_float_row_absmax;
    d.prepare = tb_float_prepare;
    d.scratch_size = no_scratch;
    d.gemv = gemv;
    d.gemm = gemm;
    d.accumulate = nullptr;
    d.work = float_work<Format>;
    return d;
}

constexpr tb_kernel prefetching(tb_kernel d) {
    d.tile_params = kFloatTile;
    d.tile_param_count = 1;
    return d;
}

}  // namespace

#endif
