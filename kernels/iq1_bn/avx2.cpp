// iq1_bn with AVX2. The layout is drawn in layout.h.
//
// GEMV: the packed bytes of a row are one stream, blocks do not count. The five codes of 32 bytes
// are made in 16 instructions (trit_blocks/digits_avx2.h) and multiplied with five planes of
// activations, into which these are brought once a call, in scratch: plane j has the one that digit
// 4 - j of each packed byte is multiplied with, 0 where there is none. 26 vector instructions for
// 157.5 weights, 5.3 per 32, and 0.1 to widen the sums; ik_llama.cpp's own AVX2 code spreads the
// bytes of a block over 16-bit lanes and takes 10. 11 of the 26 are vpmaddubsw, on 2 pipes of Zen 4
// and Intel. Zen 4 has 4 vector pipes, 24 weights a cycle at best, but one of the two that do
// vpshufb and vpblendvb is one of vpmaddubsw too: 17 were measured. Intel has 3 and takes three
// operations for a vpblendvb, 15 a cycle. Arithmetic is the bound everywhere.
//
// GEMM of up to 6 tokens: the same, and each digit is multiplied with four tokens.
// GEMM of more: panels of byte codes (trit_blocks/gemm_codes.h, dot/avx2.h), unpacked in 16
// instructions for 64 weights (unpack256.h).
// As published, with activations in Q8_K64: phase256.h.
//
// Overflow: a pair of products is within 2 * 2 * 128 = 512 (activations of -128 included), and 32
// packed bytes add 5 of them: 12 steps stay within 30720 in int16.
//
// Source of the layout: ik_llama.cpp.
#include "kernels/trit_blocks/gemm_codes.h"

#include "kernels/iq1_bn/phase256.h"

namespace {

constexpr int64_t kSafeSteps = 12;
constexpr int64_t kStep = 32;  // packed bytes

struct Slot {
    static constexpr int of(int byte) { return byte; }
};
constexpr Planes<Slot> kPlanes;

struct CodesLoad {
    static __m256i codes(const uint8_t* p) { return load32(p); }
    static __m256i tail(const uint8_t* p, int64_t) { return load32(p); }
};

// acc += codes . x in int16; codes are used again.
inline void multiply_add_shared(__m256i& acc, __m256i codes, const int8_t* x) {
    __m256i pairs;
    asm("vpmaddubsw %3, %2, %1\n\tvpaddw %1, %0, %0"
        : "+x"(acc), "=&x"(pairs)
        : "x"(codes), "m"(*reinterpret_cast<const __m256i*>(x)));
}

struct Core {
    using Format = Iq1Bn;
    static constexpr int kStreams = 4;
    static constexpr int kTokens = 4, kTokenGroups = 2, kDirectTokens = 6;
    static constexpr bool kTokensArranged = true;

    static int64_t packed_bytes(int64_t k) { return k / Iq1Bn::kColumns * Iq1Bn::kBlockBytes; }
    static int64_t arranged_bytes(int64_t k) {
        return tb_round_up(tb_round_up(packed_bytes(k), kStep) * 5, 64);
    }

    // For each step five planes of 32 activations. The last step of a row that is no whole one is
    // its last 32 bytes, of which those done before have activations of 0.
    static void arrange(const int8_t* x, int64_t k, int8_t* to) {
        alignas(32) int8_t planes[5][3 * kStep] = {};  // 32 zeros, and what is not stored yet
        int64_t held = 0;
        const auto store = [&](int64_t from) {
            for (int j = 0; j < 5; ++j, to += kStep) memcpy(to, planes[j] + from, kStep);
        };
        for (; k > 0; k -= Iq1Bn::kColumns, x += Iq1Bn::kColumns) {
            for (int j = 0; j < 5; ++j) {
                _mm_storeu_si128(reinterpret_cast<__m128i*>(planes[j] + kStep + held),
                                 kPlanes.plane(x, j));
            }
            held += Iq1Bn::kBlockBytes;
            if (held < kStep) continue;
            store(kStep);
            for (auto& plane : planes) memcpy(plane + kStep, plane + 2 * kStep, kStep / 2);
            held -= kStep;
        }
        if (held > 0) store(held);
    }

    // Digit I of a step with T tokens.
    template <int T, int I>
    __attribute__((always_inline)) static void add_digit(__m256i (&acc)[T], Digits& digits,
                                                         const int8_t* x, int64_t ldx) {
        const __m256i codes = digits.take<I>();
        TB_UNROLL
        for (int t = 0; t < T - 1; ++t) {
            multiply_add_shared(acc[t], codes, x + t * ldx + I * kStep);
        }
        multiply_add(acc[T - 1], codes, x + (T - 1) * ldx + I * kStep);
    }

    // One step of rows I .. R - 1. No loop: GCC 12 unrolls one of four rows after it has placed the
    // sums in memory.
    template <int R, int T, bool Prefetch, int I = 0>
    __attribute__((always_inline)) static void step(__m256i (&acc)[R][T], const uint8_t* p,
                                                    int64_t ldg, const int8_t* x, int64_t ldx) {
        if (Prefetch) fetch_ahead(p);
        Digits digits(load32(p));
        add_digit<T, 0>(acc[I], digits, x, ldx);
        add_digit<T, 1>(acc[I], digits, x, ldx);
        add_digit<T, 2>(acc[I], digits, x, ldx);
        add_digit<T, 3>(acc[I], digits, x, ldx);
        add_digit<T, 4>(acc[I], digits, x, ldx);
        if constexpr (I + 1 < R) step<R, T, Prefetch, I + 1>(acc, p + ldg, ldg, x, ldx);
    }

