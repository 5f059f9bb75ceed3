/* The shape that our own layouts share: panels of rows in which a 32-bit lane is a row.
 *
 * A panel is 16 * F rows of W, walked along K in steps of C columns. A step is a few 64-byte
 * registers; each byte of a register carries the trits of F rows for one column:
 *
 *   byte 4*lane + j   rows lane, 16 + lane, ..., 16*(F-1) + lane of the panel, column 4*q + j
 *
 *          lane 0          lane 1                lane 15
 *        +----+----+----+----+----+----+-- ... --+----+
 *        | j0 | j1 | j2 | j3 | j0 | j1 |         | j3 |     one register: 16 F rows x 4 columns
 *        +----+----+----+----+----+----+-- ... --+----+
 *
 * so that four int8 activations enter as one broadcast dword that serves all F rows of every lane,
 * a sum needs no horizontal addition, and a panel is one contiguous stream of memory. How F trits
 * share a byte is the Format:
 *
 *   i2r   F = 4   2-bit fields                                  2     bits a weight
 *   t3r   F = 3   three trits in 5 bits, eight codes in 5 bytes  1.667
 *   t5r   F = 5   five trits in 8 bits                          1.6
 *
 * The last panel is padded with rows of zero weights, the last step with columns of zero weights.
 * After the panels: one float32 scale for the tensor, then 60 bytes of zero.
 *
 * Source: rows as lanes and activations as broadcasts is how GEMM micro-kernels hold their A panel
 * (GotoBLAS; KleidiAI and llama.cpp repack 4-bit weights so); fields that are rows, so that one
 * broadcast serves a whole byte and one field needs no mask, is ours.
 *
 *   Format: static constexpr int kFields, kColumns (C, a multiple of 4), kStepBytes;
 *           encode(const uint8_t* codes, uint8_t* bytes), and its inverse
 *           decode(const uint8_t* bytes, uint8_t* codes), false for bytes that encode never writes;
 *           codes [C/4][F][64] in the order drawn above, each trit + 1.
 *
 * Static: see dot/epilogue.h. */
#ifndef TRITBENCH_KERNELS_LANES_PANELS_H
#define TRITBENCH_KERNELS_LANES_PANELS_H

#include <string.h>

#include "kernels/api/kernel.h"
#include "kernels/api/prepared_int8.h"
#include "kernels/api/shape_limits.h"
#include "kernels/dot/epilogue.h"
#include "kernels/dot/prefetch.h"
#include "kernels/dot/trits.h"

namespace {

constexpr int64_t kTrailer = 64;  // scale and padding
// A byte as it is enters a dot product with up to 255: 255 * 128 * K < 2^31.
constexpr int64_t kMaxK = 65536;

template <class Format>
struct Panels {
    static constexpr int64_t kRows = 16 * Format::kFields;
    static constexpr int64_t kCodes = Format::kColumns * kRows;  // of a step
    static constexpr int64_t kLine = 64;                         // columns packed together
    static_assert(kLine % Format::kColumns == 0);

    static int64_t count(const tb_shape& s) { return (s.n + kRows - 1) / kRows; }
    static int64_t steps(const tb_shape& s) {
        return (s.k + Format::kColumns - 1) / Format::kColumns;
    }
    static int64_t bytes(const tb_shape& s) { return steps(s) * Format::kStepBytes; }

    static float scale(const tb_shape& s, const void* packed) {
        float value;
        memcpy(&value, static_cast<const uint8_t*>(packed) + count(s) * bytes(s), sizeof value);
        return value;
    }

    static tb_status accepts(const tb_shape* s, const tb_tile*) { return tb_check_shape(s, kMaxK); }
    static size_t packed_size(const tb_shape* s, const tb_tile*) {
        return static_cast<size_t>(count(*s) * bytes(*s) + kTrailer);
    }
    static int64_t pack_row_step(const tb_shape*, const tb_tile*) { return kRows; }

    // Where the code of a row and a column of a step lies in `codes`.
    static int64_t at(int64_t row, int64_t column) {
        return (column / 4 * Format::kFields + row / 16) * 64 + row % 16 * 4 + column % 4;
    }

    static tb_status pack(const tb_shape* s, const tb_tile*, const tb_weights* w, int64_t row_begin,
                          int64_t row_end, void* packed) {
        if (row_begin % kRows != 0 || (row_end % kRows != 0 && row_end != s->n)) {
            return {TB_BAD_RANGE, "rows must begin and end on a panel (or end on N)"};
        }
        if (w->trits == nullptr || w->scales == nullptr)
            return {TB_BAD_INPUT, "needs trits and a scale"};
        auto* bytes_of_panel = static_cast<uint8_t*>(packed) + row_begin / kRows * bytes(*s);
        for (int64_t row = row_begin; row < row_end; row += kRows) {
            const int64_t rows = row_end - row < kRows ? row_end - row : kRows;
            const int8_t* trits = w->trits + (row - row_begin) * w->ld;
            for (int64_t r = 0; r < rows; ++r) {
                if (!are_trits(trits + r * w->ld, s->k)) {
                    return {TB_BAD_WEIGHT, "a weight is not -1, 0 or +1"};
                }
            }
            for (int64_t k = 0; k < s->k; k += kLine) {
                uint8_t codes[kLine / Format::kColumns * kCodes];
                const int64_t columns = s->k - k < kLine ? s->k - k : kLine;
                gather(trits + k, w->ld, rows, columns, codes);
                for (int64_t c = 0; c < columns; c += Format::kColumns) {
                    Format::encode(codes + c / Format::kColumns * kCodes, bytes_of_panel);
                    bytes_of_panel += Format::kStepBytes;
                }
            }
        }
        if (row_end == s->n) {
            memset(bytes_of_panel, 0, kTrailer);
            memcpy(bytes_of_panel, w->scales, sizeof(float));
        }
        return {TB_OK, nullptr};
    }

