/* What the block formats of ggml share: rows of blocks, row-major, exactly as in a GGUF tensor, so
 * that a file can be mapped. No padding, no alignment.
 *
 * Every weight is an integer times the float of its block of 32 columns, w = d * v, where d is the
 * half-precision scale that is stored (q6_k: 8 blocks of 32 share one, and v is the 6-bit code less
 * 32 times the 8-bit scale of its 16 columns). A Format is
 *
 *   kLayout, kColumns, kBytes    name, and size of a block as stored
 *   kScaleBlock                  columns that share a scale of any kind
 *   kSource                      where the format comes from
 *   static float scale(const uint8_t* block)                           d
 *   static bool valid(const uint8_t* block)                            false: bad code
 *   static void integers(const uint8_t* block, int32_t* v)             kColumns
 *   static void quantise(const float* x, uint8_t* block)               from finite values
 *
 * Static: see dot/epilogue.h. */
#ifndef TRITBENCH_KERNELS_BLOCKS_LAYOUT_H
#define TRITBENCH_KERNELS_BLOCKS_LAYOUT_H

#include "kernels/api/half.h"
#include "kernels/api/kernel.h"
#include "kernels/api/prepared_block.h"
#include "kernels/api/shape_limits.h"

namespace {

// 2^12 chunks, hence 2^12 additions in a lane: what `bound` below is good for.
constexpr int64_t kMaxK = int64_t{1} << 20;

template <class Format>
constexpr int64_t kChunkBytes = TB_BLOCK32_CHUNK / Format::kColumns* Format::kBytes;

inline float half_at(const uint8_t* p) {
    uint16_t h;
    memcpy(&h, p, sizeof h);
    return tb_half_to_float(h);
}

inline void put_half(float value, uint8_t* p) {
    const uint16_t h = tb_float_to_half(value);
    memcpy(p, &h, sizeof h);
}

inline bool is_finite(float value) {
    return value - value == 0;
}

template <class Format>
int64_t row_bytes(const tb_shape* s) {
    return s->k / Format::kColumns * Format::kBytes;
}

template <class Format>
tb_status block_accepts(const tb_shape* s, const tb_tile*) {
    const tb_status status = tb_check_shape(s, kMaxK);
    if (status.code != TB_OK || s->k % Format::kColumns == 0) return status;
    return {TB_BAD_SHAPE, "K is not a multiple of the block of this format"};
}

template <class Format>
size_t block_packed_size(const tb_shape* s, const tb_tile*) {
    return static_cast<size_t>(s->n * row_bytes<Format>(s));
}

int64_t block_pack_row_step(const tb_shape*, const tb_tile*) {
    return 1;
}

template <class Format>
tb_status block_pack(const tb_shape* s, const tb_tile*, const tb_weights* w, int64_t row_begin,
                     int64_t row_end, void* packed) {
    if (w->values == nullptr) return {TB_BAD_INPUT, "needs float rows"};
    for (int64_t n = row_begin; n < row_end; ++n) {
        const float* x = w->values + (n - row_begin) * w->ld;
        uint8_t* block = static_cast<uint8_t*>(packed) + n * row_bytes<Format>(s);
        for (int64_t k = 0; k < s->k; k += Format::kColumns, block += Format::kBytes) {
            float none = 0;  // stays 0 as long as all are finite
            for (int64_t i = 0; i < Format::kColumns; ++i) none += x[k + i] - x[k + i];
            if (none != 0) return {TB_BAD_WEIGHT, "a weight is infinite or not a number"};
            Format::quantise(x + k, block);
            if (!is_finite(Format::scale(block))) {
                return {TB_BAD_WEIGHT, "a weight is too large for a half-precision scale"};
            }
        }
    }
    return {TB_OK, nullptr};
}

template <class Format>
tb_status block_unpack(const tb_shape* s, const tb_tile*, const void* packed, int64_t row_begin,
                       int64_t row_end, const tb_weights_out* w) {
    for (int64_t n = row_begin; n < row_end; ++n) {
        const uint8_t* block = static_cast<const uint8_t*>(packed) + n * row_bytes<Format>(s);
        for (int64_t k = 0; k < s->k; k += Format::kColumns, block += Format::kBytes) {
            const float d = Format::scale(block);
            if (!is_finite(d)) return {TB_BAD_WEIGHT, "a scale is infinite or not a number"};
            if (!Format::valid(block)) return {TB_BAD_WEIGHT, "a code that no packer writes"};
            if (w->values == nullptr) continue;
            int32_t v[Format::kColumns];
            Format::integers(block, v);
            float* values = w->values + (n - row_begin) * w->ld + k;
            for (int64_t i = 0; i < Format::kColumns; ++i) values[i] = static_cast<float>(v[i]) * d;
        }
    }
    return {TB_OK, nullptr};
}

size_t no_scratch(const tb_shape*, const tb_tile*, int64_t) {
    return 0;
}

template <class Format>
void block_work(const tb_shape* s, const tb_tile*, int64_t m, tb_work* out) {
    const double n = static_cast<double>(s->n), k = static_cast<double>(s->k);
    const double tokens = static_cast<double>(m);
    *out = {static_cast<double>(block_packed_size<Format>(s, nullptr)),
            static_cast<double>(tb_block32_prepared_size(s, nullptr, m)),
            0,
            n * tokens * 4,
            n * k * tokens,
            0};
}

using Product = void (*)(const tb_product*);

template <class Format>
constexpr tb_kernel block_descriptor(const char* id, const char* isa, tb_features features,
                                     const char* description, int64_t row_step, Product gemv,
                                     Product gemm) {
    tb_kernel d{};
    d.id = id;
    d.layout = Format::kLayout;
    d.isa = isa;
    d.description = description;
    d.source = Format::kSource;
    d.weight_kind = TB_WEIGHT_QUANTISED;
    d.scale_granularity = TB_SCALE_BLOCK;
    d.scale_block = Format::kScaleBlock;
    d.scale_type = TB_SCALE_F16;
    d.activation_kind = TB_ACT_INT8_BLOCK;
    d.activation_block = TB_BLOCK32_COLUMNS;
    d.exactness = TB_BOUNDED;
    // Roundings of 2^-24 each: d * scale, one for each of up to 2^12 additions in a lane, the three
    // of the tree, and that of the weight in its canonical view. See prepared_block.h.
    d.bound = 2.5e-4;
    d.features = features;
    d.bits_num = static_cast<int32_t>(Format::kBytes) * 8;
    d.bits_den = static_cast<int32_t>(Format::kColumns);
    d.k_multiple = Format::kColumns;
    d.row_step = row_step;
    d.max_k = kMaxK;
    d.min_m = 1;
    d.packed_align = 1;
    d.prepared_align = 64;
    d.prepare_k_step = TB_BLOCK32_CHUNK;
    d.prepare_tag = TB_BLOCK32_PREPARE_TAG;
    d.accepts = block_accepts<Format>;
    d.packed_size = block_packed_size<Format>;
    d.pack_row_step = block_pack_row_step;
    d.pack = block_pack<Format>;
    d.unpack = block_unpack<Format>;
    d.prepared_size = tb_block32_prepared_size;
    d.row_absmax = tb_block32_row_absmax;
    d.prepare = tb_block32_prepare;
    d.scratch_size = no_scratch;
    d.gemv = gemv;
    d.gemm = gemm;
    d.accumulate = nullptr;
    d.work = block_work<Format>;
    return d;
}

}  // namespace

#endif
