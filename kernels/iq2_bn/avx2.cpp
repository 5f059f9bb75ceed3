// iq2_bn with AVX2. The layout is drawn in layout.h.
//
// GEMV, per 128 weights (32 bytes, two blocks): v = fields 7:6 | 5:4 | 3:2 | 1:0, w = v >> 4, and
// codes are used where two masks leave them, which takes 1 shift in place of 3:
//
//   by1 += vpmaddubsw(v & 0x03, x0) + vpmaddubsw(w & 0x03, x2)
//   by4 += vpmaddubsw(v & 0x0C, x1) + vpmaddubsw(w & 0x0C, x3)      codes * 4
//
// 1 load, 1 shift, 4 ands, 4 products with activations from L1, 4 adds: 3.25 vector instructions
// per 32 weights, beside 0.1 to widen the sums. They are the bound while rows are in cache: 4
// vector pipes on Zen 4, 3 on Intel. The activations of a field are 16 here, 16 there: they are
// brought together once a call, in a copy of x. Four rows are walked at a time; 8 sums, 2 masks and
// 3 operands fit the 16 registers.
//
// GEMM of up to 32 tokens: a field at a time, codes >> 2f & 0x03, for two rows and four tokens: 2.4
// per 32 weights and token, no scratch but for the activations. GEMM of more: panels of byte codes,
// see trit_blocks/gemm_codes.h and dot/avx2.h: 2, and 3 to unpack, once for all tokens, but the
// codes come from L2.
//
// As published (trit_blocks/phase.h): phases are of 4 columns, so that int32 lane i of each half of
// a register is phase i, and only the last step of a row is another.
//
// Overflow: a pair of by4 is within 2 * 8 * 128 = 2048, two a step: 8 steps stay within 32768, and
// reach it only as -32768, which int16 holds (activations of -128 included); by1 stays within 8192,
// and by4 / 4 + by1 within 16384 before vpmaddwd widens them to int32. The division is exact: every
// term of by4 is a multiple of 4. With several tokens a pair is within 512, four a step, and 15
// steps within 30720.
//
// Source of the layout: ik_llama.cpp; of in-place codes under two masks: tq2_0/avx2.cpp.
#include "kernels/trit_blocks/phase_codes.h"

#include "kernels/iq2_bn/layout.h"

