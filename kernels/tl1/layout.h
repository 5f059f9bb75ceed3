/* The layout `tl1`: two weights in four bits, as bitnet.cpp packs them for its ARM tables.
 *
 * Source: microsoft/BitNet utils/convert-hf-to-gguf-bitnet.py (preprocess_weights_tl1, process_tl1)
 * and utils/codegen_tl1.py; arXiv:2502.11880.
 *
 * A pair of weights of one row (w[c], w[c+1]), c even, is the number 3 w[c] + w[c+1] + 4 in 0..8:
 * the place of its sum w[c] x[c] + w[c+1] x[c+1] in a table of the activations. W is cut in tiles
 * of BM rows x BK columns, a tile in blocks of bm rows, a block in steps of by = 256 / bm columns.
 * A step is 64 bytes, in groups of 16: a byte of a group is four columns of one row, a group 16
 * rows.
 *
 *   tiles    down K, then down N         all BK columns of a tile's rows, then the next columns
 *   blocks   down the rows of a tile
 *   steps    along the columns of a tile
 *
 *   a step, bm = 64:  rows 0..15 | 16..31 | 32..47 | 48..63        of columns 0..3
 *   a step, bm = 32:  rows 0..15 of columns 0..3 | of columns 4..7 | rows 16..31 of 0..3 | of 4..7
 *   a byte:           bits 7:4 columns 0 and 1, bits 3:0 columns 2 and 3
 *
 * After the last tile: one float32 scale for the tensor, then 28 bytes of zero.
 *
 * The original takes N % BM == 0 and K % BK == 0 alone, and then these are its bytes. Here the last
 * tile down N has as many rows as are left, padded with zero weights to whole blocks; the last one
 * along K as many columns as are left, padded to whole steps.
 *
 * BK is also how many columns are added up in 16 bits: safe_columns() says which are safe, others
 * are refused. The original is silent about it. 2 bits per weight + 32 bytes per tensor. */
#ifndef TRITBENCH_KERNELS_TL1_LAYOUT_H
#define TRITBENCH_KERNELS_TL1_LAYOUT_H

#include <string.h>

#include "kernels/api/kernel.h"
#include "kernels/api/prepared_int8.h"
#include "kernels/api/shape_limits.h"
#include "kernels/dot/prefetch.h"
#include "kernels/dot/trits.h"

namespace {

constexpr int64_t kStepBytes = 64;
constexpr int64_t kGroup = 16;               // rows of 16 bytes
constexpr int64_t kTrailer = 32;             // scale and padding
constexpr int64_t kMaxK = int64_t{1} << 22;  // as codes 2 * 128 * K < 2^31

// The most columns whose sum of w * x fits 16 bits, whatever the signs, for |x| <= most: pairs are
// added, of which each is within +-2 * most.
constexpr int64_t safe_columns(int64_t most) {
    return 32767 / (2 * most) * 2;
}
static_assert(safe_columns(127) == 258, "activations within +-127, as published");
static_assert(safe_columns(128) == 254, "given int8 activations may be -128");
constexpr int64_t kMostColumns = 512;  // of a tile, and more than any that is accepted

constexpr int32_t kBmValues[] = {64, 128, 160, 256, 320, 512};
constexpr int32_t kBkValues[] = {64, 128, 192, 256};  // 256 is there to be refused by name
constexpr int32_t kBlockValues[] = {32, 64};

// bitnet.cpp's names. The presets it publishes are all among the values.
constexpr tb_tile_param kBm = {"BM", kBmValues, 6, 256, TB_TILE_AFFECTS_PACK};
constexpr tb_tile_param kBk = {"BK", kBkValues, 4, 128, TB_TILE_AFFECTS_PACK};
constexpr tb_tile_param kBlock = {"bm", kBlockValues, 2, 64, TB_TILE_AFFECTS_PACK};
constexpr tb_tile_param kTileParams[] = {kPrefetchParam, kBm, kBk, kBlock};

struct TileSize {
    int64_t rows, columns;  // BM, BK
    int64_t bm, by;
};

inline TileSize tile_of(const tb_tile* tile) {
    if (tile == nullptr) {
        return {kBm.default_value, kBk.default_value, kBlock.default_value,
                256 / kBlock.default_value};
    }
    return {tile->value[1], tile->value[2], tile->value[3],
            tile->value[3] > 0 ? 256 / tile->value[3] : 0};
}

// Where things lie for one shape and tile.
struct Places {
    TileSize tile;
    int64_t rows, columns;  // N and K with their padding

    Places(const tb_shape& s, const tb_tile* t)
        : tile(tile_of(t)), rows(tb_round_up(s.n, tile.bm)), columns(tb_round_up(s.k, tile.by)) {}

