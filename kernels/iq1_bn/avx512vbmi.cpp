// iq1_bn with AVX-512 VBMI. The layout is drawn in layout.h.
//
// GEMV: packed bytes are multiplied as they are, five weights a byte, and never taken apart. With
// u = v_4 a packed byte, v_j = 3 v_(j+1) mod 256 and c_j = trit_j + 1 (layout.h),
//
//   3 v_j = 256 c_j + v_(j-1)     hence     sum_j c_j x_j = sum_j (3 v_j x_j - v_(j-1) x_j) / 256,
//
// and what is multiplied are the v: A += v_j . x_j and B += v_(j-1) . x_j for j = 4..0, at the end
// of the row (3 A - B) / 256. For 64 packed bytes, which are 315 weights, that takes 10 vpdpbusd
// and 10 vpaddb (two for each step of v): 2 instructions per 32 weights. The activations are
// brought into five planes once a call, in scratch: plane j has the one that digit j of each packed
// byte is multiplied with, 0 where there is none. Four rows at a time share their 5 loads. Intel
// does all 20 on two ports, 31 weights a cycle, which is more than its memory brings; Zen 4 does
// the additions beside vpdpbusd and is bound by that, also 31 a cycle. To make codes of the planes,
// as below, would take 5 vpdpbusd and 33 others.
//
// GEMM of up to 8 tokens: the codes of the five planes, 5 instructions each, for two rows and
// eight tokens: 80 vpdpbusd and 66 others, which Zen 4 does beside them.
// GEMM of more: codes in the order of the columns, 7 instructions for 64 weights (digits512.h), and
// a transpose (dot/panel64.h).
// As published, with activations in Q8_K64: phase512.h.
//
// Overflow: a lane of 3 A - B is 256 times a sum of 20 codes * q a step, within 256 * 20 * 2 * 128
// with activations of -128: 1600 steps stay within 2^31, and A and B may wrap. Then they are
// folded. The division is exact in every lane.
#include "kernels/iq1_bn/phase512.h"

namespace {

constexpr int64_t kSafeSteps = 1600;

struct Tables {
    alignas(64) uint8_t plane[5][64];  // of each packed byte, the column of its digit j

    constexpr Tables() : plane() {
        for (int c = 0; c < 64; ++c) {
            plane[iq1_bn_digit(c)][iq1_bn_byte(c)] = static_cast<uint8_t>(c);
        }
    }
};

constexpr Tables kTables;

struct Core {
    using Format = Iq1Bn;
    static constexpr int kStreams = 4;
    static constexpr int kTokens = 8, kTokenGroups = 2, kDirectTokens = 8;
    static constexpr bool kTokensArranged = true;

    // Of one of the five planes; what is stored behind the last block still fits.
    static int64_t plane_bytes(int64_t k) {
        return tb_round_up(k / Iq1Bn::kColumns * Iq1Bn::kBlockBytes + 3, 64);
    }
    static int64_t arranged_bytes(int64_t k) { return 5 * plane_bytes(k); }
    static void arrange(const int8_t* x, int64_t k, int8_t* to) {
        const int64_t plane = plane_bytes(k);
        TB_UNROLL
        for (int j = 0; j < 5; ++j) {
            _mm512_store_si512(to + (j + 1) * plane - 64, _mm512_setzero_si512());
        }
        for (; k > 0; k -= Iq1Bn::kColumns, x += Iq1Bn::kColumns, to += Iq1Bn::kBlockBytes) {
            const __m512i v = _mm512_load_si512(x);
            TB_UNROLL
            for (int j = 0; j < 5; ++j) {
                const __mmask64 exist = (1 << (j < 4 ? 13 : 12)) - 1;
                const __m512i index = _mm512_load_si512(kTables.plane[j]);
                const __m512i of = _mm512_maskz_permutexvar_epi8(exist, index, v);
                _mm_storeu_si128(reinterpret_cast<__m128i*>(to + j * plane),
                                 _mm512_castsi512_si128(of));
            }
        }
    }

