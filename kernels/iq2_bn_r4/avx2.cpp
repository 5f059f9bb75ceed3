// iq2_bn_r4 with AVX2. The layout is drawn in layout.h.
//
// GEMV, per 128 weights (32 bytes: 4 rows x 32 columns): a half of a register is 16 columns, a
// dword in it a row, field f the f-th four of the columns. So the activations of field f are a
// dword of each half of 32 activations, repeated, which is one vpshufd for all groups of rows.
// Codes are used where two masks leave them:
//
//   x[f] = vpshufd(32 activations, f f f f),  w = v >> 4
//   by1 += vpmaddubsw(v & 0x03, x[0]) + vpmaddubsw(w & 0x03, x[2])
//   by4 += vpmaddubsw(v & 0x0C, x[1]) + vpmaddubsw(w & 0x0C, x[3])      codes * 4
//
// 13 vector instructions for 128 weights and, with four groups at a time, 1 vpshufd: 3.5 per 32
// weights, beside 0.2 to widen the sums. They are the bound while rows are in cache: 4 vector pipes
// on Zen 4, 3 on Intel. 8 sums, 4 activations, 2 masks and 2 operands are the 16 registers. Nothing
// is added up horizontally but two halves, once for four rows.
//
// GEMM of up to 32 tokens: a field at a time, codes >> 2f & 0x03, for two groups and four tokens:
// 2.9 per 32 weights and token, no scratch. GEMM of more: panels of byte codes, see
// trit_blocks/gemm_codes.h and dot/avx2.h: 2, but the codes come from L2. Four rows are taken apart
// and transposed at a time: 5 per 32 weights, once for all tokens.
//
// As published (trit_blocks/phase.h): phases are of 16 columns, the halves of even registers are
// phases 0 and 1, of odd ones 2 and 3, hence sums of their own: every 512 columns are walked in two
// passes, the second from L1.
//
// Overflow: a pair of by4 is within 2 * 8 * 128 = 2048, two a register: 8 registers stay within
// 32768, and reach it only as -32768, which int16 holds (activations of -128 included); by1 stays
// within 8192, and by4 / 4 + by1 within 16384 before vpmaddwd widens them to int32. The division is
// exact: every term of by4 is a multiple of 4. With several tokens a pair is within 512, four a
// register, and 14 registers within 28672.
//
// Source of the layout and of vpshufd: ik_llama.cpp; of in-place codes under two masks:
// tq2_0/avx2.cpp.
#include "kernels/trit_blocks/phase_codes.h"

#include "kernels/iq2_bn_r4/layout.h"

namespace {

constexpr int64_t kSafeSteps = 8;         // registers of 32 columns
constexpr int64_t kSafeStepsTokens = 14;  // where several tokens share the codes; even

// Dword f of each half, in all four of the half.
template <int F>
inline __m256i spread(const int8_t* x) {
    return _mm256_shuffle_epi32(load32(x), F * 0x55);
}

// Sums of registers that are added up on their own: all of them, or even and odd ones.
using Exact = int32_t[4];
using Published = int32_t[kPhases][4];
template <class Out>
constexpr int kParts = sizeof(Out) == sizeof(Published) ? 2 : 1;

// The four rows of a group.
inline void put_rows(const __m256i* parts, Exact& out) {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(out), add_halves(parts[0]));
}
inline void put_rows(const __m256i* parts, Published& out) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(out[0]), parts[0]);
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(out[2]), parts[1]);
}

struct Core {
    using Format = Iq2BnR4;
    static constexpr int kStreams = 4;
    static constexpr int kTokens = 4, kTokenGroups = 2, kDirectTokens = 32;

    // sum[r * lds] += R groups, `steps` <= kSafeSteps registers that are kStride apart.
    // Functions of their own, so that the registers are theirs.
    template <int R, int kStride, bool Prefetch>
    __attribute__((noinline)) static void some_steps(const uint8_t* p, int64_t ldg, int64_t steps,
                                                     const int8_t* x, __m256i* sum, int64_t lds) {
        const __m256i low = _mm256_set1_epi8(0x03), high = _mm256_set1_epi8(0x0c);
        __m256i by1[R], by4[R];
        TB_UNROLL
        for (int r = 0; r < R; ++r) by1[r] = by4[r] = _mm256_setzero_si256();
        for (const int8_t* end = x + kStride * steps; x != end; p += kStride, x += kStride) {
            const __m256i xs[4] = {spread<0>(x), spread<1>(x), spread<2>(x), spread<3>(x)};
            TB_UNROLL
            for (int r = 0; r < R; ++r) {
                if (Prefetch) fetch_ahead(p + r * ldg);
                __m256i v = load32(p + r * ldg);
                multiply_add(by1[r], _mm256_and_si256(v, low), xs[0]);
                multiply_add(by4[r], _mm256_and_si256(v, high), xs[1]);
                v = _mm256_srli_epi16(v, 4);
                multiply_add(by1[r], _mm256_and_si256(v, low), xs[2]);
                multiply_add(by4[r], _mm256_and_si256(v, high), xs[3]);
            }
        }
        const __m256i ones = _mm256_set1_epi16(1);
        TB_UNROLL
        for (int r = 0; r < R; ++r) {
            const __m256i both = _mm256_add_epi16(_mm256_srai_epi16(by4[r], 2), by1[r]);
            __m256i& to = sum[r * lds];
            to = _mm256_add_epi32(to, _mm256_madd_epi16(both, ones));
        }
    }