namespace {

constexpr int64_t kSafeSteps = 8;         // of 128 columns
constexpr int64_t kSafeStepsTokens = 15;  // where several tokens share the codes

// The sum of each register, or as published, of each phase.
template <int R>
inline void put_sums(const __m256i (&v)[R], int32_t (&out)[R][1]) {
    sum_each<R>(v, out[0]);
}
template <int R>
inline void put_sums(const __m256i (&v)[R], int32_t (&out)[R][kPhases][1]) {
    TB_UNROLL
    for (int r = 0; r < R; ++r) {
        _mm_storeu_si128(reinterpret_cast<__m128i*>(out[r]), add_halves(v[r]));
    }
}

// The one block that a row may end with, beside a half of zeros.
inline __m256i load_last(const uint8_t* p) {
    return _mm256_zextsi128_si256(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
}

struct Core {
    using Format = Iq2Bn;
    static constexpr int kStreams = 4;
    static constexpr int kTokens = 4, kTokenGroups = 2, kDirectTokens = 32;
    static constexpr bool kTokensArranged = true;

    // Per 128 columns: those of field 0 of two blocks, of field 1, 2, 3.
    static int64_t arranged_bytes(int64_t k) { return tb_round_up(k, 128); }
    static void arrange(const int8_t* x, int64_t k, int8_t* to) {
        for (; k > 0; k -= 128, x += 128, to += 128) {
            const __m256i zero = _mm256_setzero_si256();
            const __m256i a = load32(x), b = load32(x + 32);
            const __m256i c = k > 64 ? load32(x + 64) : zero, d = k > 64 ? load32(x + 96) : zero;
            auto* v = reinterpret_cast<__m256i*>(to);
            _mm256_store_si256(v, _mm256_permute2x128_si256(a, c, 0x20));
            _mm256_store_si256(v + 1, _mm256_permute2x128_si256(a, c, 0x31));
            _mm256_store_si256(v + 2, _mm256_permute2x128_si256(b, d, 0x20));
            _mm256_store_si256(v + 3, _mm256_permute2x128_si256(b, d, 0x31));
        }
    }

    // Sums of R rows in int16.
    template <int R>
    struct Narrow {
        __m256i by1[R], by4[R];

        Narrow() {
            TB_UNROLL
            for (int r = 0; r < R; ++r) by1[r] = by4[r] = _mm256_setzero_si256();
        }

        void add(int r, __m256i v, const int8_t* x) {
            const __m256i low = _mm256_set1_epi8(0x03), high = _mm256_set1_epi8(0x0c);
            const __m256i w = _mm256_srli_epi16(v, 4);
            multiply_add(by1[r], _mm256_and_si256(v, low), x);
            multiply_add(by4[r], _mm256_and_si256(v, high), x + 32);
            multiply_add(by1[r], _mm256_and_si256(w, low), x + 64);
            multiply_add(by4[r], _mm256_and_si256(w, high), x + 96);
        }

        void widen(__m256i (&sum)[R]) const {
            const __m256i ones = _mm256_set1_epi16(1);
            TB_UNROLL
            for (int r = 0; r < R; ++r) {
                const __m256i both = _mm256_add_epi16(_mm256_srai_epi16(by4[r], 2), by1[r]);
                sum[r] = _mm256_add_epi32(sum[r], _mm256_madd_epi16(both, ones));
            }
        }
    };

    // sum += `steps` <= kSafeSteps of R rows. This and some_steps_tokens are functions of their
    // own, so that the registers are theirs.
    template <int R, bool Prefetch>
    __attribute__((noinline)) static void some_steps(const uint8_t* p, int64_t ldg, int64_t steps,
                                                     const int8_t* x, __m256i (&sum)[R]) {
        Narrow<R> narrow;
        for (const uint8_t* end = p + 32 * steps; p != end; p += 32, x += 128) {
            TB_UNROLL
            for (int r = 0; r < R; ++r) {
                if (Prefetch) fetch_ahead(p + r * ldg);
                narrow.add(r, load32(p + r * ldg), x);
            }
        }
        narrow.widen(sum);
    }

    // Out: int32_t[1] or int32_t[kPhases][1], see put_sums.
    template <int R, bool Prefetch, class Out>
    static void run(const uint8_t* row, int64_t ldg, int64_t k, const int8_t* x, Out (&out)[R]) {
        const uint8_t* p = row + Iq2Bn::kRowOverhead;
        __m256i sum[R];
        TB_UNROLL
        for (int r = 0; r < R; ++r) sum[r] = _mm256_setzero_si256();
        for (int64_t steps = k / 128; steps > 0; steps -= kSafeSteps) {
            const int64_t count = steps < kSafeSteps ? steps : kSafeSteps;
            some_steps<R, Prefetch>(p, ldg, count, x, sum);
            p += 32 * count;
            x += 128 * count;
        }
        if (k % 128 != 0) {
            Narrow<R> narrow;
            TB_UNROLL
            for (int r = 0; r < R; ++r) narrow.add(r, load_last(p + r * ldg), x);
            narrow.widen(sum);
        }
        put_sums(sum, out);
    }

    // One step of R rows with T tokens: a field of all rows is taken apart for all tokens.
    template <int R, int T>
    __attribute__((always_inline)) static void step_tokens(__m256i (&acc)[T][R],
                                                           const __m256i (&v)[R], const int8_t* x,
                                                           int64_t ldx) {
        const __m256i mask = _mm256_set1_epi8(0x03);
        TB_UNROLL
        for (int f = 0; f < 4; ++f) {
            __m256i codes[R];
            TB_UNROLL
            for (int r = 0; r < R; ++r) {
                codes[r] = _mm256_and_si256(f == 0 ? v[r] : _mm256_srli_epi16(v[r], 2 * f), mask);
            }
            TB_UNROLL
            for (int t = 0; t < T; ++t) {
                const __m256i xs = load32(x + t * ldx + 32 * f);
                TB_UNROLL
                for (int r = 0; r < R; ++r) multiply_add(acc[t][r], codes[r], xs);
            }
            asm volatile("" : "+r"(x));  // no field is begun before: there are 16 registers
        }
    }

    // sum += `steps` <= kSafeStepsTokens of R rows with T tokens, and then one block if `last`.
    template <int R, int T>
    __attribute__((noinline)) static void some_steps_tokens(const uint8_t* p, int64_t ldg,
                                                            int64_t steps, bool last,
                                                            const int8_t* x, int64_t ldx,
                                                            __m256i (&sum)[T][R]) {
        __m256i acc[T][R], v[R];
        TB_UNROLL
        for (int t = 0; t < T; ++t) {
            TB_UNROLL
            for (int r = 0; r < R; ++r) acc[t][r] = _mm256_setzero_si256();
        }
        for (const uint8_t* end = p + 32 * steps; p != end; p += 32, x += 128) {
            TB_UNROLL
            for (int r = 0; r < R; ++r) {
                fetch_ahead(p + r * ldg);
                v[r] = load32(p + r * ldg);
            }
            step_tokens<R, T>(acc, v, x, ldx);
        }
        if (last) {
            TB_UNROLL
            for (int r = 0; r < R; ++r) v[r] = load_last(p + r * ldg);
            step_tokens<R, T>(acc, v, x, ldx);
        }
        const __m256i ones = _mm256_set1_epi16(1);
        TB_UNROLL
        for (int t = 0; t < T; ++t) {
            TB_UNROLL
            for (int r = 0; r < R; ++r) {
                sum[t][r] = _mm256_add_epi32(sum[t][r], _mm256_madd_epi16(acc[t][r], ones));
            }
        }
    }

    template <int R, int T, class Out>
    static void run_tokens(const uint8_t* row, int64_t ldg, int64_t k, const int8_t* x, int64_t ldx,
                           Out (&out)[T][R]) {
        const uint8_t* p = row + Iq2Bn::kRowOverhead;
        __m256i sum[T][R];
        memset(sum, 0, sizeof sum);
        for (constexpr int64_t kSafe = 128 * kSafeStepsTokens; k > 0; k -= kSafe) {
            const int64_t steps = k < kSafe ? k / 128 : kSafeStepsTokens;
            some_steps_tokens<R, T>(p, ldg, steps, k < kSafe && k % 128 != 0, x, ldx, sum);
            p += kSafe / 4;
            x += kSafe;
        }
        TB_UNROLL
        for (int t = 0; t < T; ++t) put_sums(sum[t], out[t]);
    }
};

struct CodesLoad {
    static __m256i codes(const uint8_t* p) { return load32(p); }
    static __m256i tail(const uint8_t* p, int64_t) { return load32(p); }
};

void product(const tb_product* p) {
    multiply_groups_or_codes<Core, Avx2Tile<CodesLoad>>(p, nullptr);
}
void accumulate(const tb_product* p) {
    multiply_groups_or_codes<Core, Avx2Tile<CodesLoad>>(p, p->acc);
}
void published(const tb_product* p) {
    phase_directly_or_codes<Core, 4>(p);
}

constexpr tb_kernel kKernel = with_prefetch(trit_blocks_descriptor<Iq2Bn>(
    "iq2_bn_avx2", "avx2", TB_ISA_AVX2, "ik_llama.cpp's 2-bit codes, vpmaddubsw", 4,
    arranged_or_codes_scratch<Core>, product, product, accumulate));
constexpr tb_kernel kPublished = with_prefetch(phase_descriptor<Iq2Bn, 4>(
    "iq2_bn_avx2_q8k64", "avx2", TB_ISA_AVX2, "ik_llama.cpp's 2-bit codes x its Q8_K64, vpmaddubsw",
    4, arranged_or_codes_scratch<Core>, published, published));
// The exact one last: it is taken where none is named.
constexpr const tb_kernel* kKernels[] = {&kPublished, &kKernel};

}  // namespace

extern "C" const tb_kernel_table tb_table_iq2_bn_avx2;
const tb_kernel_table tb_table_iq2_bn_avx2 = {TB_ABI_VERSION, sizeof(tb_kernel), 2, kKernels};
