/* Register tiles of AVX-512 VNNI in which a 32-bit lane is a row of W: operands from the weights,
 * activations as broadcast dwords, and never a horizontal sum.
 *
 * A Source says what the operands of four columns are, Z registers of 64 bytes:
 *
 *   static constexpr int kOperands (Z), kQuads (groups of four columns in a step), kStepBytes;
 *   static constexpr bool kFetches   bring other memory to L2 meanwhile (Ahead, below)?
 *   struct Constants     masks and tables, in registers;
 *   template <int Q> static void operands(const uint8_t* step, const Constants&, __m512i (&o)[Z])
 *                        the operands of columns 4 Q .. 4 Q + 3 of a step.
 *
 * A Decoder is a Source that reads packed weights and knows what its operands mean:
 *
 *   static constexpr int kFields (F: 16 F rows), kTokens (of a tile);
 *   static void combine(const __m512i (&sums)[Z], __m512i (&rows)[F])
 *                        from the sums of the operands to the sums of the codes, 16 rows each.
 *
 * Operands need not be codes. Any Z bytes of which the codes are linear functions will do, so that
 * a register can serve as it was loaded. Unpacked<Decoder> is the Source that reads operands that
 * unpack_panel has stored: [k/4][Z][64].
 *
 * A tile of T tokens holds T * Z sums (24 of the 32 registers, or 25) and does T * Z vpdpbusd for Z
 * operands and T broadcasts, which use the load ports. Static: see dot/epilogue.h. Include only
 * from AVX-512 VNNI files. */
#ifndef TRITBENCH_KERNELS_LANES_TILE512_H
#define TRITBENCH_KERNELS_LANES_TILE512_H

#include <utility>

#include "kernels/dot/avx512vnni.h"
#include "kernels/dot/epilogue.h"

namespace {

// Four activations, for every lane.
inline __m512i broadcast4(const int8_t* x) {
    int32_t four;
    memcpy(&four, x, sizeof four);
    return _mm512_set1_epi32(four);
}

template <class Source>
using Quads = std::make_integer_sequence<int, Source::kQuads>;

template <class Source, int Q, int T>
inline void multiply_quad(const uint8_t* step, const typename Source::Constants& c, const int8_t* x,
                          int64_t ldx, __m512i (&acc)[T][Source::kOperands]) {
    __m512i o[Source::kOperands];
    Source::template operands<Q>(step, c, o);
    TB_UNROLL
    for (int t = 0; t < T; ++t) {
        const __m512i xs = broadcast4(x + t * ldx + 4 * Q);
        TB_UNROLL
        for (int z = 0; z < Source::kOperands; ++z) dot4(acc[t][z], o[z], xs);
    }
}

template <class Source, int T, int... Q>
inline void multiply_step(const uint8_t* step, const typename Source::Constants& c, const int8_t* x,
                          int64_t ldx, __m512i (&acc)[T][Source::kOperands],
                          std::integer_sequence<int, Q...>) {
    (multiply_quad<Source, Q, T>(step, c, x, ldx, acc), ...);
}

// Memory to bring to L2 while a tile is multiplied, so many bytes further at every step.
struct Ahead {
    const uint8_t* p;
    int64_t stride;
};

// Sums [T][Z] of the operands of `steps` steps under T tokens: set, or with `add` added to.
template <class Source, int T>
void multiply_tile(const uint8_t* from, const int8_t* x, int64_t ldx, int64_t steps, bool add,
                   Ahead ahead, __m512i* sums) {
    constexpr int Z = Source::kOperands;
    const typename Source::Constants c;
    __m512i acc[T][Z];
    TB_UNROLL
    for (int t = 0; t < T; ++t) {
        TB_UNROLL
        for (int z = 0; z < Z; ++z) acc[t][z] = add ? sums[t * Z + z] : _mm512_setzero_si512();
    }
    for (int64_t i = 0; i < steps; ++i) {
        if (Source::kFetches) {
            __builtin_prefetch(ahead.p, 0, 2);
            ahead.p += ahead.stride;
        }
        multiply_step<Source, T>(from, c, x, ldx, acc, Quads<Source>());
        from += Source::kStepBytes;
        x += 4 * Source::kQuads;
    }
    TB_UNROLL
    for (int t = 0; t < T; ++t) {
        TB_UNROLL
        for (int z = 0; z < Z; ++z) sums[t * Z + z] = acc[t][z];
    }
}

// The tile for a number of tokens that is known when it runs: 1 <= tokens <= Most.
template <class Source, int Most>
inline void multiply_tokens(int64_t tokens, const uint8_t* from, const int8_t* x, int64_t ldx,
                            int64_t steps, bool add, Ahead ahead, __m512i* sums) {
    if constexpr (Most > 1) {
        if (tokens < Most) {
            return multiply_tokens<Source, Most - 1>(tokens, from, x, ldx, steps, add, ahead, sums);
        }
    }
    multiply_tile<Source, Most>(from, x, ldx, steps, add, ahead, sums);
}

// ---- unpacking ----------------------------------------------------------------------------------

template <class Decoder>
struct Unpacked {
    static constexpr int kOperands = Decoder::kOperands, kQuads = 1, kStepBytes = 64 * kOperands;
    static constexpr bool kFetches = true;
    struct Constants {};