    template <int R>
    __attribute__((always_inline)) static void step(__m512i (&a)[R], __m512i (&b)[R],
                                                    __m512i (&v)[R], const int8_t* x,
                                                    int64_t plane) {
        TB_UNROLL
        for (int j = 4; j >= 0; --j) {
            const __m512i xs = _mm512_load_si512(x + j * plane);
            TB_UNROLL
            for (int r = 0; r < R; ++r) {
                dot4(a[r], v[r], xs);
                v[r] = times_three(v[r]);
                dot4(b[r], v[r], xs);
            }
        }
    }

    // R rows of `bytes` <= 64 * kSafeSteps packed bytes, added to sum.
    template <int R, bool Prefetch>
    __attribute__((always_inline)) static void some_bytes(const uint8_t* p, int64_t ldg,
                                                          int64_t bytes, const int8_t* x,
                                                          int64_t plane, __m512i (&sum)[R]) {
        __m512i a[R], b[R], v[R];
        TB_UNROLL
        for (int r = 0; r < R; ++r) a[r] = b[r] = _mm512_setzero_si512();
        for (; bytes >= 64; bytes -= 64, p += 64, x += 64) {
            TB_UNROLL
            for (int r = 0; r < R; ++r) {
                if (Prefetch) fetch_ahead(p + r * ldg);
                v[r] = _mm512_loadu_si512(p + r * ldg);
            }
            step<R>(a, b, v, x, plane);
        }
        if (bytes > 0) {
            const __mmask64 exist = (uint64_t{1} << bytes) - 1;
            TB_UNROLL
            for (int r = 0; r < R; ++r) v[r] = _mm512_maskz_loadu_epi8(exist, p + r * ldg);
            step<R>(a, b, v, x, plane);
        }
        TB_UNROLL
        for (int r = 0; r < R; ++r) {
            const __m512i three = _mm512_add_epi32(_mm512_add_epi32(a[r], a[r]), a[r]);
            sum[r] = _mm512_add_epi32(sum[r], _mm512_srai_epi32(_mm512_sub_epi32(three, b[r]), 8));
        }
    }

    template <int R, bool Prefetch>
    __attribute__((always_inline)) static void run(const uint8_t* row, int64_t ldg, int64_t k,
                                                   const int8_t* x, int32_t (&out)[R][1]) {
        const uint8_t* p = row + Iq1Bn::kRowOverhead;
        const int64_t plane = plane_bytes(k);
        __m512i sum[R];
        TB_UNROLL
        for (int r = 0; r < R; ++r) sum[r] = _mm512_setzero_si512();
        int64_t bytes = k / Iq1Bn::kColumns * Iq1Bn::kBlockBytes;
        for (constexpr int64_t kMost = 64 * kSafeSteps; bytes > 0; bytes -= kMost) {
            some_bytes<R, Prefetch>(p, ldg, bytes < kMost ? bytes : kMost, x, plane, sum);
            p += kMost;
            x += kMost;
        }
        sum_each<R>(sum, out[0]);
    }

    // 64 packed bytes of R rows with T tokens, digit by digit.
    template <int R, int T>
    __attribute__((always_inline)) static void step_tokens(__m512i (&acc)[T][R], __m512i (&v)[R],
                                                           const int8_t* x, int64_t ldx,
                                                           int64_t plane) {
        TB_UNROLL
        for (int j = 4; j >= 0; --j) {
            __m512i codes[R];
            TB_UNROLL
            for (int r = 0; r < R; ++r) {
                codes[r] = digit_codes(v[r]);
                if (j > 0) v[r] = times_three(v[r]);
            }
            TB_UNROLL
            for (int t = 0; t < T; ++t) {
                const __m512i xs = _mm512_load_si512(x + t * ldx + j * plane);
                TB_UNROLL
                for (int r = 0; r < R; ++r) dot4(acc[t][r], codes[r], xs);
            }
        }
    }

