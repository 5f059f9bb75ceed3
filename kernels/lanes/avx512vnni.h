/* Panels with AVX-512 VNNI: the loops that every format of lanes/panels.h shares.
 *
 * A Decoder says how a format becomes operands of vpdpbusd (u8 . s8, four products a lane):
 *
 *   static constexpr int kOperands (Z), kQuads (steps of four columns in a step of the layout),
 *                        kStepBytes, kTokens (of a register tile), kDirectTokens (see below);
 *   struct Constants     masks and tables, in registers;
 *   template <int Q> static void operands(const uint8_t* step, const Constants&, __m512i (&o)[Z])
 *                        the registers of columns 4 Q .. 4 Q + 3;
 *   static void combine(const __m512i (&sums)[Z], __m512i (&rows)[F])
 *                        from the sums of the operands to the sums of the codes, 16 rows each.
 *
 * The operands need not be the codes: any Z bytes of which the codes are a linear function do, so
 * that a register is used as it was loaded wherever it can be. Sums of operands are exact (a byte
 * is at most 255, K at most 65536: 255 * 128 * 65536 < 2^31), and so is what combine makes of them.
 *
 * GEMM holds kTokens x Z accumulators: Z loads and kTokens broadcasts for kTokens * Z vpdpbusd, and
 * never a horizontal sum. Few tokens decode in the tile; more than kDirectTokens share one
 * unpacking of up to kBlockColumns columns of the panel into scratch ([k/4][Z][64], within L2),
 * with the sums of longer rows carried from block to block. Static: see dot/epilogue.h. Include
 * only from AVX-512 VNNI files. */
#ifndef TRITBENCH_KERNELS_LANES_AVX512VNNI_H
#define TRITBENCH_KERNELS_LANES_AVX512VNNI_H

#include <utility>

#include "kernels/dot/avx512vnni.h"
#include "kernels/lanes/panels.h"

namespace {

constexpr int64_t kPrefetchBytes = 2048;
constexpr int64_t kBlockColumns = 4096;

// Four activations, for every lane.
inline __m512i broadcast4(const int8_t* x) {
    int32_t quad;
    memcpy(&quad, x, sizeof quad);
    return _mm512_set1_epi32(quad);
}

// ---- a register tile ----------------------------------------------------------------------------

template <class D, int Q, int T>
inline void multiply_quad(const uint8_t* step, const typename D::Constants& c, const int8_t* x,
                          int64_t ldx, __m512i (&acc)[T][D::kOperands]) {
    __m512i o[D::kOperands];
    D::template operands<Q>(step, c, o);
    TB_UNROLL
    for (int t = 0; t < T; ++t) {
        const __m512i xs = broadcast4(x + t * ldx + 4 * Q);
        TB_UNROLL
        for (int z = 0; z < D::kOperands; ++z) dot4(acc[t][z], o[z], xs);
    }
}

template <class D, int T, int... Q>
inline void multiply_step(const uint8_t* step, const typename D::Constants& c, const int8_t* x,
                          int64_t ldx, __m512i (&acc)[T][D::kOperands],
                          std::integer_sequence<int, Q...>) {
    (multiply_quad<D, Q, T>(step, c, x, ldx, acc), ...);
}

// `steps` of a panel with T tokens: sums [T][Z] become, or if `add` are increased by, the sums.
template <class D, int T>
void multiply_tile(const uint8_t* panel, const int8_t* x, int64_t ldx, int64_t steps, bool add,
                   __m512i* sums) {
    constexpr int Z = D::kOperands;
    const typename D::Constants c;
    __m512i acc[T][Z];
    TB_UNROLL
    for (int t = 0; t < T; ++t) {
        TB_UNROLL
        for (int z = 0; z < Z; ++z) acc[t][z] = add ? sums[t * Z + z] : _mm512_setzero_si512();
    }
    for (int64_t i = 0; i < steps; ++i) {
        multiply_step<D, T>(panel, c, x, ldx, acc, std::make_integer_sequence<int, D::kQuads>());
        panel += D::kStepBytes;
        x += 4 * D::kQuads;
    }
    TB_UNROLL
    for (int t = 0; t < T; ++t) {
        TB_UNROLL
        for (int z = 0; z < Z; ++z) sums[t * Z + z] = acc[t][z];
    }
}

// 1 <= tokens <= Most.
template <class D, int Most>
inline void multiply_tokens(int64_t tokens, const uint8_t* panel, const int8_t* x, int64_t ldx,
                            int64_t steps, bool add, __m512i* sums) {
    if constexpr (Most > 1) {
        if (tokens < Most) {
            return multiply_tokens<D, Most - 1>(tokens, panel, x, ldx, steps, add, sums);
        }
    }
    multiply_tile<D, Most>(panel, x, ldx, steps, add, sums);
}

// Operands in scratch, as a Decoder that has nothing to decode.
template <class D>
struct Unpacked {
    static constexpr int kOperands = D::kOperands, kQuads = 1, kStepBytes = 64 * kOperands;
    static constexpr int kTokens = D::kTokens;
    struct Constants {};
    template <int>
    static void operands(const uint8_t* step, const Constants&, __m512i (&o)[kOperands]) {
        TB_UNROLL
        for (int z = 0; z < kOperands; ++z) o[z] = _mm512_load_si512(step + 64 * z);
    }
};

template <class D, int Q>
inline void unpack_quad(const uint8_t* step, const typename D::Constants& c, uint8_t* to) {
    __m512i o[D::kOperands];
    D::template operands<Q>(step, c, o);
    TB_UNROLL
    for (int z = 0; z < D::kOperands; ++z) {
        _mm512_store_si512(to + 64 * (Q * D::kOperands + z), o[z]);
    }
}

template <class D, int... Q>
inline void unpack_step(const uint8_t* step, const typename D::Constants& c, uint8_t* to,
                        std::integer_sequence<int, Q...>) {
    (unpack_quad<D, Q>(step, c, to), ...);
}

template <class D>
void unpack_panel(const uint8_t* panel, int64_t steps, uint8_t* to) {
    const typename D::Constants c;
    for (int64_t i = 0; i < steps; ++i) {
        unpack_step<D>(panel, c, to, std::make_integer_sequence<int, D::kQuads>());
        panel += D::kStepBytes;
        to += 64 * D::kOperands * D::kQuads;
    }
}

// ---- GEMM ---------------------------------------------------------------------------------------

// The rows of one panel that are wanted, 16 a mask, and where they go.
template <class Format>
struct PanelSink {
    Sink out;
    int64_t n;  // first row of the panel
    __mmask16 wanted[Format::kFields];

