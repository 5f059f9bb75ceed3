/* The layout `tl2`: bitnet.cpp's TL2 for x86, byte for byte. Three weights in 5 bits, what is left
 * of a row in two weights per 4 bits.
 *
 * Source: microsoft/BitNet utils/convert-hf-to-gguf-bitnet.py (preprocess_weights_tl2) and
 * utils/codegen_tl2.py; arXiv:2502.11880 (element-wise mirror consolidation).
 *
 * W is cut in tiles of BM rows and BK columns, a tile in blocks of 32 rows. K3 = K / BK * BK
 * columns are stored in triples, the other K2 = K - K3 in pairs. Regions, in this order:
 *
 *   index plane   [N/BM][K3/BK][BM/32][BK/6][32 bytes]   N * K3 / 6 bytes
 *     a byte is a row with six columns: high nibble the first triple, low nibble the second;
 *     nibble = |9 w0 + 3 w1 + w2|, 0..13. In the 32 bytes, rows 8..15 and 16..23 change places.
 *   sign plane    [N/BM][K3/BK][BM/32][BK/24][16 words]  N * K3 / 24 bytes
 *     word i belongs to rows i and i + 16 with 24 columns; bit 15 - 2t is set where triple t of
 *     row i is negative, bit 14 - 2t where that of row i + 16 is.
 *   pair plane    [N/BM][K2/32][BM/32][8][32 bytes]      N * K2 / 4 bytes
 *     a byte is a row with four columns, rows as in the index plane; nibble = 3 w0 + w1 + 4, 0..8.
 *   zeros up to   roundup32((K - 256) * N / 3 * 5 / 8 + 256 * N / 2 * 4 / 8)
 *                 the published size, in C's integer arithmetic from left to right
 *   float32 scale, 28 bytes of zero
 *
 * The original needs N % BM == 0 and K2 % 32 == 0. Other shapes are stored as the next larger shape
 * that it can hold, with zero weights: a padding that no published file has.
 *
 * Lookups add 16-bit sums over BK columns. A triple is at most 3 * 128 (activations may be -128),
 * so that BK <= 255 is safe: 240 as a multiple of 24. The original does not check. */
#ifndef TRITBENCH_KERNELS_TL2_LAYOUT_H
#define TRITBENCH_KERNELS_TL2_LAYOUT_H

#include <string.h>

#include "kernels/api/kernel.h"
#include "kernels/api/prepared_int8.h"
#include "kernels/api/shape_limits.h"
#include "kernels/tl2/codes.h"

namespace {

constexpr int64_t kPairColumns = 32;  // of a block of the pair plane
constexpr int64_t kTrailer = 32;      // scale and padding
constexpr int64_t kMaxK = int64_t{1} << 22;

constexpr int64_t kActivationMin = -128, kActivationMax = 127;
constexpr int64_t kLargestTriple =
    3 * (-kActivationMin > kActivationMax ? -kActivationMin : kActivationMax);
// Columns whose triples never leave int16, whatever their activations are.
constexpr int64_t kSafeColumns = INT16_MAX / kLargestTriple * 3;
static_assert(kSafeColumns == 255, "85 triples of 384 are 32640");
// Of a row in a tile, more than any that is accepted has, and some that are read and not used.
constexpr int64_t kLineCodes = 520;

constexpr int32_t kBmValues[] = {32, 64, 96, 128, 160, 192, 256, 320};
constexpr int32_t kBkValues[] = {48, 96, 192, 240, 264, 288};  // the last two to be refused
constexpr int64_t kMaxBm = 320;
// Bytes ahead of the index plane; of the sign plane a quarter. Never 0: the planes are two streams
// in turns, which no hardware prefetcher keeps up with (on Zen 4, from memory, 1.5 to 1.8 times
// slower).
constexpr int32_t kAheadValues[] = {1024, 2048};
constexpr tb_tile_param kTileParams[] = {
    {"prefetch", kAheadValues, 2, 2048, TB_TILE_AFFECTS_CALL},
    {"BM", kBmValues, 8, 256, TB_TILE_AFFECTS_PACK},
    {"BK", kBkValues, 6, 192, TB_TILE_AFFECTS_PACK | TB_TILE_AFFECTS_PREPARE}};

struct Tl2Tile {
    int64_t bm, bk;
};

inline Tl2Tile tl2_tile(const tb_tile* tile) {
    if (tile == nullptr) return {kTileParams[1].default_value, kTileParams[2].default_value};
    return {tile->value[1], tile->value[2]};
}

// Where things are in a packed tensor.
struct Places {
    int64_t bm, bk;
    int64_t n, k3, k2;  // padded; k3 + k2 columns are stored
    int64_t sign, pair, scale;