    template <int R, int T>
    static void run_tokens(const uint8_t* row, int64_t ldg, int64_t k, const int8_t* x, int64_t ldx,
                           int32_t (&out)[T][R][1]) {
        const uint8_t* p = row + Iq1Bn::kRowOverhead;
        const int64_t plane = plane_bytes(k);
        __m512i acc[T][R], v[R];
        TB_UNROLL
        for (int t = 0; t < T; ++t) {
            TB_UNROLL
            for (int r = 0; r < R; ++r) acc[t][r] = _mm512_setzero_si512();
        }
        int64_t bytes = k / Iq1Bn::kColumns * Iq1Bn::kBlockBytes;
        for (; bytes >= 64; bytes -= 64, p += 64, x += 64) {
            TB_UNROLL
            for (int r = 0; r < R; ++r) v[r] = _mm512_loadu_si512(p + r * ldg);
            step_tokens<R, T>(acc, v, x, ldx, plane);
        }
        if (bytes > 0) {
            const __mmask64 exist = (uint64_t{1} << bytes) - 1;
            TB_UNROLL
            for (int r = 0; r < R; ++r) v[r] = _mm512_maskz_loadu_epi8(exist, p + r * ldg);
            step_tokens<R, T>(acc, v, x, ldx, plane);
        }
        TB_UNROLL
        for (int t = 0; t < T; ++t) sum_each<R>(acc[t], out[t][0]);
    }
};

struct Unpack {
    static void rows(const tb_shape& s, const uint8_t* packed, int64_t n, int64_t last, int64_t k,
                     int64_t columns, uint8_t* to) {
        const Spread spread;
        const uint8_t* block[16];
        for (int64_t i = 0; i < 16; ++i) {
            block[i] = group_of<Iq1Bn>(s, packed, n + i < last ? n + i : last) +
                       Iq1Bn::kRowOverhead + k / Iq1Bn::kColumns * Iq1Bn::kBlockBytes;
        }
        for (int64_t at = 0; columns > 0; columns -= 64, at += Iq1Bn::kBlockBytes, to += 64 * 64) {
            __m512i v[16];
            TB_UNROLL_16
            for (int i = 0; i < 16; ++i) v[i] = spread.codes(block[i] + at);
            transpose16(v);
            TB_UNROLL_16
            for (int i = 0; i < 16; ++i) _mm512_store_si512(to + 4 * i * 64, v[i]);
        }
    }
};

void product(const tb_product* p) {
    multiply_groups_or_panels<Core, Unpack>(p, nullptr);
}
void accumulate(const tb_product* p) {
    multiply_groups_or_panels<Core, Unpack>(p, p->acc);
}

void published(const tb_product* p) {
    phase_directly_or_panels<PhaseCore, Unpack, 4>(p);
}

constexpr tb_kernel kKernel = with_prefetch(trit_blocks_descriptor<Iq1Bn>(
    "iq1_bn_avx512vbmi", "avx512vbmi", TB_ISA_AVX512VBMI,
    "ik_llama.cpp's five trits a byte, multiplied as packed, vpdpbusd", 4,
    arranged_or_panel_scratch<Core>, product, product, accumulate));
constexpr tb_kernel kPublished = with_prefetch(phase_descriptor<Iq1Bn, 4>(
    "iq1_bn_avx512vbmi_q8k64", "avx512vbmi", TB_ISA_AVX512VBMI,
    "ik_llama.cpp's five trits a byte x its Q8_K64, multiplied as packed, vpdpbusd", 2,
    phase_or_panel_scratch<PhaseCore>, published, published));
// The exact one last: it is taken where none is named.
constexpr const tb_kernel* kKernels[] = {&kPublished, &kKernel};

}  // namespace

extern "C" const tb_kernel_table tb_table_iq1_bn_avx512vbmi;
const tb_kernel_table tb_table_iq1_bn_avx512vbmi = {TB_ABI_VERSION, sizeof(tb_kernel), 2, kKernels};