    PanelSink(const tb_product* p, int32_t* acc, int64_t panel)
        : out{p->y, acc, p->ldy}, n(panel * Panels<Format>::kRows) {
        for (int f = 0; f < Format::kFields; ++f) {
            unsigned bits = 0;
            for (int i = 0; i < 16; ++i) {
                const int64_t row = n + 16 * f + i;
                bits |= static_cast<unsigned>(row >= p->n_begin && row < p->n_end) << i;
            }
            wanted[f] = static_cast<__mmask16>(bits);
        }
    }

    void put(int64_t m, const __m512i* rows, const Token& token) const {
        const __m512i sum = _mm512_set1_epi32(token.sum);
        const __m512 scale = _mm512_set1_ps(token.scale);
        for (int f = 0; f < Format::kFields; ++f) {
            const __m512i r = _mm512_sub_epi32(rows[f], sum);
            const int64_t at = m * out.ld + n + 16 * f;
            if (out.acc != nullptr) {
                _mm512_mask_storeu_epi32(out.acc + at, wanted[f], r);
            } else {
                const __m512 y = _mm512_mul_ps(_mm512_cvtepi32_ps(r), scale);
                _mm512_mask_storeu_ps(out.y + at, wanted[f], y);
            }
        }
    }
};

// How K is cut: equal blocks of at most kBlockColumns.
template <class Format>
inline int64_t block_steps(const tb_shape& s) {
    const int64_t steps = Panels<Format>::steps(s);
    const int64_t most = kBlockColumns / Format::kColumns;
    const int64_t blocks = (steps + most - 1) / most;
    return (steps + blocks - 1) / blocks;
}

template <class Format, class D>
size_t lanes_scratch(const tb_shape* s, const tb_tile*, int64_t m) {
    if (m <= D::kDirectTokens) return 0;
    const int64_t steps = block_steps<Format>(*s);
    const int64_t unpacked = steps * D::kQuads * D::kOperands * 64;
    const int64_t sums = steps < Panels<Format>::steps(*s) ? m * D::kOperands * 64 : 0;
    return static_cast<size_t>(unpacked + sums);
}

// One block of a panel, from `from` (as laid out by Source, which is D or its unpacked form), with
// all tokens, split into equal tiles. `carry` holds the sums between blocks, null if there is one.
template <class Format, class D, class Source>
void multiply_block(const uint8_t* from, int64_t steps, const tb_int8_batch& x, int64_t k,
                    bool first, bool last, __m512i* carry, float scale,
                    const PanelSink<Format>& sink) {
    constexpr int Z = D::kOperands;
    const int64_t tiles = (x.m + D::kTokens - 1) / D::kTokens;
    int64_t m = 0;
    for (int64_t i = 0; i < tiles; ++i) {
        const int64_t tokens = x.m / tiles + (i < x.m % tiles);
        __m512i local[D::kTokens * Z];
        __m512i* sums = carry != nullptr ? carry + m * Z : local;
        multiply_tokens<Source, D::kTokens>(tokens, from, x.q + m * x.kp + k, x.kp, steps, !first,
                                            sums);
        for (int64_t t = 0; last && t < tokens; ++t) {
            __m512i of[Z], rows[Format::kFields];
            TB_UNROLL
            for (int z = 0; z < Z; ++z) of[z] = sums[t * Z + z];
            D::combine(of, rows);
            sink.put(m + t, rows, token_of(x, m + t, scale));
        }
        m += tokens;
    }
}

template <class Format, class D>
void gemm_lanes(const tb_product* p, int32_t* acc) {
    using P = Panels<Format>;
    const tb_int8_batch x = tb_int8_open(&p->shape, p->prepared, p->m);
    const float scale = P::scale(p->shape, p->packed);
    const int64_t steps = P::steps(p->shape);
    const int64_t block = block_steps<Format>(p->shape);
    auto* unpacked = static_cast<uint8_t*>(p->scratch);
    const int64_t unpacked_bytes = block * D::kQuads * D::kOperands * 64;
    for (int64_t i = p->n_begin / P::kRows; i * P::kRows < p->n_end; ++i) {
        const auto* panel = static_cast<const uint8_t*>(p->packed) + i * P::bytes(p->shape);
        const PanelSink<Format> sink(p, acc, i);
        if (p->m <= D::kDirectTokens) {
            multiply_block<Format, D, D>(panel, steps, x, 0, true, true, nullptr, scale, sink);
            continue;
        }
        auto* carry = block < steps ? reinterpret_cast<__m512i*>(unpacked + unpacked_bytes)
                                    : static_cast<__m512i*>(nullptr);
        for (int64_t at = 0; at < steps; at += block) {
            const int64_t count = steps - at < block ? steps - at : block;
            unpack_panel<D>(panel + at * Format::kStepBytes, count, unpacked);
            multiply_block<Format, D, Unpacked<D>>(unpacked, count * D::kQuads, x,
                                                   at * Format::kColumns, at == 0,
                                                   at + count == steps, carry, scale, sink);
        }
    }
}

// ---- GEMV ---------------------------------------------------------------------------------------

// What run of a Core (lanes/panels.h) ends with.
template <class D>
inline void store_rows(const __m512i (&of)[D::kOperands], int32_t* sums) {
    __m512i rows[D::kFields];
    D::combine(of, rows);
    TB_UNROLL
    for (int f = 0; f < D::kFields; ++f) _mm512_storeu_si512(sums + 16 * f, rows[f]);
}

// The Core of gemv_panels for any Decoder: S panels under the same activations.
template <class D, int Streams>
struct StreamCore {
    static constexpr int kStreams = Streams;

