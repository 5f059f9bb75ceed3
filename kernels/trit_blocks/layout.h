/* What the ternary block formats of llama.cpp and ik_llama.cpp share (TQ1_0, TQ2_0, IQ1_BN, IQ2_BN,
 * IQ2_BN_R4): rows of blocks of columns, row-major, exactly as in a GGUF tensor, so that a file can
 * be mapped; every row (or, interleaved, every group of kGroup rows) carries its own scales, and
 * nothing follows the last.
 *
 * A Format is
 *
 *   kLayout, kSource              name, and where the format comes from
 *   kColumns                      of a block; K is a multiple of it
 *   kGroup                        rows stored together (1, or 4); N is a multiple of it
 *   kBitsNum, kBitsDen            bits per weight, all that a block holds included
 *   kRowOverhead                  bytes of a row beside its blocks
 *   kGranularity, kScaleBlock     of the canonical scales: TB_SCALE_ROW, or TB_SCALE_BLOCK
 *   kScaleType                    TB_SCALE_F32, or TB_SCALE_F16
 *   static int64_t group_bytes(int64_t k)
 *   static void pack_row(const int8_t* trits, float scale, int64_t k, int r, uint8_t* group)
 *                                 row r of a group, from trits that are -1, 0 or +1
 *   static float scale(const uint8_t* group, int r, int64_t k)
 *                                 of row r: what sums of its trits are multiplied with
 *   static bool scales_agree(const uint8_t* group, int r, int64_t k)
 *                                 false where blocks of the row have scales of their own (an
 *                                 all-zero block may have any)
 *   static bool codes(const uint8_t* group, int r, int64_t begin, int64_t count, uint8_t* to)
 *                                 trit + 1 of columns begin .. begin + count - 1, both multiples of
 *                                 kColumns; false for a byte that no packer writes (then what is
 *                                 written is nevertheless 0, 1, 2 or 3)
 *
 * scale() gives what is stored: a scale may be rounded (TB_SCALE_F16). b1.58 has one
 * scale for a tensor, so that all blocks of a row have the same; a file whose blocks differ is not
 * W1.58 and is refused by unpack with its reason.
 *
 * Static: see dot/epilogue.h. */
#ifndef TRITBENCH_KERNELS_TRIT_BLOCKS_LAYOUT_H
#define TRITBENCH_KERNELS_TRIT_BLOCKS_LAYOUT_H

#include <string.h>

#include "kernels/api/kernel.h"
#include "kernels/api/prepared_int8.h"
#include "kernels/api/shape_limits.h"
#include "kernels/dot/trits.h"