    // Out: Exact or Published.
    template <int R, bool Prefetch, class Out>
    __attribute__((always_inline)) static void run(const uint8_t* group, int64_t ldg, int64_t k,
                                                   const int8_t* x, Out (&out)[R]) {
        constexpr int P = kParts<Out>;
        constexpr int64_t kSafe = 32 * P * kSafeSteps;
        const uint8_t* p = group + Iq2BnR4::kScaleBytes;
        __m256i sum[R][P];
        TB_UNROLL
        for (int r = 0; r < R; ++r) {
            TB_UNROLL
            for (int i = 0; i < P; ++i) sum[r][i] = _mm256_setzero_si256();
        }
        for (; k > 0; k -= kSafe, p += kSafe, x += kSafe) {
            const int64_t steps = (k < kSafe ? k : kSafe) / (32 * P);
            some_steps<R, 32 * P, Prefetch>(p, ldg, steps, x, &sum[0][0], P);
            if constexpr (P == 2) {
                some_steps<R, 32 * P, false>(p + 32, ldg, steps, x + 32, &sum[0][1], P);
            }
        }
        TB_UNROLL
        for (int r = 0; r < R; ++r) put_rows(sum[r], out[r]);
    }

    // acc += field F of R groups with T tokens.
    template <int F, int R, int T>
    __attribute__((always_inline)) static void field(const __m256i (&v)[R], const int8_t*& x,
                                                     int64_t ldx, __m256i (&acc)[T][R]) {
        const __m256i mask = _mm256_set1_epi8(0x03);
        __m256i codes[R];
        TB_UNROLL
        for (int r = 0; r < R; ++r) {
            codes[r] = _mm256_and_si256(F == 0 ? v[r] : _mm256_srli_epi16(v[r], 2 * F), mask);
        }
        TB_UNROLL
        for (int t = 0; t < T; ++t) {
            const __m256i xs = spread<F>(x + t * ldx);
            TB_UNROLL
            for (int r = 0; r < R; ++r) multiply_add(acc[t][r], codes[r], xs);
        }
        asm volatile("" : "+r"(x));  // loads again for the next field: there are 16 registers
    }

    // As some_steps, up to kSafeStepsTokens, for T tokens.
    template <int R, int T, int kStride>
    __attribute__((noinline)) static void some_steps_tokens(const uint8_t* p, int64_t ldg,
                                                            int64_t steps, const int8_t* x,
                                                            int64_t ldx, __m256i* sum,
                                                            int64_t lds) {
        __m256i acc[T][R];
        TB_UNROLL
        for (int t = 0; t < T; ++t) {
            TB_UNROLL
            for (int r = 0; r < R; ++r) acc[t][r] = _mm256_setzero_si256();
        }
        for (const int8_t* end = x + kStride * steps; x != end; p += kStride, x += kStride) {
            __m256i v[R];
            TB_UNROLL
            for (int r = 0; r < R; ++r) {
                fetch_ahead(p + r * ldg);
                v[r] = load32(p + r * ldg);
            }
            field<0, R, T>(v, x, ldx, acc);
            field<1, R, T>(v, x, ldx, acc);
            field<2, R, T>(v, x, ldx, acc);
            field<3, R, T>(v, x, ldx, acc);
        }
        const __m256i ones = _mm256_set1_epi16(1);
        TB_UNROLL
        for (int t = 0; t < T; ++t) {
            TB_UNROLL
            for (int r = 0; r < R; ++r) {
                __m256i& to = sum[(t * R + r) * lds];
                to = _mm256_add_epi32(to, _mm256_madd_epi16(acc[t][r], ones));
            }
        }
    }