    // Codes of up to kLine columns of a panel, step after step. A line of each row at a time: rows
    // are often a multiple of 4096 bytes apart, and then all of a panel meet in one set of the
    // cache.
    static void gather(const int8_t* trits, int64_t ld, int64_t rows, int64_t columns,
                       uint8_t* codes) {
        // 1 is the trit 0, where there is no weight.
        if (rows < kRows) memset(codes, 1, kLine / Format::kColumns * kCodes);
        uint8_t line[kLine];
        memset(line, 1, sizeof line);
        for (int64_t r = 0; r < rows; ++r) {
            const int8_t* row = trits + r * ld;
            if (columns == kLine) {
                codes_of_trits(row, kLine, line);
            } else {
                codes_of_trits(row, columns, line);
            }
            for (int64_t c = 0; c < kLine; c += 4) {
                const int64_t step = c / Format::kColumns;
                memcpy(codes + step * kCodes + at(r, c % Format::kColumns), line + c, 4);
            }
        }
    }

    // Of the whole panels that hold these rows.
    static bool good_codes(const tb_shape& s, const void* packed, int64_t row_begin,
                           int64_t row_end) {
        const int64_t first = row_begin / kRows, last = (row_end + kRows - 1) / kRows;
        const auto* bytes_of_panels = static_cast<const uint8_t*>(packed) + first * bytes(s);
        return Format::good_codes(bytes_of_panels, (last - first) * bytes(s));
    }

    static tb_status unpack(const tb_shape* s, const tb_tile*, const void* packed,
                            int64_t row_begin, int64_t row_end, const tb_weights_out* w) {
        const float tensor_scale = scale(*s, packed);
        if (w->scales != nullptr) *w->scales = tensor_scale;
        if (w->trits == nullptr && w->values == nullptr) {
            if (w->scales != nullptr || good_codes(*s, packed, row_begin, row_end)) {
                return {TB_OK, nullptr};
            }
            return {TB_BAD_WEIGHT, "a code that no packer writes"};
        }
        for (int64_t row = row_begin; row < row_end;) {
            const int64_t first = row % kRows;  // within its panel
            const int64_t rows = row_end - row < kRows - first ? row_end - row : kRows - first;
            const auto* p = static_cast<const uint8_t*>(packed) + row / kRows * bytes(*s);
            for (int64_t k = 0; k < s->k; k += Format::kColumns, p += Format::kStepBytes) {
                uint8_t codes[kCodes];
                if (!Format::decode(p, codes)) {
                    return {TB_BAD_WEIGHT, "a code that no packer writes"};
                }
                const int64_t columns = s->k - k < Format::kColumns ? s->k - k : Format::kColumns;
                for (int64_t r = 0; r < rows; ++r) {
                    const int64_t to = (row - row_begin + r) * w->ld + k;
                    for (int64_t c = 0; c < columns; ++c) {
                        const auto trit = static_cast<int8_t>(codes[at(first + r, c)] - 1);
                        if (w->trits != nullptr) w->trits[to + c] = trit;
                        if (w->values != nullptr) {
                            w->values[to + c] = static_cast<float>(trit) * tensor_scale;
                        }
                    }
                }
            }
            row += rows;
        }
        return {TB_OK, nullptr};
    }

