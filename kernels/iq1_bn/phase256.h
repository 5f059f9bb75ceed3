/* IQ1_BN as published, with AVX2: two blocks are brought into the lanes of phases.h, a load, an
 * insertion and a vpshufb, and their digits taken (trit_blocks/digits_avx2.h) and multiplied as in
 * the exact kernel: 29 vector instructions for 128 weights, 7.3 per 32. ik_llama.cpp unpacks in the
 * order of the columns, 10 per 32.
 *
 * Overflow: a pair of products is within 512 (activations of -128 included), of which a step adds
 * two to one sum: 31 steps stay within 31744 in int16.
 * Static: see dot/epilogue.h. Include only from AVX2 files. */
#ifndef TRITBENCH_KERNELS_IQ1_BN_PHASE256_H
#define TRITBENCH_KERNELS_IQ1_BN_PHASE256_H

#include "kernels/iq1_bn/phases.h"
#include "kernels/iq1_bn/unpack256.h"
#include "kernels/trit_blocks/digits_avx2.h"
#include "kernels/trit_blocks/phase_codes.h"

namespace {

struct PhaseOrder {
    alignas(32) uint8_t two[32];     // of load16(p) | load16(p + 10)
    alignas(32) uint8_t single[32];  // of load_block(p) | nothing

    constexpr PhaseOrder() : two(), single() {
        for (int i = 0; i < 32; ++i) two[i] = single[i] = 0x80;
        for (int b = 0; b < Iq1Bn::kBlockBytes; ++b) {
            two[PhaseSlot::of(b)] = static_cast<uint8_t>(b);
            two[16 + PhaseSlot::of(b)] = static_cast<uint8_t>(b + 3);
            single[PhaseSlot::of(b)] = in_load_block(b);
        }
    }
};

constexpr PhaseOrder kPhaseOrder;
constexpr Planes<PhaseSlot> kPhasePlanes;

struct PhaseCore {
    using Format = Iq1Bn;
    static constexpr int kStreams = 4;
    static constexpr int kTokens = 2, kTokenGroups = 1, kDirectTokens = 2;
    static constexpr bool kTokensArranged = true;
    static constexpr int64_t kSafeSteps = 31;
    static constexpr int64_t kStepBytes = 2 * Iq1Bn::kBlockBytes;
    static constexpr int64_t kStepActivations = 5 * 32;

    static int64_t arranged_bytes(int64_t k) {
        return tb_round_up((k + 127) / 128 * kStepActivations, 64);
    }
    // For each two blocks five planes of 16 activations each.
    static void arrange(const int8_t* x, int64_t k, int8_t* to) {
        for (; k > 0; k -= 128, x += 128, to += kStepActivations) {
            for (int j = 0; j < 5; ++j) {
                auto* v = reinterpret_cast<__m128i*>(to + 32 * j);
                _mm_store_si128(v, kPhasePlanes.plane(x, j));
                _mm_store_si128(v + 1,
                                k > 64 ? kPhasePlanes.plane(x + 64, j) : _mm_setzero_si128());
            }
        }
    }

    template <bool Single>
    static __m256i load(const uint8_t* p) {
        if (Single) {
            const __m256i block = _mm256_zextsi128_si256(load_block(p));
            return _mm256_shuffle_epi8(block, load32(kPhaseOrder.single));
        }
        const __m256i first = _mm256_castsi128_si256(load16(p));
        return _mm256_shuffle_epi8(_mm256_inserti128_si256(first, load16(p + 10), 1),
                                   load32(kPhaseOrder.two));
    }

    // acc[t][.] += products of digit 4 - I of a step with T tokens.
    template <int T, int I>
    __attribute__((always_inline)) static void add_digit(__m256i (&acc)[T][kPhaseSumsOfRow],
                                                         Digits& digits, const int8_t* x,
                                                         int64_t ldx) {
        const __m256i codes = digits.take<I>();
        TB_UNROLL
        for (int t = 0; t < T; ++t) {
            const __m256i pairs = _mm256_maddubs_epi16(codes, load32(x + t * ldx + 32 * I));
            __m256i& sum = acc[t][phase_sum_of(4 - I)];
            sum = _mm256_add_epi16(sum, pairs);
        }
    }

    // One row, `count` <= kSafeSteps steps, added to sum. Two rows at once would not fit the
    // registers; each waits for the other only every 31 steps.
    template <int T, bool Prefetch, bool Single>
    __attribute__((noinline)) static void some_steps(const uint8_t* p, int64_t count,
                                                     const int8_t* x, int64_t ldx,
                                                     __m256i (&sum)[T][kPhaseSumsOfRow]) {
        __m256i narrow[T][kPhaseSumsOfRow];
        TB_UNROLL
        for (int t = 0; t < T; ++t) {
            TB_UNROLL
            for (int i = 0; i < kPhaseSumsOfRow; ++i) narrow[t][i] = _mm256_setzero_si256();
        }
        const int8_t* end = x + count * kStepActivations;
        for (; x != end; x += kStepActivations, p += kStepBytes) {
            if (Prefetch) fetch_ahead(p);
            Digits digits(load<Single>(p));
            add_digit<T, 0>(narrow, digits, x, ldx);
            add_digit<T, 1>(narrow, digits, x, ldx);
            add_digit<T, 2>(narrow, digits, x, ldx);
            add_digit<T, 3>(narrow, digits, x, ldx);
            add_digit<T, 4>(narrow, digits, x, ldx);
        }
        const __m256i ones = _mm256_set1_epi16(1);
        TB_UNROLL
        for (int t = 0; t < T; ++t) {
            TB_UNROLL
            for (int i = 0; i < kPhaseSumsOfRow; ++i) {
                sum[t][i] = _mm256_add_epi32(sum[t][i], _mm256_madd_epi16(narrow[t][i], ones));
            }
        }
    }

    template <int R, int T, bool Prefetch>
    static void row_sums(const uint8_t* row, int64_t ldg, int64_t k, const int8_t* x, int64_t ldx,
                         int32_t (&out)[T][R][kPhases][1]) {
        __m256i sum[R][T][kPhaseSumsOfRow] = {};
        const uint8_t* p = row + Iq1Bn::kRowOverhead;
        for (int64_t steps = k / 128; steps > 0; steps -= kSafeSteps) {
            const int64_t count = steps < kSafeSteps ? steps : kSafeSteps;
            for (int r = 0; r < R; ++r) {
                some_steps<T, Prefetch, false>(p + r * ldg, count, x, ldx, sum[r]);
            }
            p += count * kStepBytes;
            x += count * kStepActivations;
        }
        for (int r = 0; r < R; ++r) {
            if (k % 128 != 0) some_steps<T, false, true>(p + r * ldg, 1, x, ldx, sum[r]);
            for (int t = 0; t < T; ++t) {
                _mm_storeu_si128(reinterpret_cast<__m128i*>(out[t][r]), phases_of(sum[r][t]));
            }
        }
    }

    template <int R, bool Prefetch>
    static void run(const uint8_t* row, int64_t ldg, int64_t k, const int8_t* x,
                    int32_t (&out)[R][kPhases][1]) {
        int32_t of_token[1][R][kPhases][1];
        row_sums<R, 1, Prefetch>(row, ldg, k, x, 0, of_token);
        memcpy(out, of_token, sizeof out);
    }

    template <int R, int T>
    static void run_tokens(const uint8_t* row, int64_t ldg, int64_t k, const int8_t* x, int64_t ldx,
                           int32_t (&out)[T][R][kPhases][1]) {
        row_sums<R, T, false>(row, ldg, k, x, ldx, out);
    }
};

}  // namespace

#endif
