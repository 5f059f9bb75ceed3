/* IQ1_BN as published, with AVX-512 VBMI: a vpermb brings four blocks into the lanes of phases.h,
 * and they are multiplied as packed, as in the exact kernel (avx512vbmi.cpp), but for sums that are
 * kept apart: 10 vpdpbusd, 10 vpaddb, a load and a vpermb for 256 weights, 2.8 per 32. Zen 4 is
 * bound by vpdpbusd, 26 weights a cycle, Intel by two ports for all, 23.
 *
 * Up to 8 tokens: codes in the order of the columns (digits512.h), for two rows and all tokens.
 *
 * Overflow: as in avx512vbmi.cpp, with at most 8 codes * q a step and lane: 256 * 8 * 2 * 128 =
 * 2^19, 4095 steps stay within 2^31; kMaxSteps is less. Sums of codes alone are within 2 * 128 * K.
 * Static: see dot/epilogue.h. Include only from AVX-512 VBMI files. */
#ifndef TRITBENCH_KERNELS_IQ1_BN_PHASE512_H
#define TRITBENCH_KERNELS_IQ1_BN_PHASE512_H

#include "kernels/iq1_bn/digits512.h"
#include "kernels/iq1_bn/phases.h"
#include "kernels/trit_blocks/phase_panel.h"

namespace {

struct PhaseOrder {
    alignas(64) uint8_t blocks[64];    // of each slot of four blocks, the packed byte
    alignas(64) uint8_t plane[5][64];  // of each slot of one block, the column of its digit 4 - j
    uint16_t exist[5];                 // the slots that have one

    constexpr PhaseOrder() : blocks(), plane(), exist() {
        for (int b = 0; b < 4 * Iq1Bn::kBlockBytes; ++b) {
            const int block = b / static_cast<int>(Iq1Bn::kBlockBytes);
            const int byte = b % static_cast<int>(Iq1Bn::kBlockBytes);
            blocks[16 * block + PhaseSlot::of(byte)] = static_cast<uint8_t>(b);
        }
        for (int c = 0; c < 64; ++c) {
            const int j = 4 - iq1_bn_digit(c), slot = PhaseSlot::of(iq1_bn_byte(c));
            plane[j][slot] = static_cast<uint8_t>(c);
            exist[j] = static_cast<uint16_t>(exist[j] | 1 << slot);
        }
    }
};

constexpr PhaseOrder kPhaseOrder;

struct PhaseCore {
    using Format = Iq1Bn;
    static constexpr int kStreams = 2;
    static constexpr int kTokens = 8, kTokenGroups = 2, kDirectTokens = 8;
    static constexpr bool kTokensArranged = false;
    static constexpr int64_t kMaxSteps = 4000;
    static constexpr int64_t kStepBytes = 4 * Iq1Bn::kBlockBytes;
    static constexpr int64_t kStepActivations = 5 * 64;

    // For each four blocks five planes of 16 activations each; what is no block is 0.
    static int64_t arranged_bytes(int64_t k) { return (k + 255) / 256 * kStepActivations; }
    static void arrange(const int8_t* x, int64_t k, int8_t* to) {
        memset(to + arranged_bytes(k) - kStepActivations, 0, kStepActivations);
        for (int64_t b = 0; 64 * b < k; ++b) {
            const __m512i v = _mm512_load_si512(x + 64 * b);
            TB_UNROLL
            for (int j = 0; j < 5; ++j) {
                const __m512i of = _mm512_maskz_permutexvar_epi8(
                    kPhaseOrder.exist[j], _mm512_load_si512(kPhaseOrder.plane[j]), v);
                int8_t* at = to + b / 4 * kStepActivations + 64 * j + b % 4 * 16;
                _mm_store_si128(reinterpret_cast<__m128i*>(at), _mm512_castsi512_si128(of));
            }
        }
    }

    // What a slot of nobody holds is multiplied by 0.
    static __m512i ordered(__m512i packed) {
        return _mm512_permutexvar_epi8(_mm512_load_si512(kPhaseOrder.blocks), packed);
    }
    static __m512i load(const uint8_t* p) { return ordered(_mm512_loadu_si512(p)); }
    static __m512i load(const uint8_t* p, int64_t blocks) {
        const __mmask64 bytes = (uint64_t{1} << (blocks * Iq1Bn::kBlockBytes)) - 1;
        return ordered(_mm512_maskz_loadu_epi8(bytes, p));
    }

    // Of a row, its four blocks added up.
    static void put_phases(const __m512i (&sum)[kPhaseSumsOfRow], int32_t (&out)[kPhases][1]) {
        __m256i half[kPhaseSumsOfRow];
        TB_UNROLL
        for (int i = 0; i < kPhaseSumsOfRow; ++i) {
            half[i] = _mm256_add_epi32(_mm512_castsi512_si256(sum[i]),
                                       _mm512_extracti64x4_epi64(sum[i], 1));
        }
        _mm_storeu_si128(reinterpret_cast<__m128i*>(out), phases_of(half));
    }

