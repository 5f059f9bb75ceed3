/* GEMM and GEMV over the panels of lanes/panels.h with AVX-512 VNNI, for any Decoder
 * (lanes/tile512.h) that has also
 *
 *   static constexpr int kDirectTokens   up to so many tokens decode in the tile.
 *
 * More tokens share one unpacking of the panel into scratch: at most kBlockColumns columns at a
 * time, so that the unpacked block stays in L2, and the sums are carried from block to block. The
 * packed bytes of the next block are fetched meanwhile.
 *
 * Overflow: an operand is at most 255 and K at most 65536, so that a sum of operands is within
 * 255 * 128 * 65536 < 2^31, and so is every code sum that combine makes of them.
 *
 * Static: see dot/epilogue.h. Include only from AVX-512 VNNI files. */
#ifndef TRITBENCH_KERNELS_LANES_AVX512VNNI_H
#define TRITBENCH_KERNELS_LANES_AVX512VNNI_H

#include "kernels/lanes/panels.h"
#include "kernels/lanes/tile512.h"

namespace {

// ---- GEMM ---------------------------------------------------------------------------------------

constexpr int64_t kBlockColumns = 4096;

// K is cut into equal blocks of at most kBlockColumns: the steps of one.
template <class Format>
inline int64_t block_steps(const tb_shape& s) {
    const int64_t steps = Panels<Format>::steps(s);
    const int64_t most = kBlockColumns / Format::kColumns;
    const int64_t blocks = (steps + most - 1) / most;
    return (steps + blocks - 1) / blocks;
}

template <class Decoder>
constexpr int64_t unpacked_bytes(int64_t steps) {
    return steps * Decoder::kQuads * Decoder::kOperands * 64;
}

template <class Format, class Decoder>
size_t lanes_scratch(const tb_shape* s, const tb_tile*, int64_t m) {
    if (m <= Decoder::kDirectTokens) return 0;
    const int64_t steps = block_steps<Format>(*s);
    const bool carries = steps < Panels<Format>::steps(*s);
    return static_cast<size_t>(unpacked_bytes<Decoder>(steps) +
                               (carries ? m * Decoder::kOperands * 64 : 0));
}

// One panel, unpacked block by block.
template <class Format, class Decoder>
void multiply_unpacked(const tb_product* p, const uint8_t* panel, const tb_int8_batch& x,
                       float weight_scale, const PanelSink<Decoder::kFields>& sink) {
    const int64_t steps = Panels<Format>::steps(p->shape);
    const int64_t block = block_steps<Format>(p->shape);
    auto* scratch = static_cast<uint8_t*>(p->scratch);
    __m512i* carry = nullptr;
    if (block < steps) carry = reinterpret_cast<__m512i*>(scratch + unpacked_bytes<Decoder>(block));
    for (int64_t at = 0; at < steps; at += block) {
        const int64_t count = steps - at < block ? steps - at : block;
        const int64_t bytes = count * Format::kStepBytes;
        const uint8_t* from = panel + at * Format::kStepBytes;
        unpack_panel<Decoder>(from, count, scratch);
        // Blocks and panels follow one another in memory.
        const Part part{at * Format::kColumns,
                        count * Decoder::kQuads,
                        at == 0,
                        at + count == steps,
                        from + bytes,
                        bytes};
        multiply_part<Decoder, Unpacked<Decoder>>(scratch, part, x, weight_scale, carry, sink);
    }
}

template <class Format, class Decoder>
void gemm_lanes(const tb_product* p, int32_t* acc) {
    using P = Panels<Format>;
    const tb_int8_batch x = tb_int8_open(&p->shape, p->prepared, p->m);
    const float scale = P::scale(p->shape, p->packed);
    const Sink out{p->y, acc, p->ldy};
    const Part whole{0, P::steps(p->shape), true, true, nullptr, 0};
    for (int64_t i = p->n_begin / P::kRows; i * P::kRows < p->n_end; ++i) {
        const auto* panel = static_cast<const uint8_t*>(p->packed) + i * P::bytes(p->shape);
        const PanelSink<Decoder::kFields> sink(out, i * P::kRows, p->n_begin, p->n_end);
        if (p->m <= Decoder::kDirectTokens) {
            multiply_part<Decoder, Decoder>(panel, whole, x, scale, nullptr, sink);
        } else {
            multiply_unpacked<Format, Decoder>(p, panel, x, scale, sink);
        }
    }
}

// ---- GEMV ---------------------------------------------------------------------------------------

// Where the rows of panels go, panel i of stream s being panel first + s * apart + i of W. For
// whole panels of y this must be short, because it interrupts the stream of loads: t5r from memory
// lost a fifth by the tests that rows in general need.
template <class Format, class Decoder>
struct WholeRows {
    float* y;
    int32_t sum;
    float scale;
    int64_t first, apart;