    template <int>
    static void operands(const uint8_t* step, const Constants&, __m512i (&o)[kOperands]) {
        TB_UNROLL
        for (int z = 0; z < kOperands; ++z) o[z] = _mm512_load_si512(step + 64 * z);
    }
};

template <class Decoder, int Q>
inline void unpack_quad(const uint8_t* step, const typename Decoder::Constants& c, uint8_t* to) {
    constexpr int Z = Decoder::kOperands;
    __m512i o[Z];
    Decoder::template operands<Q>(step, c, o);
    TB_UNROLL
    for (int z = 0; z < Z; ++z) _mm512_store_si512(to + 64 * (Q * Z + z), o[z]);
}

template <class Decoder, int... Q>
inline void unpack_step(const uint8_t* step, const typename Decoder::Constants& c, uint8_t* to,
                        std::integer_sequence<int, Q...>) {
    (unpack_quad<Decoder, Q>(step, c, to), ...);
}

// to: 64-byte aligned, [steps * kQuads][Z][64].
template <class Decoder>
void unpack_panel(const uint8_t* panel, int64_t steps, uint8_t* to) {
    const typename Decoder::Constants c;
    for (int64_t i = 0; i < steps; ++i) {
        unpack_step<Decoder>(panel, c, to, Quads<Decoder>());
        panel += Decoder::kStepBytes;
        to += 64 * Decoder::kOperands * Decoder::kQuads;
    }
}

// ---- a panel of 16 F rows and any number of tokens ----------------------------------------------

// Where the rows of a panel go; those outside [begin, end) go nowhere.
template <int F>
struct PanelSink {
    Sink out;
    int64_t n;           // row of W that the panel begins with
    int64_t begin, end;  // counted from it

    PanelSink(const Sink& sink, int64_t first, int64_t n_begin, int64_t n_end)
        : out(sink), n(first), begin(n_begin - first), end(n_end - first) {}

    void put(int64_t m, const __m512i (&code_sums)[F], const Token& token) const {
        if (begin <= 0 && end >= 16 * F) {
            put_fields<true>(m, code_sums, token);
        } else {
            put_fields<false>(m, code_sums, token);
        }
    }

    // Not all stores under masks, for these are slow on Zen 4, be the mask full or not.
    template <bool Whole>
    void put_fields(int64_t m, const __m512i (&code_sums)[F], const Token& token) const {
        const __m512i sum = _mm512_set1_epi32(token.sum);
        const __m512 scale = _mm512_set1_ps(token.scale);
        const int64_t at = m * out.ld + n;
        TB_UNROLL
        for (int f = 0; f < F; ++f) {
            const __m512i rows = _mm512_sub_epi32(code_sums[f], sum);
            const __mmask16 where = Whole ? 0xffff : wanted(f);
            if (out.acc != nullptr) {
                _mm512_mask_storeu_epi32(out.acc + at + 16 * f, where, rows);
            } else {
                const __m512 y = _mm512_mul_ps(_mm512_cvtepi32_ps(rows), scale);
                if (Whole) {
                    _mm512_storeu_ps(out.y + at + 16 * f, y);
                } else {
                    _mm512_mask_storeu_ps(out.y + at + 16 * f, where, y);
                }
            }
        }
    }

    __mmask16 wanted(int f) const {
        const auto within = [](int64_t rows) { return rows < 0 ? 0 : rows > 16 ? 16 : rows; };
        const unsigned upper = 0xffffu << within(begin - 16 * f);
        return static_cast<__mmask16>(upper & ~(0xffffu << within(end - 16 * f)));
    }
};

// Which columns of a panel.
struct Part {
    int64_t k, steps;     // first column, and steps of the Source from there
    bool first, last;     // does the panel begin, end here?
    const uint8_t* next;  // what will be unpacked after it, next_bytes long; null for nothing
    int64_t next_bytes;
};

// One part of a panel, at `from`, with all tokens. They are dealt out to equal tiles: 33 are 6 6 6
// 5 5 5, for a last tile of 3 would do half the work in the same time. carry [m][Z] holds the sums
// from part to part; null where there is but one.
template <class Decoder, class Source>
void multiply_part(const uint8_t* from, const Part& part, const tb_int8_batch& x,
                   float weight_scale, __m512i* carry, const PanelSink<Decoder::kFields>& sink) {
    constexpr int Z = Decoder::kOperands, kMost = Decoder::kTokens;
    const int64_t tiles = (x.m + kMost - 1) / kMost;
    const int64_t stride = (part.next_bytes + tiles * part.steps - 1) / (tiles * part.steps);
    int64_t m = 0;
    for (int64_t i = 0; i < tiles; ++i) {
        const int64_t tokens = x.m / tiles + (i < x.m % tiles);
        __m512i local[kMost * Z];
        __m512i* sums = carry != nullptr ? carry + m * Z : local;
        multiply_tokens<Source, kMost>(tokens, from, x.q + m * x.kp + part.k, x.kp, part.steps,
                                       !part.first, {part.next + i * part.steps * stride, stride},
                                       sums);
        for (int64_t t = 0; part.last && t < tokens; ++t) {
            __m512i of[Z], rows[Decoder::kFields];
            TB_UNROLL
            for (int z = 0; z < Z; ++z) of[z] = sums[t * Z + z];
            Decoder::combine(of, rows);
            sink.put(m + t, rows, token_of(x, m + t, weight_scale));
        }
        m += tokens;
    }
}

}  // namespace

#endif
