/* The layout `q8_row`: 8-bit weights with one scale per row, for the LM head.
 *
 *   int8  [N][K]   row-major, no padding: w = q * scale[n], q within +-127
 *   float [N]      at N*K rounded up to 4: the scales
 *
 * 8 bits per weight and 4 bytes per row. scale = max|w| / 127 rounded to 17 significant bits, half
 * to even, so that q * scale is exact and rows that were unpacked are packed to the same bytes;
 * q = round_half_even(w * (127 / max|w|)). A row with max|w| < 1e-30 is zeros with the scale 0.
 *
 * Activations are int8 with one scale per token, so that a whole row is one integer sum and one
 * multiplication, y = (float)acc * (dx * scale): the exact class, with integers that are not trits.
 * Of the quantised formats it is the one with the least arithmetic for a byte.
 *
 * Source: one scale per output row and per token is what LLM.int8() calls vector-wise quantisation
 * (arXiv:2208.07339); ik_llama.cpp's Q8_KV stores such rows with the scale in front.
 *
 * Overflow: kernels that take weights as unsigned bytes q + 128 add up to K * 255 * 128, which with
 * the largest K, 2^16, is below 2^31, and so is 128 times the sum of activations, 2^30, that they
 * take away. Signed sums are at most K * 127 * 128 < 2^30. -128 is refused by unpack, and wrong in
 * the kernel that multiplies by signs (avx2). */
#ifndef TRITBENCH_KERNELS_Q8_ROW_LAYOUT_H
#define TRITBENCH_KERNELS_Q8_ROW_LAYOUT_H

#include <string.h>

#include "kernels/api/kernel.h"
#include "kernels/api/prepared_int8.h"
#include "kernels/api/shape_limits.h"

namespace {

constexpr int64_t kMaxK = int64_t{1} << 16;

inline int64_t scales_offset(const tb_shape& s) {
    return tb_round_up(s.n * s.k, 4);
}

inline float row_scale(const tb_shape& s, const void* packed, int64_t n) {
    float scale;
    memcpy(&scale, static_cast<const uint8_t*>(packed) + scales_offset(s) + 4 * n, sizeof scale);
    return scale;
}

// max|w| / 127 in 17 bits.
inline float scale_for(float most) {
    const float exact = most / 127.0F;
    uint32_t bits;
    memcpy(&bits, &exact, sizeof bits);
    bits = (bits + 0x3f + (bits >> 7 & 1)) & ~uint32_t{0x7f};
    float scale;
    memcpy(&scale, &bits, sizeof scale);
    return scale;
}

tb_status q8_row_accepts(const tb_shape* s, const tb_tile*) {
    return tb_check_shape(s, kMaxK);
}

size_t q8_row_packed_size(const tb_shape* s, const tb_tile*) {
    return static_cast<size_t>(scales_offset(*s) + 4 * s->n);
}

int64_t q8_row_pack_row_step(const tb_shape*, const tb_tile*) {
    return 1;
}

tb_status q8_row_pack(const tb_shape* s, const tb_tile*, const tb_weights* w, int64_t row_begin,
                      int64_t row_end, void* packed) {
    if (w->values == nullptr) return {TB_BAD_INPUT, "needs float rows"};
    auto* bytes = static_cast<uint8_t*>(packed);
    for (int64_t n = row_begin; n < row_end; ++n) {
        const float* x = w->values + (n - row_begin) * w->ld;
        auto* q = reinterpret_cast<int8_t*>(bytes + n * s->k);
        const float most = tb_int8_row_absmax(x, s->k);  // in the order of bits: NaN is the most
        if (most - most != 0) return {TB_BAD_WEIGHT, "a weight is infinite or not a number"};
        const bool zero = most < 1e-30F;
        const float scale = zero ? 0.0F : scale_for(most);
        if (zero) {
            memset(q, 0, static_cast<size_t>(s->k));
        } else {
            tb_int8_quantise(x, 127.0F / most, s->k, q);
        }
        memcpy(bytes + scales_offset(*s) + 4 * n, &scale, sizeof scale);
    }
    if (row_end == s->n) {
        memset(bytes + s->n * s->k, 0, static_cast<size_t>(scales_offset(*s) - s->n * s->k));
    }
    return {TB_OK, nullptr};
}

tb_status q8_row_unpack(const tb_shape* s, const tb_tile*, const void* packed, int64_t row_begin,
                        int64_t row_end, const tb_weights_out* w) {
    for (int64_t n = row_begin; n < row_end; ++n) {
        const int8_t* q = static_cast<const int8_t*>(packed) + n * s->k;
        const float scale = row_scale(*s, packed, n);
        if (scale - scale != 0 || scale < 0) {
            return {TB_BAD_WEIGHT, "a scale is negative, infinite or not a number"};
        }
        int bad = 0;
        for (int64_t k = 0; k < s->k; ++k) bad |= q[k] == -128;
        if (bad != 0) return {TB_BAD_WEIGHT, "a code that no packer writes"};
        if (w->values == nullptr) continue;
        float* values = w->values + (n - row_begin) * w->ld;
        for (int64_t k = 0; k < s->k; ++k) values[k] = static_cast<float>(q[k]) * scale;
    }
    return {TB_OK, nullptr};
}

inline size_t no_scratch(const tb_shape*, const tb_tile*, int64_t) {
    return 0;
}

void q8_row_work(const tb_shape* s, const tb_tile*, int64_t m, tb_work* out) {
    const double n = static_cast<double>(s->n), k = static_cast<double>(s->k);
    const double tokens = static_cast<double>(m);
    *out = {n * (k + 4), k * tokens, 0, n * tokens * 4, n * k * tokens, 0};
}

using Product = void (*)(const tb_product*);
using ScratchSize = size_t (*)(const tb_shape*, const tb_tile*, int64_t);

constexpr tb_kernel q8_row_descriptor(const char* id, const char* isa, tb_features features,
                                      const char* description, int64_t row_step, Product product,
                                      Product accumulate, ScratchSize scratch_size = no_scratch) {
    tb_kernel d{};
    d.id = id;
    d.layout = "q8_row";
    d.isa = isa;
    d.description = description;
    d.source = "vector-wise int8, arXiv:2208.07339";
    d.weight_kind = TB_WEIGHT_QUANTISED;
    d.scale_granularity = TB_SCALE_ROW;
    d.activation_kind = TB_ACT_INT8_TOKEN;
    d.exactness = TB_EXACT;
    d.features = features;
    d.bits_num = 8;
    d.bits_den = 1;
    d.overhead_bytes_row = 4;
    d.k_multiple = 1;
    d.row_step = row_step;
    d.max_k = kMaxK;
    d.min_m = 1;
    d.packed_align = 1;
    d.prepared_align = 64;
    d.prepare_k_step = TB_INT8_K_STEP;
    d.prepare_tag = TB_INT8_PREPARE_TAG;
    d.accepts = q8_row_accepts;
    d.packed_size = q8_row_packed_size;
    d.pack_row_step = q8_row_pack_row_step;
    d.pack = q8_row_pack;
    d.unpack = q8_row_unpack;
    d.prepared_size = tb_int8_prepared_size;
    d.row_absmax = tb_int8_row_absmax;
    d.prepare = tb_int8_prepare;
    d.scratch_size = scratch_size;
    d.gemv = product;
    d.gemm = product;
    d.accumulate = accumulate;
    d.work = q8_row_work;
    return d;
}

}  // namespace

#endif