    Places(const tb_shape& s, const tb_tile* tile) {
        const Tl2Tile t = tl2_tile(tile);
        bm = t.bm;
        bk = t.bk;
        n = tb_round_up(s.n, bm);
        k3 = s.k / bk * bk;
        k2 = tb_round_up(s.k - k3, kPairColumns);
        sign = n * k3 / 6;
        pair = sign + n * k3 / 24;
        const int64_t published = (k3 + k2 - 256) * n / 3 * 5 / 8 + 256 * n / 2 * 4 / 8;
        scale = tb_round_up(published > data() ? published : data(), 32);
    }

    int64_t data() const { return pair + n * k2 / 4; }

    // The blocks of 32 rows with row r: of columns k < k3 in triples, and of pair columns from k.
    int64_t index_at(int64_t r, int64_t k) const {
        const int64_t tile = r / bm * (k3 / bk) + k / bk;
        return (tile * (bm / 32) + r % bm / 32) * (bk / 6) * 32 + k % bk / 6 * 32;
    }
    int64_t sign_at(int64_t r, int64_t k) const {
        const int64_t tile = r / bm * (k3 / bk) + k / bk;
        return sign + (tile * (bm / 32) + r % bm / 32) * (bk / 24) * 32 + k % bk / 24 * 32;
    }
    int64_t pair_at(int64_t r, int64_t k) const {
        const int64_t tile = r / bm * (k2 / 32) + k / 32;
        return pair + (tile * (bm / 32) + r % bm / 32) * 256 + k % 32 / 4 * 32;
    }
};

inline float tensor_scale(const tb_shape& s, const tb_tile* tile, const void* packed) {
    float scale;
    memcpy(&scale, static_cast<const uint8_t*>(packed) + Places(s, tile).scale, sizeof scale);
    return scale;
}

tb_status tl2_accepts(const tb_shape* s, const tb_tile* tile) {
    const Tl2Tile t = tl2_tile(tile);
    if (t.bm < kBlockRows || t.bm > kMaxBm || t.bm % kBlockRows != 0) {
        return {TB_BAD_TILE, "BM must be a multiple of 32, at most 320"};
    }
    if (t.bk < kSignColumns || t.bk % kSignColumns != 0) {
        return {TB_BAD_TILE, "BK must be a multiple of 24"};
    }
    if (t.bk > kSafeColumns) {
        return {TB_BAD_TILE, "BK is not safe: BK / 3 triples of 3 * 128 leave int16 beyond 240"};
    }
    return tb_check_shape(s, kMaxK);
}

size_t tl2_packed_size(const tb_shape* s, const tb_tile* tile) {
    return static_cast<size_t>(Places(*s, tile).scale + kTrailer);
}

int64_t tl2_pack_row_step(const tb_shape*, const tb_tile* tile) {
    return tl2_tile(tile).bm;
}

// The 32 rows from row r of `at.n` on, of which `rows` are there: the others, and what is behind
// the columns of the matrix, are zeros. A row at a time: rows are often a multiple of 4096 bytes
// apart, and then all of a block meet in one set of the cache.
inline void tl2_pack_block(const Places& at, int64_t r, const int8_t* trits, int64_t ld,
                           int64_t rows, int64_t k, uint8_t* bytes) {
    uint8_t codes[kLineCodes];
    for (int64_t c = 0; c < at.k3; c += at.bk) {
        memset(codes, 1, sizeof codes);  // 1 is the trit 0
        uint8_t* index = bytes + at.index_at(r, c);
        uint8_t* signs = bytes + at.sign_at(r, c);
        for (int64_t i = 0; i < kBlockRows; ++i) {
            if (i < rows) {
                codes_of_trits(trits + i * ld + c, at.bk, codes);
            } else if (i == rows) {
                memset(codes, 1, sizeof codes);
            }
            tl2_pack_triples(codes, at.bk, i, index, signs);
        }
    }
    for (int64_t c = 0; c < at.k2; c += kPairColumns) {
        memset(codes, 1, sizeof codes);
        uint8_t* pairs = bytes + at.pair_at(r, c);
        const int64_t left = k - at.k3 - c, columns = left < kPairColumns ? left : kPairColumns;
        for (int64_t i = 0; i < kBlockRows; ++i) {
            if (i < rows) {
                codes_of_trits(trits + i * ld + at.k3 + c, columns, codes);
            } else if (i == rows) {
                memset(codes, 1, sizeof codes);
            }
            uint8_t* of_row = pairs + byte_of_row(i);
            for (int64_t j = 0; j < kPairColumns; j += 4) of_row[8 * j] = pairs_of_codes(codes + j);
        }
    }
}

tb_status tl2_pack(const tb_shape* s, const tb_tile* tile, const tb_weights* w, int64_t row_begin,
                   int64_t row_end, void* packed) {
    const Places at(*s, tile);
    if (row_begin % at.bm != 0 || (row_end % at.bm != 0 && row_end != s->n)) {
        return {TB_BAD_RANGE, "rows must begin and end on BM (or end on N)"};
    }
    if (w->trits == nullptr || w->scales == nullptr)
        return {TB_BAD_INPUT, "needs trits and a scale"};
    auto* bytes = static_cast<uint8_t*>(packed);
    const int64_t end = row_end == s->n ? at.n : row_end;
    for (int64_t r = row_begin; r < end; r += kBlockRows) {
        const int64_t left = s->n - r;
        const int8_t* trits = left > 0 ? w->trits + (r - row_begin) * w->ld : w->trits;
        const int64_t rows = left < 0 ? 0 : left < kBlockRows ? left : kBlockRows;
        for (int64_t i = 0; i < rows; ++i) {
            if (!are_trits(trits + i * w->ld, s->k)) {
                return {TB_BAD_WEIGHT, "a weight is not -1, 0 or +1"};
            }
        }
        tl2_pack_block(at, r, trits, w->ld, rows, s->k, bytes);
    }
    if (row_end == s->n) {
        memset(bytes + at.data(), 0, static_cast<size_t>(at.scale + kTrailer - at.data()));
        memcpy(bytes + at.scale, w->scales, sizeof(float));
    }
    return {TB_OK, nullptr};
}

// Three trits of a triple, or null for a nibble or a sign that no packer writes.
inline const char* tl2_triple(const Places& at, const uint8_t* bytes, int64_t r, int64_t c,
                              int8_t* trits) {
    const uint8_t index = bytes[at.index_at(r, c) + byte_of_row(r)];
    const int nibble = c % 6 == 0 ? index >> 4 : index & 15;
    const int64_t bit = 15 - 2 * (c % 24 / 3) - r % 32 / 16;
    const int minus = bytes[at.sign_at(r, c) + 2 * (r % 16) + bit / 8] >> bit % 8 & 1;
    if (nibble > 13) return "an index above 13, which no TL2 packer writes";
    if (nibble == 0 && minus != 0) return "three zeros with a sign, which no TL2 packer writes";
    const int v = minus != 0 ? -nibble : nibble;
    trits[0] = static_cast<int8_t>((v + 13) / 9 - 1);
    trits[1] = static_cast<int8_t>((v + 13) / 3 % 3 - 1);
    trits[2] = static_cast<int8_t>((v + 13) % 3 - 1);
    return nullptr;
}

inline const char* tl2_pair(const Places& at, const uint8_t* bytes, int64_t r, int64_t c,
                            int8_t* trits) {
    const uint8_t byte = bytes[at.pair_at(r, c) + byte_of_row(r)];
    const int v = c % 4 == 0 ? byte >> 4 : byte & 15;
    if (v > 8) return "a pair above 8, which no TL2 packer writes";
    trits[0] = static_cast<int8_t>(v / 3 - 1);
    trits[1] = static_cast<int8_t>(v % 3 - 1);
    return nullptr;
}

tb_status tl2_unpack(const tb_shape* s, const tb_tile* tile, const void* packed, int64_t row_begin,
                     int64_t row_end, const tb_weights_out* w) {
    const Places at(*s, tile);
    const auto* bytes = static_cast<const uint8_t*>(packed);
    const float scale = tensor_scale(*s, tile, packed);
    if (w->scales != nullptr) *w->scales = scale;
    for (int64_t r = row_begin; r < row_end; ++r) {
        for (int64_t c = 0, step = 0; c < s->k; c += step) {
            int8_t trits[3];
            step = c < at.k3 ? 3 : 2;
            const char* wrong = step == 3 ? tl2_triple(at, bytes, r, c, trits)
                                          : tl2_pair(at, bytes, r, c - at.k3, trits);
            if (wrong != nullptr) return {TB_BAD_WEIGHT, wrong};
            for (int64_t i = 0; i < step && c + i < s->k; ++i) {
                const int64_t to = (r - row_begin) * w->ld + c + i;
                if (w->trits != nullptr) w->trits[to] = trits[i];
                if (w->values != nullptr) w->values[to] = static_cast<float>(trits[i]) * scale;
            }
        }
    }
    return {TB_OK, nullptr};
}

using Product = void (*)(const tb_product*);
using ScratchSize = size_t (*)(const tb_shape*, const tb_tile*, int64_t);

constexpr tb_kernel tl2_descriptor(const char* id, const char* isa, tb_features features,
                                   const char* description, ScratchSize scratch_size,
                                   Product product, Product accumulate) {
    tb_kernel d{};
    d.id = id;
    d.layout = "tl2";
    d.isa = isa;
    d.description = description;
    d.source = "microsoft/BitNet (TL2), arXiv:2502.11880";
    d.weight_kind = TB_WEIGHT_TERNARY;
    d.scale_granularity = TB_SCALE_TENSOR;
    d.activation_kind = TB_ACT_INT8_TOKEN;
    d.exactness = TB_EXACT;
    d.features = features;
    d.bits_num = 5;
    d.bits_den = 3;
    d.overhead_bytes_tensor = kTrailer;
    d.k_multiple = 1;
    d.row_step = kBlockRows;
    d.max_k = kMaxK;
    d.min_m = 1;
    d.packed_align = 1;
    d.prepared_align = 64;
    d.prepare_k_step = 3 * TB_INT8_K_STEP;  // of sums (512) and of triples
    d.tile_params = kTileParams;
    d.tile_param_count = 3;
    d.accepts = tl2_accepts;
    d.packed_size = tl2_packed_size;
    d.pack_row_step = tl2_pack_row_step;
    d.pack = tl2_pack;
    d.unpack = tl2_unpack;
    d.row_absmax = tb_int8_row_absmax;
    d.scratch_size = scratch_size;
    d.gemv = product;
    d.gemm = product;
    d.accumulate = accumulate;
    return d;
}

}  // namespace

#endif