    template <int S, bool Prefetch>
    static void run(const uint8_t* panel, int64_t apart, const int8_t* x, int64_t steps,
                    int32_t* sums) {
        constexpr int Z = D::kOperands;
        const typename D::Constants c;
        __m512i acc[S][1][Z];
        TB_UNROLL
        for (int s = 0; s < S; ++s) {
            TB_UNROLL
            for (int z = 0; z < Z; ++z) acc[s][0][z] = _mm512_setzero_si512();
        }
        for (int64_t i = 0; i < steps; ++i) {
            TB_UNROLL
            for (int s = 0; s < S; ++s) {
                const uint8_t* step = panel + s * apart;
                if constexpr (Prefetch) {
                    TB_UNROLL
                    for (int b = 0; b < D::kStepBytes; b += 64) {
                        _mm_prefetch(reinterpret_cast<const char*>(step + kPrefetchBytes + b),
                                     _MM_HINT_T0);
                    }
                }
                multiply_step<D, 1>(step, c, x, 0, acc[s],
                                    std::make_integer_sequence<int, D::kQuads>());
            }
            panel += D::kStepBytes;
            x += 4 * D::kQuads;
        }
        TB_UNROLL
        for (int s = 0; s < S; ++s) store_rows<D>(acc[s][0], sums + 16 * s * D::kFields);
    }
};

}  // namespace

#endif