    static void work(const tb_shape* s, const tb_tile*, int64_t m, tb_work* out) {
        const double n = static_cast<double>(s->n), k = static_cast<double>(s->k);
        const double tokens = static_cast<double>(m);
        *out = {static_cast<double>(count(*s) * bytes(*s) + 4),
                k * tokens,
                0,
                n * tokens * 4,
                n * k * tokens,
                0};
    }
};

// ---- results ------------------------------------------------------------------------------------

// Code sums of consecutive rows, the first being row n of W: those inside [begin, end) are written.
inline void put_rows(const Sink& out, int64_t m, int64_t n, int64_t rows, const int32_t* sums,
                     const Token& token, int64_t begin, int64_t end) {
    const int64_t first = n < begin ? begin - n : 0;
    const int64_t last = n + rows > end ? end - n : rows;
    if (out.acc != nullptr) {
        int32_t* to = out.acc + m * out.ld + n;
        for (int64_t r = first; r < last; ++r) to[r] = sums[r] - token.sum;
    } else {
        float* to = out.y + m * out.ld + n;
        for (int64_t r = first; r < last; ++r) {
            to[r] = static_cast<float>(sums[r] - token.sum) * token.scale;
        }
    }
}

// ---- GEMV ---------------------------------------------------------------------------------------

// Core: static constexpr int kStreams;
//       template <int S, bool Prefetch> static void run(const uint8_t* panel, int64_t apart,
//                                                       const int8_t* x, int64_t steps,
//                                                       int32_t* sums);
// multiplies S panels, `apart` bytes from one to the next, with x [steps * C]; sums [S][16 F] are
// those of the codes. x is padded with zeros.
template <class Format, class Core, int S, bool Prefetch>
inline void run_panels(const tb_product* p, const tb_int8_batch& x, const Token& token,
                       const Sink& out, int64_t panel, int64_t apart) {
    using P = Panels<Format>;
    alignas(64) int32_t sums[S * P::kRows];
    const int64_t bytes = P::bytes(p->shape);
    Core::template run<S, Prefetch>(static_cast<const uint8_t*>(p->packed) + panel * bytes,
                                    apart * bytes, x.q, P::steps(p->shape), sums);
    for (int s = 0; s < S; ++s) {
        put_rows(out, 0, (panel + s * apart) * P::kRows, P::kRows, sums + s * P::kRows, token,
                 p->n_begin, p->n_end);
    }
}

// One token: the panels are cut in kStreams equal parts that are walked side by side, so that
// memory sees a few long streams and the activations are broadcast once for all of them. What is
// left over is done two panels at a time, then singly.
template <class Format, class Core, bool Prefetch>
void gemv_streams(const tb_product* p, int32_t* acc) {
    using P = Panels<Format>;
    const tb_int8_batch x = tb_int8_open(&p->shape, p->prepared, p->m);
    const Token token = token_of(x, 0, P::scale(p->shape, p->packed));
    const Sink out{p->y, acc, p->ldy};
    const int64_t begin = p->n_begin / P::kRows;
    const int64_t end = p->n_end > p->n_begin ? (p->n_end + P::kRows - 1) / P::kRows : begin;
    const int64_t apart = (end - begin) / Core::kStreams;
    for (int64_t i = begin; i < begin + apart; ++i) {
        run_panels<Format, Core, Core::kStreams, Prefetch>(p, x, token, out, i, apart);
    }
    int64_t i = begin + apart * Core::kStreams;
    if constexpr (Core::kStreams > 2) {
        for (; i + 2 <= end; i += 2) {
            run_panels<Format, Core, 2, Prefetch>(p, x, token, out, i, 1);
        }
    }
    for (; i < end; ++i) run_panels<Format, Core, 1, Prefetch>(p, x, token, out, i, 0);
}

template <class Format, class Core>
void gemv_panels(const tb_product* p, int32_t* acc) {
    if (wants_prefetch(p->tile)) {
        gemv_streams<Format, Core, true>(p, acc);
    } else {
        gemv_streams<Format, Core, false>(p, acc);
    }
}

// ---- the descriptor -----------------------------------------------------------------------------

using Product = void (*)(const tb_product*);
using ScratchSize = size_t (*)(const tb_shape*, const tb_tile*, int64_t);

template <class Format>
constexpr tb_kernel lanes_descriptor(const char* id, const char* isa, tb_features features,
                                     const char* description, ScratchSize scratch_size,
                                     Product gemv, Product gemm, Product accumulate) {
    tb_kernel d{};
    d.id = id;
    d.layout = Format::kLayout;
    d.isa = isa;
    d.description = description;
    d.source = Format::kSource;
    d.weight_kind = TB_WEIGHT_TERNARY;
    d.scale_granularity = TB_SCALE_TENSOR;
    d.activation_kind = TB_ACT_INT8_TOKEN;
    d.exactness = TB_EXACT;
    d.features = features;
    d.bits_num = Format::kBitsNum;
    d.bits_den = Format::kBitsDen;
    d.overhead_bytes_tensor = kTrailer;
    d.k_multiple = 1;
    d.row_step = Panels<Format>::kRows;
    d.max_k = kMaxK;
    d.min_m = 1;
    d.packed_align = 64;
    d.prepared_align = 64;
    d.prepare_k_step = TB_INT8_K_STEP;
    d.prepare_tag = TB_INT8_PREPARE_TAG;
    d.accepts = Panels<Format>::accepts;
    d.packed_size = Panels<Format>::packed_size;
    d.pack_row_step = Panels<Format>::pack_row_step;
    d.pack = Panels<Format>::pack;
    d.unpack = Panels<Format>::unpack;
    d.prepared_size = tb_int8_prepared_size;
    d.row_absmax = tb_int8_row_absmax;
    d.prepare = tb_int8_prepare;
    d.scratch_size = scratch_size;
    d.gemv = gemv;
    d.gemm = gemm;
    d.accumulate = accumulate;
    d.work = Panels<Format>::work;
    return d;
}

}  // namespace

#endif
