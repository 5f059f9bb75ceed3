/* The layout `i2c`: 2-bit codes, column after column, for activations that are mostly zero.
 *
 *   [column k][line l][64 bytes]         line l holds rows 256 l .. 256 l + 255 of the column
 *
 *   row 64 i + 16 f + 4 a + b of a line:  byte 16 a + 4 i + b, field f (bits 2 f, 2 f + 1)
 *                                         i, f, a, b = 0..3
 *   codes 0 -> -1, 1 -> 0, 2 -> +1; 3 is invalid
 *
 * A column is one run of ceil(N / 256) lines of the cache, so that a product reads only the columns
 * whose activation is not zero, each of them as one short stream. Which row lies where in a line
 * makes columns meet quickly: interleaving the bytes of four lines, first in pairs and then in
 * fours, within 128 bits as all instruction sets can, gives four registers that are the step of
 * four panels of i2r (i2r/layout.h, lanes/panels.h): i is the panel, the dword of a lane is
 * 4 a + b, its bytes are the four columns.
 *
 * The last line is padded with rows of zero weights. After the columns: one float32 scale for the
 * tensor, then 60 bytes of zero. 2 bits a weight.
 *
 * Squared ReLU leaves the input of ffn_down mostly zero (BitNet b1.58 2B4T, arXiv:2504.12285).
 * Reading only the columns that count is known from float models with sparse activations (Deja Vu,
 * arXiv:2310.17157; PowerInfer, arXiv:2312.12456); the arrangement is ours.
 *
 * Static: see dot/epilogue.h. */
#ifndef TRITBENCH_KERNELS_I2C_LAYOUT_H
#define TRITBENCH_KERNELS_I2C_LAYOUT_H

#include <string.h>

#include "kernels/i2r/layout.h"