    template <int R, int T, class Out>
    static void run_tokens(const uint8_t* group, int64_t ldg, int64_t k, const int8_t* x,
                           int64_t ldx, Out (&out)[T][R]) {
        constexpr int P = kParts<Out>;
        constexpr int64_t kSafe = 32 * P * kSafeStepsTokens;
        const uint8_t* p = group + Iq2BnR4::kScaleBytes;
        __m256i sum[T][R][P];
        memset(sum, 0, sizeof sum);
        for (; k > 0; k -= kSafe, p += kSafe, x += kSafe) {
            const int64_t steps = (k < kSafe ? k : kSafe) / (32 * P);
            TB_UNROLL
            for (int i = 0; i < P; ++i) {
                some_steps_tokens<R, T, 32 * P>(p + 32 * i, ldg, steps, x + 32 * i, ldx,
                                                &sum[0][0][i], P);
            }
        }
        TB_UNROLL
        for (int t = 0; t < T; ++t) {
            TB_UNROLL
            for (int r = 0; r < R; ++r) put_rows(sum[t][r], out[t][r]);
        }
    }
};

// Codes of four rows and 32 columns: field f of a row is dword f of its 16 columns.
struct Unpack {
    static void rows(const tb_shape& s, const uint8_t* packed, int64_t n, int64_t rows, uint8_t* to,
                     int64_t ld) {
        if (n % 4 != 0 || rows % 4 != 0) {
            return UnpackRows<Iq2BnR4>::rows(s, packed, n, rows, to, ld);
        }
        const __m256i mask = _mm256_set1_epi8(0x03);
        for (; rows > 0; rows -= 4, n += 4, to += 4 * ld) {
            const uint8_t* p = group_of<Iq2BnR4>(s, packed, n) + Iq2BnR4::kScaleBytes;
            for (int64_t k = 0; k < s.k; k += 32) {
                const __m256i v = load32(p + k);
                const __m256i f0 = _mm256_and_si256(v, mask);
                const __m256i f1 = _mm256_and_si256(_mm256_srli_epi16(v, 2), mask);
                const __m256i f2 = _mm256_and_si256(_mm256_srli_epi16(v, 4), mask);
                const __m256i f3 = _mm256_and_si256(_mm256_srli_epi16(v, 6), mask);
                const __m256i a = _mm256_unpacklo_epi32(f0, f1), b = _mm256_unpackhi_epi32(f0, f1);
                const __m256i c = _mm256_unpacklo_epi32(f2, f3), d = _mm256_unpackhi_epi32(f2, f3);
                const __m256i of[4] = {_mm256_unpacklo_epi64(a, c), _mm256_unpackhi_epi64(a, c),
                                       _mm256_unpacklo_epi64(b, d), _mm256_unpackhi_epi64(b, d)};
                TB_UNROLL
                for (int r = 0; r < 4; ++r) {
                    _mm256_storeu_si256(reinterpret_cast<__m256i*>(to + r * ld + k), of[r]);
                }
            }
        }
    }
};

struct CodesLoad {
    static __m256i codes(const uint8_t* p) { return load32(p); }
    static __m256i tail(const uint8_t* p, int64_t) { return load32(p); }
};

void product(const tb_product* p) {
    multiply_groups_or_codes<Core, Avx2Tile<CodesLoad>, Unpack>(p, nullptr);
}
void accumulate(const tb_product* p) {
    multiply_groups_or_codes<Core, Avx2Tile<CodesLoad>, Unpack>(p, p->acc);
}
void published(const tb_product* p) {
    phase_directly_or_codes<Core, 16, Unpack>(p);
}

constexpr tb_kernel kKernel = with_prefetch(trit_blocks_descriptor<Iq2BnR4>(
    "iq2_bn_r4_avx2", "avx2", TB_ISA_AVX2, "ik_llama.cpp's 2-bit codes of four rows, vpmaddubsw",
    16, arranged_or_codes_scratch<Core>, product, product, accumulate));
constexpr tb_kernel kPublished = with_prefetch(phase_descriptor<Iq2BnR4, 16>(
    "iq2_bn_r4_avx2_q8k16", "avx2", TB_ISA_AVX2,
    "ik_llama.cpp's 2-bit codes of four rows x its Q8_K16, vpmaddubsw", 16,
    arranged_or_codes_scratch<Core>, published, published));
// The exact one last: it is taken where none is named.
constexpr const tb_kernel* kKernels[] = {&kPublished, &kKernel};

}  // namespace

extern "C" const tb_kernel_table tb_table_iq2_bn_r4_avx2;
const tb_kernel_table tb_table_iq2_bn_r4_avx2 = {TB_ABI_VERSION, sizeof(tb_kernel), 2, kKernels};