    template <int R>
    __attribute__((always_inline)) static void step(__m512i (&a)[R][kPhaseSumsOfRow],
                                                    __m512i (&b)[R][kPhaseSumsOfRow],
                                                    __m512i (&v)[R], const int8_t* x) {
        TB_UNROLL
        for (int j = 4; j >= 0; --j) {
            const __m512i xs = _mm512_load_si512(x + 64 * (4 - j));
            TB_UNROLL
            for (int r = 0; r < R; ++r) {
                dot4(a[r][phase_sum_of(j)], v[r], xs);
                v[r] = times_three(v[r]);
                dot4(b[r][phase_sum_of(j)], v[r], xs);
            }
        }
    }

    // 1 <= `blocks` <= 4 * kMaxSteps of R rows, added to sum.
    template <int R, bool Prefetch>
    __attribute__((always_inline)) static void some_blocks(const uint8_t* p, int64_t ldg,
                                                           int64_t blocks, const int8_t* x,
                                                           __m512i (&sum)[R][kPhaseSumsOfRow]) {
        __m512i a[R][kPhaseSumsOfRow], b[R][kPhaseSumsOfRow];
        TB_UNROLL
        for (int r = 0; r < R; ++r) {
            TB_UNROLL
            for (int i = 0; i < kPhaseSumsOfRow; ++i) a[r][i] = b[r][i] = _mm512_setzero_si512();
        }
        __m512i v[R];
        for (; blocks > 4; blocks -= 4, p += kStepBytes, x += kStepActivations) {
            TB_UNROLL
            for (int r = 0; r < R; ++r) {
                if (Prefetch) fetch_ahead(p + r * ldg);
                v[r] = load(p + r * ldg);
            }
            step<R>(a, b, v, x);
        }
        TB_UNROLL
        for (int r = 0; r < R; ++r) v[r] = load(p + r * ldg, blocks);
        step<R>(a, b, v, x);
        TB_UNROLL
        for (int r = 0; r < R; ++r) {
            TB_UNROLL
            for (int i = 0; i < kPhaseSumsOfRow; ++i) {
                const __m512i three = _mm512_add_epi32(_mm512_add_epi32(a[r][i], a[r][i]), a[r][i]);
                sum[r][i] = _mm512_add_epi32(
                    sum[r][i], _mm512_srai_epi32(_mm512_sub_epi32(three, b[r][i]), 8));
            }
        }
    }

    template <int R, bool Prefetch>
    static void run(const uint8_t* row, int64_t ldg, int64_t k, const int8_t* x,
                    int32_t (&out)[R][kPhases][1]) {
        const uint8_t* p = row + Iq1Bn::kRowOverhead;
        __m512i sum[R][kPhaseSumsOfRow];
        TB_UNROLL
        for (int r = 0; r < R; ++r) {
            TB_UNROLL
            for (int i = 0; i < kPhaseSumsOfRow; ++i) sum[r][i] = _mm512_setzero_si512();
        }
        for (int64_t blocks = k / Iq1Bn::kColumns; blocks > 0; blocks -= 4 * kMaxSteps) {
            const int64_t count = blocks < 4 * kMaxSteps ? blocks : 4 * kMaxSteps;
            some_blocks<R, Prefetch>(p, ldg, count, x, sum);
            p += kMaxSteps * kStepBytes;
            x += kMaxSteps * kStepActivations;
        }
        TB_UNROLL
        for (int r = 0; r < R; ++r) put_phases(sum[r], out[r]);
    }

    // In the order of the columns 32-bit lane i of every four is phase i.
    template <int R, int T>
    static void run_tokens(const uint8_t* row, int64_t ldg, int64_t k, const int8_t* x, int64_t ldx,
                           int32_t (&out)[T][R][kPhases][1]) {
        const Spread spread;
        const uint8_t* p = row + Iq1Bn::kRowOverhead;
        __m512i acc[T][R];
        TB_UNROLL
        for (int t = 0; t < T; ++t) {
            TB_UNROLL
            for (int r = 0; r < R; ++r) acc[t][r] = _mm512_setzero_si512();
        }
        for (; k > 0; k -= Iq1Bn::kColumns, p += Iq1Bn::kBlockBytes, x += Iq1Bn::kColumns) {
            __m512i codes[R];
            TB_UNROLL
            for (int r = 0; r < R; ++r) codes[r] = spread.codes(p + r * ldg);
            TB_UNROLL
            for (int t = 0; t < T; ++t) {
                const __m512i xs = _mm512_load_si512(x + t * ldx);
                TB_UNROLL
                for (int r = 0; r < R; ++r) dot4(acc[t][r], codes[r], xs);
            }
        }
        TB_UNROLL
        for (int t = 0; t < T; ++t) {
            TB_UNROLL
            for (int r = 0; r < R; ++r) {
                const __m256i half = _mm256_add_epi32(_mm512_castsi512_si256(acc[t][r]),
                                                      _mm512_extracti64x4_epi64(acc[t][r], 1));
                _mm_storeu_si128(
                    reinterpret_cast<__m128i*>(out[t][r]),
                    _mm_add_epi32(_mm256_castsi256_si128(half), _mm256_extracti128_si256(half, 1)));
            }
        }
    }
};

}  // namespace

#endif