namespace {

constexpr int64_t kLineRows = 256;
constexpr int64_t kLineBytes = 64;
constexpr int64_t kPanelsOfLine = 4;  // of i2r
constexpr int64_t kPanelRows = kLineRows / kPanelsOfLine;
constexpr int64_t kTileColumns = 64;  // packed and unpacked at a time

inline int64_t line_count(const tb_shape& s) {
    return (s.n + kLineRows - 1) / kLineRows;
}

// From one column to the next.
inline int64_t column_bytes(const tb_shape& s) {
    return line_count(s) * kLineBytes;
}

inline float scale_of(const tb_shape& s, const void* packed) {
    float scale;
    memcpy(&scale, static_cast<const uint8_t*>(packed) + s.k * column_bytes(s), sizeof scale);
    return scale;
}

// Where in a line a row is: its byte, and how far its field is shifted.
inline int64_t byte_of(int64_t row) {
    return row % 16 / 4 * 16 + row / 64 * 4 + row % 4;
}
inline int shift_of(int64_t row) {
    return static_cast<int>(row / 16 % 4) * 2;
}

inline int64_t smaller(int64_t a, int64_t b) {
    return a < b ? a : b;
}

size_t i2c_packed_size(const tb_shape* s, const tb_tile*) {
    return static_cast<size_t>(s->k * column_bytes(*s) + kTrailer);
}

int64_t i2c_pack_row_step(const tb_shape*, const tb_tile*) {
    return kLineRows;
}

// Columns [0, columns) of the rows of a line. bytes [64][kTileColumns].
inline void encode_lines(const int8_t* trits, int64_t ld, int64_t rows, int64_t columns,
                         uint8_t (&bytes)[kLineBytes][kTileColumns]) {
    memset(bytes, 0x55, sizeof bytes);  // the trit 0, where there is no row
    for (int64_t r = 0; r < rows; ++r) {
        const int8_t* from = trits + r * ld;
        uint8_t* const to = bytes[byte_of(r)];
        const int shift = shift_of(r);
        for (int64_t c = 0; c < columns; ++c) {
            const auto code = static_cast<uint8_t>(from[c] + 1);
            to[c] = static_cast<uint8_t>(to[c] ^ (code ^ 1) << shift);
        }
    }
}

tb_status i2c_pack(const tb_shape* s, const tb_tile*, const tb_weights* w, int64_t row_begin,
                   int64_t row_end, void* packed) {
    if (row_begin % kLineRows != 0 || (row_end % kLineRows != 0 && row_end != s->n)) {
        return {TB_BAD_RANGE, "rows must begin and end on a line of 256 (or end on N)"};
    }
    if (w->trits == nullptr || w->scales == nullptr) {
        return {TB_BAD_INPUT, "needs trits and a scale"};
    }
    auto* const base = static_cast<uint8_t*>(packed);
    for (int64_t row = row_begin; row < row_end; row += kLineRows) {
        const int8_t* trits = w->trits + (row - row_begin) * w->ld;
        const int64_t rows = smaller(kLineRows, row_end - row);
        for (int64_t r = 0; r < rows; ++r) {
            if (!are_trits(trits + r * w->ld, s->k)) {
                return {TB_BAD_WEIGHT, "a weight is not -1, 0 or +1"};
            }
        }
        for (int64_t k = 0; k < s->k; k += kTileColumns) {
            uint8_t bytes[kLineBytes][kTileColumns];
            const int64_t columns = smaller(kTileColumns, s->k - k);
            encode_lines(trits + k, w->ld, rows, columns, bytes);
            for (int64_t c = 0; c < columns; ++c) {
                uint8_t* line = base + (k + c) * column_bytes(*s) + row / kLineRows * kLineBytes;
                for (int64_t j = 0; j < kLineBytes; ++j) line[j] = bytes[j][c];
            }
        }
    }
    if (row_end == s->n) {
        memset(base + s->k * column_bytes(*s), 0, kTrailer);
        memcpy(base + s->k * column_bytes(*s), w->scales, sizeof(float));
    }
    return {TB_OK, nullptr};
}

// Does a line hold the code 3?
inline bool is_invalid(const uint8_t* line) {
    int bad = 0;
    for (int64_t j = 0; j < kLineBytes; ++j) bad |= line[j] & line[j] >> 1 & 0x55;
    return bad != 0;
}

tb_status i2c_unpack(const tb_shape* s, const tb_tile*, const void* packed, int64_t row_begin,
                     int64_t row_end, const tb_weights_out* w) {
    const float scale = scale_of(*s, packed);
    if (w->scales != nullptr) *w->scales = scale;
    const auto* base = static_cast<const uint8_t*>(packed);
    for (int64_t row = row_begin; row < row_end;) {
        const int64_t first = row % kLineRows;
        const int64_t rows = smaller(row_end - row, kLineRows - first);
        for (int64_t k = 0; k < s->k; ++k) {
            const uint8_t* line = base + k * column_bytes(*s) + row / kLineRows * kLineBytes;
            if (is_invalid(line)) return {TB_BAD_WEIGHT, "a code that no packer writes"};
            for (int64_t r = 0; r < rows; ++r) {
                const int code = line[byte_of(first + r)] >> shift_of(first + r) & 3;
                const int64_t to = (row - row_begin + r) * w->ld + k;
                if (w->trits != nullptr) w->trits[to] = static_cast<int8_t>(code - 1);
                if (w->values != nullptr) w->values[to] = static_cast<float>(code - 1) * scale;
            }
        }
        row += rows;
    }
    return {TB_OK, nullptr};
}

// All columns: which of them are skipped depends on the activations.
void i2c_work(const tb_shape* s, const tb_tile*, int64_t m, tb_work* out) {
    const double n = static_cast<double>(s->n), k = static_cast<double>(s->k);
    const double tokens = static_cast<double>(m);
    *out = {static_cast<double>(s->k * column_bytes(*s) + 4),
            k * tokens,
            0,
            n * tokens * 4,
            n * k * tokens,
            0};
}

// The limits are those of i2r, whose panels the lines become.
constexpr tb_kernel i2c_descriptor(const char* id, const char* isa, tb_features features,
                                   const char* description, ScratchSize scratch_size, Product gemv,
                                   Product gemm, Product accumulate) {
    tb_kernel d = lanes_descriptor<Format>(id, isa, features, description, scratch_size, gemv, gemm,
                                           accumulate);
    d.layout = "i2c";
    d.source = "tritbench: columns as lines, skipped where activations are zero";
    d.row_step = kLineRows;
    d.packed_size = i2c_packed_size;
    d.pack_row_step = i2c_pack_row_step;
    d.pack = i2c_pack;
    d.unpack = i2c_unpack;
    d.work = i2c_work;
    d.skips_zeros = 1;
    return d;
}

}  // namespace

#endif