    void operator()(int64_t s, int64_t i, const __m512i (&of)[Decoder::kOperands]) const {
        __m512i rows[Format::kFields];
        Decoder::combine(of, rows);
        float* to = y + (first + s * apart + i) * Panels<Format>::kRows;
        TB_UNROLL
        for (int f = 0; f < Format::kFields; ++f) {
            const __m512i r = _mm512_sub_epi32(rows[f], _mm512_set1_epi32(sum));
            _mm512_storeu_ps(to + 16 * f,
                             _mm512_mul_ps(_mm512_cvtepi32_ps(r), _mm512_set1_ps(scale)));
        }
    }
};

template <class Format, class Decoder>
struct AnyRows {
    PanelSink<Format::kFields> sink;
    Token token;

    void operator()(int64_t, int64_t, const __m512i (&of)[Decoder::kOperands]) const {
        __m512i rows[Format::kFields];
        Decoder::combine(of, rows);
        sink.put(0, rows, token);
    }
};

// Whole panels are cut in kStreams equal parts that are walked side by side, so that memory sees a
// few long streams and the activations are broadcast once for all of them. What is left over,
// panels that are not wanted whole, and raw sums go panel by panel.
//
//   Core: static constexpr int kStreams;
//         template <int S, bool Prefetch, class Put>
//         static void run(const uint8_t* panel, int64_t apart, const int8_t* x, int64_t steps,
//                         int64_t count, const Put& put)
//   multiplies `count` panels that follow one another in each of S streams, `apart` bytes from one
//   stream to the next, with x, and calls put(s, i, sums) with the sums of the operands of panel i
//   of stream s.
template <class Format, class Decoder, class Core, bool Prefetch>
void gemv_streams(const tb_product* p, int32_t* acc) {
    using P = Panels<Format>;
    if (p->n_begin >= p->n_end) return;
    const tb_int8_batch x = tb_int8_open(&p->shape, p->prepared, p->m);
    const Token token = token_of(x, 0, P::scale(p->shape, p->packed));
    const int64_t steps = P::steps(p->shape), bytes = P::bytes(p->shape);
    const auto* packed = static_cast<const uint8_t*>(p->packed);
    const int64_t begin = p->n_begin / P::kRows, end = (p->n_end + P::kRows - 1) / P::kRows;
    const int64_t first = (p->n_begin + P::kRows - 1) / P::kRows;  // that is wanted whole
    const int64_t whole = p->n_end / P::kRows - first;
    const int64_t apart = acc == nullptr && whole > 0 ? whole / Core::kStreams : 0;
    if (apart > 0) {
        const WholeRows<Format, Decoder> put{p->y, token.sum, token.scale, first, apart};
        Core::template run<Core::kStreams, Prefetch>(packed + first * bytes, apart * bytes, x.q,
                                                     steps, apart, put);
    }
    for (int64_t i = begin; i < end; ++i) {
        if (i == first) i += apart * Core::kStreams;
        if (i == end) break;
        const AnyRows<Format, Decoder> put{
            {{p->y, acc, p->ldy}, i * P::kRows, p->n_begin, p->n_end}, token};
        Core::template run<1, Prefetch>(packed + i * bytes, 0, x.q, steps, 1, put);
    }
}

template <class Format, class Decoder, class Core>
void gemv_lanes(const tb_product* p, int32_t* acc) {
    if (wants_prefetch(p->tile)) {
        gemv_streams<Format, Decoder, Core, true>(p, acc);
    } else {
        gemv_streams<Format, Decoder, Core, false>(p, acc);
    }
}

template <int S, int Z>
inline void set_zero(__m512i (&acc)[S][1][Z]) {
    TB_UNROLL
    for (int s = 0; s < S; ++s) {
        TB_UNROLL
        for (int z = 0; z < Z; ++z) acc[s][0][z] = _mm512_setzero_si512();
    }
}

// Accumulators that are handed on themselves would have to live in memory.
template <class Decoder, class Put>
inline void put_copy(const Put& put, int64_t s, int64_t i,
                     const __m512i (&acc)[Decoder::kOperands]) {
    __m512i copy[Decoder::kOperands];
    TB_UNROLL
    for (int z = 0; z < Decoder::kOperands; ++z) copy[z] = acc[z];
    put(s, i, copy);
}

// The Core for a Decoder that needs no looking ahead.
template <class Decoder, int Streams>
struct StreamCore {
    static constexpr int kStreams = Streams;

    template <int S, bool Prefetch, class Put>
    static void run(const uint8_t* panel, int64_t apart, const int8_t* x, int64_t steps,
                    int64_t count, const Put& put) {
        const typename Decoder::Constants c;
        for (int64_t i = 0; i < count; ++i) {
            __m512i acc[S][1][Decoder::kOperands];
            set_zero(acc);
            for (int64_t k = 0; k < steps; ++k) {
                TB_UNROLL
                for (int s = 0; s < S; ++s) {
                    const uint8_t* step = panel + s * apart;
                    if (Prefetch) {
                        for (int b = 0; b < Decoder::kStepBytes; b += 64) fetch_ahead(step + b);
                    }
                    multiply_step<Decoder, 1>(step, c, x + 4 * Decoder::kQuads * k, 0, acc[s],
                                              Quads<Decoder>());
                }
                panel += Decoder::kStepBytes;
            }
            TB_UNROLL
            for (int s = 0; s < S; ++s) put_copy<Decoder>(put, s, i, acc[s][0]);
        }
    }
};

}  // namespace

#endif
