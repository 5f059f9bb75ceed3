/* Panels with 256-bit registers: what AVX2 and AVX-VNNI share, and the arithmetic of AVX2,
 * vpmaddubsw (u8 codes x s8 activations -> int16 sums of two products).
 *
 * A 64-byte register of the layout is two halves of 8 lanes here. The activations of 4 columns are
 * one broadcast dword, so that a lane holds two int16 sums of its row, and vpmaddwd with ones adds
 * them to the int32 sum of the row.
 *
 * Overflow: bytes of at most c give sums from 2 * c * -128 to 2 * c * 127, and n of them added stay
 * within int16 when n * c <= 128 (2 * 128 * -128 is -32768 exactly; vpmaddubsw itself saturates
 * beyond c = 128). safe_steps(c) is that n.
 *
 * Static: see dot/epilogue.h. Include only from AVX2 or AVX-VNNI files. */
#ifndef TRITBENCH_KERNELS_LANES_AVX2_H
#define TRITBENCH_KERNELS_LANES_AVX2_H

#include "kernels/dot/avx2.h"
#include "kernels/lanes/panels.h"

namespace {

constexpr int64_t safe_steps(int largest_byte) {
    return 128 / largest_byte;
}

inline int64_t at_most(int64_t a, int64_t b) {
    return a < b ? a : b;
}

inline void store32(void* p, __m256i v) {
    _mm256_storeu_si256(static_cast<__m256i*>(p), v);
}

// Four activations for every lane.
inline __m256i broadcast4(const int8_t* x) {
    int32_t four;
    memcpy(&four, x, sizeof four);
    return _mm256_set1_epi32(four);
}

// sum += bytes . x. The addition as an instruction, because GCC 12 spills sums that it could keep;
// tying the register leaves it no other place.
inline void dot2(__m256i& sum, __m256i bytes, __m256i x) {
    const __m256i products = _mm256_maddubs_epi16(bytes, x);
    asm("vpaddw %1, %0, %0" : "+x"(sum) : "x"(products));
}

// wide += the int32 sums of pairs of int16.
inline __m256i widen(__m256i wide, __m256i sum) {
    return _mm256_add_epi32(wide, _mm256_madd_epi16(sum, _mm256_set1_epi16(1)));
}

// ---- GEMM ---------------------------------------------------------------------------------------
// A panel is unpacked, a block of columns at a time, to a byte a weight in scratch:
//
//   codes [field][columns / 4][16 rows][4 columns]       64 bytes a step of 4 columns
//
// and each field, 16 rows, is multiplied with four tokens at a time. A block of a field is 8 KB: it
// stays in L1 while the tokens pass by; 256 tokens of a block are 128 KB: they stay in L2 while the
// fields pass by. The unpacking is shared by 256 tokens.

constexpr int64_t kBlockColumns = 512;
constexpr int64_t kBlockTokens = 256;
constexpr int64_t kFieldBytes = kBlockColumns * 16;

// Sixteen rows x T tokens in int16, widened into sums [T][ld] every 64 steps: 2 T sums, two
// registers of codes, one of activations and one of products are 12 of 16 registers for T = 4.
// Per step 6 loads, 8 vpmaddubsw, 8 vpaddw: bound by those two, 4 a cycle on Zen 4, 3 on Intel.
struct LanesAvx2Tile {
    template <int T>
    __attribute__((noinline)) static void run(const uint8_t* codes, const int8_t* x, int64_t ldx,
                                              int64_t steps, int32_t* sums, int64_t ld) {
        for (int64_t k = 0; k < steps;) {
            __m256i narrow[T][2];
            TB_UNROLL
            for (int t = 0; t < T; ++t) narrow[t][0] = narrow[t][1] = _mm256_setzero_si256();
            for (const int64_t end = at_most(k + safe_steps(2), steps); k < end; ++k) {
                const __m256i low = load32(codes + k * 64);
                const __m256i high = load32(codes + k * 64 + 32);
                TB_UNROLL
                for (int t = 0; t < T; ++t) {
                    const __m256i four = broadcast4(x + t * ldx + k * 4);
                    dot2(narrow[t][0], low, four);
                    dot2(narrow[t][1], high, four);
                }
            }
            TB_UNROLL
            for (int t = 0; t < T; ++t) {
                int32_t* to = sums + t * ld;
                store32(to, widen(load32(to), narrow[t][0]));
                store32(to + 8, widen(load32(to + 8), narrow[t][1]));
            }
        }
    }
};

// A block of a panel against `tokens` tokens; quads is the columns over 4.
template <class Format, class Tile>
inline void multiply_block(const uint8_t* codes, const int8_t* x, int64_t ldx, int64_t quads,
                           int64_t tokens, int32_t* sums) {
    constexpr int64_t kRows = Panels<Format>::kRows;
    for (int64_t f = 0; f < Format::kFields; ++f, codes += kFieldBytes, sums += 16) {
        int64_t t = 0;
        for (; t + 4 <= tokens; t += 4) {
            Tile::template run<4>(codes, x + t * ldx, ldx, quads, sums + t * kRows, kRows);
        }
        if (t + 2 <= tokens) {
            Tile::template run<2>(codes, x + t * ldx, ldx, quads, sums + t * kRows, kRows);
            t += 2;
        }
        if (t < tokens) {
            Tile::template run<1>(codes, x + t * ldx, ldx, quads, sums + t * kRows, kRows);
        }
    }
}

// Tile: as above; sums are added to. Unpack: static void step(const uint8_t* bytes, uint8_t* codes)
// writes the codes of one step, field f of its columns 4 q .. 4 q + 3 at f * kFieldBytes + q * 64.
template <class Format, class Tile, class Unpack>
void gemm_bytes(const tb_product* p, int32_t* acc) {
    using P = Panels<Format>;
    constexpr int64_t kSteps = kBlockColumns / Format::kColumns;
    const tb_int8_batch x = tb_int8_open(&p->shape, p->prepared, p->m);
    const Sink out{p->y, acc, p->ldy};
    const float scale = P::scale(p->shape, p->packed);
    auto* codes = static_cast<uint8_t*>(p->scratch);
    auto* sums = reinterpret_cast<int32_t*>(codes + Format::kFields * kFieldBytes);
    for (int64_t n = p->n_begin / P::kRows * P::kRows; n < p->n_end; n += P::kRows) {
        const auto* panel =
            static_cast<const uint8_t*>(p->packed) + n / P::kRows * P::bytes(p->shape);
        for (int64_t first = 0; first < x.m; first += kBlockTokens) {
            const int64_t tokens = at_most(kBlockTokens, x.m - first);
            memset(sums, 0, static_cast<size_t>(tokens * P::kRows * 4));
            for (int64_t step = 0; step < P::steps(p->shape); step += kSteps) {
                const int64_t steps = at_most(kSteps, P::steps(p->shape) - step);
                for (int64_t i = 0; i < steps; ++i) {
                    Unpack::step(panel + (step + i) * Format::kStepBytes,
                                 codes + i * Format::kColumns * 16);
                }
                multiply_block<Format, Tile>(codes, x.q + first * x.kp + step * Format::kColumns,
                                             x.kp, steps * Format::kColumns / 4, tokens, sums);
            }
            for (int64_t t = 0; t < tokens; ++t) {
                put_rows(out, first + t, n, P::kRows, sums + t * P::kRows,
                         token_of(x, first + t, scale), p->n_begin, p->n_end);
            }
        }
    }
}

// Few tokens gain nothing from unpacking: they pass one by one over each panel, which is in L2
// after the first.
template <class Format, class Core>
void gemm_each(const tb_product* p, int32_t* acc) {
    using P = Panels<Format>;
    const tb_int8_batch x = tb_int8_open(&p->shape, p->prepared, p->m);
    const Sink out{p->y, acc, p->ldy};
    const float scale = P::scale(p->shape, p->packed);
    for (int64_t n = p->n_begin / P::kRows * P::kRows; n < p->n_end; n += P::kRows) {
        const auto* panel =
            static_cast<const uint8_t*>(p->packed) + n / P::kRows * P::bytes(p->shape);
        for (int64_t m = 0; m < x.m; ++m) {
            alignas(64) int32_t sums[P::kRows];
            Core::template run<1, false>(panel, 0, x.q + m * x.kp, P::steps(p->shape), sums);
            put_rows(out, m, n, P::kRows, sums, token_of(x, m, scale), p->n_begin, p->n_end);
        }
    }
}

// ---- a kernel -----------------------------------------------------------------------------------
// How the batches of one kernel are multiplied. Core::kFewTokens: up to as many, gemm_each.

template <class Format, class Core>
size_t lanes_scratch(const tb_shape*, const tb_tile*, int64_t m) {
    const int64_t sums = at_most(m, kBlockTokens) * Panels<Format>::kRows * 4;
    return m > Core::kFewTokens ? static_cast<size_t>(Format::kFields * kFieldBytes + sums) : 0;
}

template <class Format, class Core, class Tile, class Unpack>
void lanes_product(const tb_product* p, int32_t* acc) {
    if (p->m == 1) {
        gemv_panels<Format, Core>(p, acc);
    } else if (p->m <= Core::kFewTokens) {
        gemm_each<Format, Core>(p, acc);
    } else {
        gemm_bytes<Format, Tile, Unpack>(p, acc);
    }
}

}  // namespace

#endif