    // R rows and T tokens, `count` <= kSafeSteps steps, added to sum. Called, so that nothing else
    // wants registers.
    template <int R, int T, bool Prefetch>
    __attribute__((noinline)) static void some_steps(const uint8_t* p, int64_t ldg, int64_t count,
                                                     const int8_t* x, int64_t ldx,
                                                     __m256i (&sum)[R][T]) {
        __m256i narrow[R][T];
        TB_UNROLL
        for (int r = 0; r < R; ++r) {
            TB_UNROLL
            for (int t = 0; t < T; ++t) narrow[r][t] = _mm256_setzero_si256();
        }
        for (const uint8_t* end = p + count * kStep; p != end; p += kStep, x += 5 * kStep) {
            step<R, T, Prefetch>(narrow, p, ldg, x, ldx);
        }
        const __m256i ones = _mm256_set1_epi16(1);
        TB_UNROLL
        for (int r = 0; r < R; ++r) {
            TB_UNROLL
            for (int t = 0; t < T; ++t) {
                sum[r][t] = _mm256_add_epi32(sum[r][t], _mm256_madd_epi16(narrow[r][t], ones));
            }
        }
    }

    template <int R, int T, bool Prefetch>
    __attribute__((always_inline)) static void row_sums(const uint8_t* row, int64_t ldg, int64_t k,
                                                        const int8_t* x, int64_t ldx,
                                                        __m256i (&sum)[R][T]) {
        TB_UNROLL
        for (int r = 0; r < R; ++r) {
            TB_UNROLL
            for (int t = 0; t < T; ++t) sum[r][t] = _mm256_setzero_si256();
        }
        const uint8_t* p = row + Iq1Bn::kRowOverhead;
        const int64_t bytes = packed_bytes(k), left = bytes % kStep;
        for (int64_t steps = bytes / kStep; steps > 0; steps -= kSafeSteps) {
            const int64_t count = steps < kSafeSteps ? steps : kSafeSteps;
            some_steps<R, T, Prefetch>(p, ldg, count, x, ldx, sum);
            p += count * kStep;
            x += 5 * count * kStep;
        }
        if (left > 0) some_steps<R, T, Prefetch>(p + left - kStep, ldg, 1, x, ldx, sum);
    }

    template <int R, bool Prefetch>
    static void run(const uint8_t* row, int64_t ldg, int64_t k, const int8_t* x,
                    int32_t (&out)[R][1]) {
        __m256i sum[R][1], of_row[R];
        row_sums<R, 1, Prefetch>(row, ldg, k, x, 0, sum);
        TB_UNROLL
        for (int r = 0; r < R; ++r) of_row[r] = sum[r][0];
        sum_each<R>(of_row, out[0]);
    }

    template <int R, int T>
    static void run_tokens(const uint8_t* row, int64_t ldg, int64_t k, const int8_t* x, int64_t ldx,
                           int32_t (&out)[T][R][1]) {
        __m256i sum[R][T];
        row_sums<R, T, false>(row, ldg, k, x, ldx, sum);
        TB_UNROLL
        for (int r = 0; r < R; ++r) {
            int32_t of_row[T];
            sum_each<T>(sum[r], of_row);
            for (int t = 0; t < T; ++t) out[t][r][0] = of_row[t];
        }
    }
};

// A row shorter than a step is not read as one.
bool packed_used(const tb_shape& s, int64_t m) {
    return m <= Core::kDirectTokens && Core::packed_bytes(s.k) >= kStep;
}

size_t scratch_size(const tb_shape* s, const tb_tile*, int64_t m) {
    if (packed_used(*s, m)) return arranged_scratch<Core>(*s, m);
    return static_cast<size_t>(kCodeRows * tb_round_up(s->k, 64));
}

void multiply(const tb_product* p, int32_t* acc) {
    if (packed_used(p->shape, p->m)) return gemv_groups<Core>(p, acc);
    multiply_unpacked<Iq1Bn, Avx2Tile<CodesLoad>, Unpack>(p, acc);
}

void product(const tb_product* p) {
    multiply(p, nullptr);
}
void accumulate(const tb_product* p) {
    multiply(p, p->acc);
}

size_t published_scratch(const tb_shape* s, const tb_tile*, int64_t m) {
    if (m <= PhaseCore::kDirectTokens) return arranged_scratch<PhaseCore>(*s, m);
    return static_cast<size_t>(kCodeRows * tb_round_up(s->k, 64));
}
void published(const tb_product* p) {
    phase_directly_or_codes<PhaseCore, 4, Unpack>(p);
}

constexpr tb_kernel kKernel = with_prefetch(
    trit_blocks_descriptor<Iq1Bn>("iq1_bn_avx2", "avx2", TB_ISA_AVX2,
                                  "ik_llama.cpp's five trits a byte, two at a time, vpmaddubsw", 4,
                                  scratch_size, product, product, accumulate));
constexpr tb_kernel kPublished = with_prefetch(phase_descriptor<Iq1Bn, 4>(
    "iq1_bn_avx2_q8k64", "avx2", TB_ISA_AVX2,
    "ik_llama.cpp's five trits a byte x its Q8_K64, two at a time, vpmaddubsw", 4,
    published_scratch, published, published));
// The exact one last: it is taken where none is named.
constexpr const tb_kernel* kKernels[] = {&kPublished, &kKernel};

}  // namespace

extern "C" const tb_kernel_table tb_table_iq1_bn_avx2;
const tb_kernel_table tb_table_iq1_bn_avx2 = {TB_ABI_VERSION, sizeof(tb_kernel), 2, kKernels};