    int64_t bytes() const { return rows * columns / 4; }
    // Of the tile that begins with this row or column.
    int64_t height(int64_t row) const { return rows - row < tile.rows ? rows - row : tile.rows; }
    int64_t width(int64_t column) const {
        return columns - column < tile.columns ? columns - column : tile.columns;
    }
    // The byte at which the block with row n begins its columns of the tile from column k on. k is
    // a multiple of BK.
    int64_t block(int64_t n, int64_t k) const {
        const int64_t top = n / tile.rows * tile.rows;
        const int64_t above = (n - top) / tile.bm * tile.bm;
        return (top * columns + height(top) * k + above * width(k)) / 4;
    }
    // Into a block: the 16 bytes of columns k..k+3 (k from the left of the tile, k % 4 == 0) of the
    // 16 rows with row r of the block.
    int64_t group(int64_t r, int64_t k) const {
        // by is 4 or 8; no divisions, which would cost more than unpacking.
        const int64_t wide = tile.by >> 3, step = k >> (2 + wide), half = k >> 2 & wide;
        return step * kStepBytes + ((r / kGroup << wide) + half) * kGroup;
    }
};

inline float tensor_scale(const tb_shape& s, const tb_tile* tile, const void* packed) {
    float scale;
    memcpy(&scale, static_cast<const uint8_t*>(packed) + Places(s, tile).bytes(), sizeof scale);
    return scale;
}

tb_status tl1_accepts(const tb_shape* s, const tb_tile* tile) {
    const TileSize t = tile_of(tile);
    if (t.bm != 32 && t.bm != 64) return {TB_BAD_TILE, "bm must be 32 or 64"};
    if (t.rows < t.bm || t.rows % t.bm != 0) return {TB_BAD_TILE, "BM must be a multiple of bm"};
    if (t.columns < 8 || t.columns % 8 != 0) {
        return {TB_BAD_TILE, "BK must be a multiple of 8, and so of by = 256 / bm"};
    }
    if (t.columns > safe_columns(128)) {
        return {TB_BAD_TILE,
                "BK is unsafe: activations may be -128, and beyond BK = 254 a sum of BK of them "
                "wraps in 16 bits (256 * 128 = 32768)"};
    }
    return tb_check_shape(s, kMaxK);
}

size_t tl1_packed_size(const tb_shape* s, const tb_tile* tile) {
    return static_cast<size_t>(Places(*s, tile).bytes() + kTrailer);
}

int64_t tl1_pack_row_step(const tb_shape*, const tb_tile* tile) {
    return tile_of(tile).bm;
}

// Calls visit(byte, k) for the bytes of row n, columns k..k+3, along the row.
template <class Visit>
inline void visit_row(const Places& at, int64_t n, Visit visit) {
    const int64_t r = n % at.tile.rows % at.tile.bm;
    for (int64_t left = 0; left < at.columns; left += at.tile.columns) {
        const int64_t block = at.block(n, left) + r % kGroup;
        for (int64_t k = 0; k < at.width(left); k += 4) visit(block + at.group(r, k), left + k);
    }
}

// A block of bm rows, of which `count` are there, and `width` columns of a tile, of which `columns`
// are; the others are zeros. A row at a time: rows are often a multiple of 4096 bytes apart, and
// then all of a block meet in one set of the cache. Halves: groups that a row has in a step.
template <int64_t Halves>
inline void tl1_pack_block(int64_t bm, const int8_t* trits, int64_t ld, int64_t count,
                           int64_t columns, int64_t width, uint8_t* block) {
    uint8_t codes[kMostColumns];
    memset(codes, 1, sizeof codes);  // 1 is the trit 0
    for (int64_t r = 0; r < bm; ++r) {
        if (r < count) {
            codes_of_trits(trits + r * ld, columns, codes);
        } else if (r == count) {
            memset(codes, 1, sizeof codes);
        }
        uint8_t* to = block + r / kGroup * Halves * kGroup + r % kGroup;
        for (int64_t k = 0; k < width; k += 4 * Halves, to += kStepBytes) {
            for (int64_t half = 0; half < Halves; ++half) {
                to[half * kGroup] = pairs_of_codes(codes + k + 4 * half);
            }
        }
    }
}

tb_status tl1_pack(const tb_shape* s, const tb_tile* tile, const tb_weights* w, int64_t row_begin,
                   int64_t row_end, void* packed) {
    const Places at(*s, tile);
    if (row_begin % at.tile.bm != 0 || (row_end % at.tile.bm != 0 && row_end != s->n)) {
        return {TB_BAD_RANGE, "rows must begin and end on bm (or end on N)"};
    }
    if (w->trits == nullptr || w->scales == nullptr)
        return {TB_BAD_INPUT, "needs trits and a scale"};
    auto* bytes = static_cast<uint8_t*>(packed);
    for (int64_t n = row_begin; n < row_end; n += at.tile.bm) {
        const int8_t* rows = w->trits + (n - row_begin) * w->ld;
        const int64_t count = row_end - n < at.tile.bm ? row_end - n : at.tile.bm;
        for (int64_t r = 0; r < count; ++r) {
            if (!are_trits(rows + r * w->ld, s->k)) {
                return {TB_BAD_WEIGHT, "a weight is not -1, 0 or +1"};
            }
        }
        const auto pack_block = at.tile.by == 4 ? tl1_pack_block<1> : tl1_pack_block<2>;
        for (int64_t left = 0; left < at.columns; left += at.tile.columns) {
            const int64_t width = at.width(left);
            const int64_t columns = s->k - left < width ? s->k - left : width;
            pack_block(at.tile.bm, rows + left, w->ld, count, columns, width,
                       bytes + at.block(n, left));
        }
    }
    if (row_end == s->n) {
        memset(bytes + at.bytes(), 0, kTrailer);
        memcpy(bytes + at.bytes(), w->scales, sizeof(float));
    }
    return {TB_OK, nullptr};
}

tb_status tl1_unpack(const tb_shape* s, const tb_tile* tile, const void* packed, int64_t row_begin,
                     int64_t row_end, const tb_weights_out* w) {
    const Places at(*s, tile);
    const auto* bytes = static_cast<const uint8_t*>(packed);
    const float scale = tensor_scale(*s, tile, packed);
    if (w->scales != nullptr) *w->scales = scale;
    if (w->trits == nullptr && w->values == nullptr && w->scales != nullptr)
        return {TB_OK, nullptr};
    int bad = 0, padding = 0;
    for (int64_t n = row_begin; n < row_end; ++n) {
        visit_row(at, n, [&](int64_t byte, int64_t k) {
            const int high = bytes[byte] >> 4, low = bytes[byte] & 15;
            bad |= high > 8 || low > 8;
            const int trits[4] = {high / 3 - 1, high % 3 - 1, low / 3 - 1, low % 3 - 1};
            for (int64_t i = 0; i < 4; ++i) {
                if (k + i >= s->k) {
                    padding |= trits[i];
                    continue;
                }
                const int64_t to = (n - row_begin) * w->ld + k + i;
                if (w->trits != nullptr) w->trits[to] = static_cast<int8_t>(trits[i]);
                if (w->values != nullptr) w->values[to] = static_cast<float>(trits[i]) * scale;
            }
        });
        if (bad != 0) return {TB_BAD_WEIGHT, "a code above 8, which no TL1 packer writes"};
        if (padding != 0) return {TB_BAD_WEIGHT, "the columns behind K are not zero"};
    }
    return {TB_OK, nullptr};
}

using Product = void (*)(const tb_product*);
using Work = void (*)(const tb_shape*, const tb_tile*, int64_t, tb_work*);
using ScratchSize = size_t (*)(const tb_shape*, const tb_tile*, int64_t);

// With the int8 activations that all ternary layouts share.
constexpr tb_kernel tl1_descriptor(const char* id, const char* isa, tb_features features,
                                   const char* description, const tb_tile_param* tile_params,
                                   ScratchSize scratch_size, Product product, Product accumulate,
                                   Work work) {
    tb_kernel d{};
    d.id = id;
    d.layout = "tl1";
    d.isa = isa;
    d.description = description;
    d.source = "microsoft/BitNet (TL1), arXiv:2502.11880";
    d.weight_kind = TB_WEIGHT_TERNARY;
    d.scale_granularity = TB_SCALE_TENSOR;
    d.activation_kind = TB_ACT_INT8_TOKEN;
    d.exactness = TB_EXACT;
    d.features = features;
    d.bits_num = 2;
    d.bits_den = 1;
    d.overhead_bytes_tensor = kTrailer;
    d.k_multiple = 1;
    d.row_step = 64;
    d.max_k = kMaxK;
    d.min_m = 1;
    d.packed_align = 1;
    d.prepared_align = 64;
    d.prepare_k_step = TB_INT8_K_STEP;
    d.tile_params = tile_params;  // prefetch, BM, BK, bm
    d.tile_param_count = 4;
    d.prepare_tag = TB_INT8_PREPARE_TAG;
    d.accepts = tl1_accepts;
    d.packed_size = tl1_packed_size;
    d.pack_row_step = tl1_pack_row_step;
    d.pack = tl1_pack;
    d.unpack = tl1_unpack;
    d.prepared_size = tb_int8_prepared_size;
    d.row_absmax = tb_int8_row_absmax;
    d.prepare = tb_int8_prepare;
    d.scratch_size = scratch_size;
    d.gemv = product;
    d.gemm = product;
    d.accumulate = accumulate;
    d.work = work;
    return d;
}

}  // namespace

#endif