namespace {

// Codes are at most 2 wherever they are multiplied, in place fields at most 128: 256 * K < 2^31.
constexpr int64_t kMaxK = int64_t{1} << 22;

inline bool is_finite(float value) {
    return value - value == 0;
}

template <class Format>
const uint8_t* group_of(const tb_shape& s, const void* packed, int64_t n) {
    return static_cast<const uint8_t*>(packed) + n / Format::kGroup * Format::group_bytes(s.k);
}

template <class Format>
tb_status trit_blocks_accepts(const tb_shape* s, const tb_tile*) {
    const tb_status status = tb_check_shape(s, kMaxK);
    if (status.code != TB_OK) return status;
    if (s->k % Format::kColumns != 0) {
        return {TB_BAD_SHAPE, "K is not a multiple of the block of this format"};
    }
    if (s->n % Format::kGroup != 0) {
        return {TB_BAD_SHAPE, "N is not a multiple of the rows that this format interleaves"};
    }
    return status;
}

template <class Format>
size_t trit_blocks_packed_size(const tb_shape* s, const tb_tile*) {
    return static_cast<size_t>(s->n / Format::kGroup * Format::group_bytes(s->k));
}

template <class Format>
int64_t trit_blocks_pack_row_step(const tb_shape*, const tb_tile*) {
    return Format::kGroup;
}

// Canonical scales of a row.
template <class Format>
int64_t scales_of_row(int64_t k) {
    if (Format::kGranularity == TB_SCALE_ROW) return 1;
    return (k + Format::kScaleBlock - 1) / Format::kScaleBlock;
}

template <class Format>
tb_status trit_blocks_pack(const tb_shape* s, const tb_tile*, const tb_weights* w,
                           int64_t row_begin, int64_t row_end, void* packed) {
    if (row_begin % Format::kGroup != 0 || row_end % Format::kGroup != 0) {
        return {TB_BAD_RANGE, "rows must begin and end on the pack row step"};
    }
    if (w->trits == nullptr || w->scales == nullptr) {
        return {TB_BAD_INPUT, "needs trits and scales"};
    }
    const int64_t per_row = scales_of_row<Format>(s->k);
    for (int64_t n = row_begin; n < row_end; ++n) {
        const int8_t* trits = w->trits + (n - row_begin) * w->ld;
        const float* scales = w->scales + (n - row_begin) * per_row;
        if (!are_trits(trits, s->k)) return {TB_BAD_WEIGHT, "a weight is not -1, 0 or +1"};
        for (int64_t b = 0; b < per_row; ++b) {
            if (!(scales[b] == scales[0])) {
                return {TB_BAD_WEIGHT, "the scales of a row differ: b1.58 has one"};
            }
        }
        auto* group = const_cast<uint8_t*>(group_of<Format>(*s, packed, n));
        const int r = static_cast<int>(n % Format::kGroup);
        Format::pack_row(trits, scales[0], s->k, r, group);
        if (!is_finite(Format::scale(group, r, s->k))) {
            return {TB_BAD_WEIGHT, "a scale is too large for this format, or not a number"};
        }
    }
    return {TB_OK, nullptr};
}

template <class Format>
tb_status trit_blocks_unpack(const tb_shape* s, const tb_tile*, const void* packed,
                             int64_t row_begin, int64_t row_end, const tb_weights_out* w) {
    const int64_t per_row = scales_of_row<Format>(s->k);
    for (int64_t n = row_begin; n < row_end; ++n) {
        const uint8_t* group = group_of<Format>(*s, packed, n);
        const int r = static_cast<int>(n % Format::kGroup);
        const float scale = Format::scale(group, r, s->k);
        if (!is_finite(scale)) return {TB_BAD_WEIGHT, "a scale is infinite or not a number"};
        if (!Format::scales_agree(group, r, s->k)) {
            return {TB_BAD_WEIGHT, "the scales of a row differ: b1.58 has one"};
        }
        for (int64_t b = 0; w->scales != nullptr && b < per_row; ++b) {
            w->scales[(n - row_begin) * per_row + b] = scale;
        }
        for (int64_t k = 0; k < s->k; k += Format::kColumns) {
            uint8_t codes[Format::kColumns];
            int bad = Format::codes(group, r, k, Format::kColumns, codes) ? 0 : 1;
            for (int64_t i = 0; i < Format::kColumns; ++i) bad |= codes[i] > 2;
            if (bad != 0) return {TB_BAD_WEIGHT, "a code that no packer writes"};
            const int64_t at = (n - row_begin) * w->ld + k;
            for (int64_t i = 0; i < Format::kColumns; ++i) {
                const auto trit = static_cast<int8_t>(codes[i] - 1);
                if (w->trits != nullptr) w->trits[at + i] = trit;
                if (w->values != nullptr) w->values[at + i] = static_cast<float>(trit) * scale;
            }
        }
    }
    return {TB_OK, nullptr};
}

template <class Format>
void trit_blocks_work(const tb_shape* s, const tb_tile*, int64_t m, tb_work* out) {
    const double n = static_cast<double>(s->n), k = static_cast<double>(s->k);
    const double tokens = static_cast<double>(m);
    const auto bytes = static_cast<double>(trit_blocks_packed_size<Format>(s, nullptr));
    *out = {bytes, k * tokens, 0, n * tokens * 4, n * k * tokens, 0};
}

using Product = void (*)(const tb_product*);
using ScratchSize = size_t (*)(const tb_shape*, const tb_tile*, int64_t);

// The exact kernel of a format: int8 activations with one scale per token.
template <class Format>
constexpr tb_kernel trit_blocks_descriptor(const char* id, const char* isa, tb_features features,
                                           const char* description, int64_t row_step,
                                           ScratchSize scratch_size, Product gemv, Product gemm,
                                           Product accumulate) {
    tb_kernel d{};
    d.id = id;
    d.layout = Format::kLayout;
    d.isa = isa;
    d.description = description;
    d.source = Format::kSource;
    d.weight_kind = TB_WEIGHT_TERNARY;
    d.scale_granularity = Format::kGranularity;
    d.scale_block = Format::kScaleBlock;
    d.scale_type = Format::kScaleType;
    d.activation_kind = TB_ACT_INT8_TOKEN;
    d.exactness = TB_EXACT;
    d.features = features;
    d.bits_num = Format::kBitsNum;
    d.bits_den = Format::kBitsDen;
    d.overhead_bytes_row = Format::kRowOverhead;
    d.k_multiple = Format::kColumns;
    d.row_step = row_step;
    d.max_k = kMaxK;
    d.min_m = 1;
    d.packed_align = 1;
    d.prepared_align = 64;
    d.prepare_k_step = TB_INT8_K_STEP;
    d.prepare_tag = TB_INT8_PREPARE_TAG;
    d.accepts = trit_blocks_accepts<Format>;
    d.packed_size = trit_blocks_packed_size<Format>;
    d.pack_row_step = trit_blocks_pack_row_step<Format>;
    d.pack = trit_blocks_pack<Format>;
    d.unpack = trit_blocks_unpack<Format>;
    d.prepared_size = tb_int8_prepared_size;
    d.row_absmax = tb_int8_row_absmax;
    d.prepare = tb_int8_prepare;
    d.scratch_size = scratch_size;
    d.gemv = gemv;
    d.gemm = gemm;
    d.accumulate = accumulate;
    d.work = trit_blocks_work<Format>;
    return d;
}

}  // namespace

#endif
