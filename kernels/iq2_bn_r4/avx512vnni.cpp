// iq2_bn_r4 with AVX-512 VNNI. The layout is drawn in layout.h.
//
// GEMV, per 256 weights (64 bytes: 4 rows x 64 columns): a 128-bit lane is 16 columns, a dword in
// it a row, field f the f-th four of the columns. So the activations of field f are a dword of each
// lane of 64 activations, repeated, which is one vpshufd for all groups of rows:
//
//   x[f]     = vpshufd(64 activations, f f f f)
//   acc[f]  += vpdpbusd(v & mask[f], x[f])       masks 0x03, 0x0C, 0x30, 0xC0
//
// Four groups at a time: 36 instructions per 1024 weights, 1.13 per 32, all on two ports of Intel
// (57 weights a cycle); on Zen 4 vpdpbusd is the bound. 16 sums, 4 masks, 4 + 1 operands of the 32
// registers. Nothing is added up horizontally but four lanes, once for four rows.
//
// GEMM of up to 32 tokens: codes are taken apart field by field, for four groups and four tokens:
// 64 vpdpbusd, 16 vpshufd, 28 shifts and ands for 64 columns. On Zen 4 vpdpbusd is the bound. GEMM
// of more: see dot/panel64.h. A panel is a transpose of 128-bit lanes away (8 shuffles for 1024
// weights, where rows one after the other take 64).
//
// As published (trit_blocks/phase.h): phases are of 16 columns, so that a 128-bit lane is a phase
// and nothing is added up horizontally at all.
//
// Source of the layout and of vpshufd: ik_llama.cpp; of fields used in place: i2s/avx512vnni.cpp.
//
// Overflow: field 7:6 enters as code * 64 <= 128; a lane adds 4 * 128 * 128 = 2^16 per 64 columns,
// of which it sees four, activations of -128 included: 2^10 * K < 2^31 for K < 2^21. Hence sums are
// folded every 2^20 columns. The divisions are exact: every term is a multiple.
#include "kernels/trit_blocks/phase_panel.h"

#include "kernels/iq2_bn_r4/layout.h"

namespace {

constexpr int64_t kSafeColumns = int64_t{1} << 20;

// Dword f of each 128-bit lane, in all four of the lane.
template <int F>
inline __m512i spread(__m512i x) {
    return _mm512_shuffle_epi32(x, static_cast<_MM_PERM_ENUM>(F * 0x55));
}

// The four rows of a group: the sum of the 128-bit lanes. As published, a lane is a phase.
inline void put_rows(__m512i v, int32_t (&out)[4]) {
    const __m256i s = _mm256_add_epi32(_mm512_castsi512_si256(v), _mm512_extracti64x4_epi64(v, 1));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(out),
                     _mm_add_epi32(_mm256_castsi256_si128(s), _mm256_extracti128_si256(s, 1)));
}
inline void put_rows(__m512i v, int32_t (&out)[kPhases][4]) {
    _mm512_storeu_si512(out, v);
}

struct Core {
    using Format = Iq2BnR4;
    static constexpr int kStreams = 4;
    static constexpr int kTokens = 4, kTokenGroups = 4, kDirectTokens = 32;

    // R groups of k <= kSafeColumns columns, added to sum.
    template <int R, bool Prefetch>
    __attribute__((always_inline)) static void some_columns(const uint8_t* p, int64_t ldg,
                                                            int64_t k, const int8_t* x,
                                                            __m512i (&sum)[R]) {
        const __m512i mask[4] = {_mm512_set1_epi8(0x03), _mm512_set1_epi8(0x0c),
                                 _mm512_set1_epi8(0x30), _mm512_set1_epi8(static_cast<char>(0xc0))};
        __m512i acc[R][4];
        TB_UNROLL
        for (int r = 0; r < R; ++r) {
            TB_UNROLL
            for (int f = 0; f < 4; ++f) acc[r][f] = _mm512_setzero_si512();
        }
        for (; k > 0; k -= 64, p += 64, x += 64) {
            const __m512i v = _mm512_load_si512(x);
            const __m512i xs[4] = {spread<0>(v), spread<1>(v), spread<2>(v), spread<3>(v)};
            TB_UNROLL
            for (int r = 0; r < R; ++r) {
                if (Prefetch) fetch_ahead(p + r * ldg);
                const __m512i w = _mm512_loadu_si512(p + r * ldg);
                TB_UNROLL
                for (int f = 0; f < 4; ++f) dot4(acc[r][f], _mm512_and_si512(w, mask[f]), xs[f]);
            }
        }
        TB_UNROLL
        for (int r = 0; r < R; ++r) {
            const __m512i low = _mm512_add_epi32(acc[r][0], _mm512_srai_epi32(acc[r][1], 2));
            const __m512i high =
                _mm512_add_epi32(_mm512_srai_epi32(acc[r][2], 4), _mm512_srai_epi32(acc[r][3], 6));
            sum[r] = _mm512_add_epi32(sum[r], _mm512_add_epi32(low, high));
        }
    }

    // Out: int32_t[4] or int32_t[kPhases][4], see put_rows.
    template <int R, bool Prefetch, class Out>
    __attribute__((always_inline)) static void run(const uint8_t* group, int64_t ldg, int64_t k,
                                                   const int8_t* x, Out (&out)[R]) {
        const uint8_t* p = group + Iq2BnR4::kScaleBytes;
        __m512i sum[R];
        TB_UNROLL
        for (int r = 0; r < R; ++r) sum[r] = _mm512_setzero_si512();
        for (; k > 0; k -= kSafeColumns, p += kSafeColumns, x += kSafeColumns) {
            some_columns<R, Prefetch>(p, ldg, k < kSafeColumns ? k : kSafeColumns, x, sum);
        }
        TB_UNROLL
        for (int r = 0; r < R; ++r) put_rows(sum[r], out[r]);
    }

    // Field F of R groups with T tokens.
    template <int F, int R, int T>
    __attribute__((always_inline)) static void field(const __m512i (&w)[R], const int8_t* x,
                                                     int64_t ldx, __m512i (&acc)[T][R]) {
        const __m512i mask = _mm512_set1_epi8(0x03);
        __m512i codes[R];
        TB_UNROLL
        for (int r = 0; r < R; ++r) {
            codes[r] = _mm512_and_si512(F == 0 ? w[r] : _mm512_srli_epi16(w[r], 2 * F), mask);
        }
        TB_UNROLL
        for (int t = 0; t < T; ++t) {
            const __m512i xs = spread<F>(_mm512_load_si512(x + t * ldx));
            TB_UNROLL
            for (int r = 0; r < R; ++r) dot4(acc[t][r], codes[r], xs);
        }
    }

    template <int R, int T, class Out>
    static void run_tokens(const uint8_t* group, int64_t ldg, int64_t k, const int8_t* x,
                           int64_t ldx, Out (&out)[T][R]) {
        const uint8_t* p = group + Iq2BnR4::kScaleBytes;
        __m512i acc[T][R];
        TB_UNROLL
        for (int t = 0; t < T; ++t) {
            TB_UNROLL
            for (int r = 0; r < R; ++r) acc[t][r] = _mm512_setzero_si512();
        }
        for (; k > 0; k -= 64, p += 64, x += 64) {
            __m512i w[R];
            TB_UNROLL
            for (int r = 0; r < R; ++r) {
                fetch_ahead(p + r * ldg);
                w[r] = _mm512_loadu_si512(p + r * ldg);
            }
            field<0, R, T>(w, x, ldx, acc);
            field<1, R, T>(w, x, ldx, acc);
            field<2, R, T>(w, x, ldx, acc);
            field<3, R, T>(w, x, ldx, acc);
        }
        TB_UNROLL
        for (int t = 0; t < T; ++t) {
            TB_UNROLL
            for (int r = 0; r < R; ++r) put_rows(acc[t][r], out[t][r]);
        }
    }
};

struct Unpack {
    static void rows(const tb_shape& s, const uint8_t* packed, int64_t n, int64_t last, int64_t k,
                     int64_t columns, uint8_t* to) {
        if (n % 4 != 0) return UnpackGroups<Iq2BnR4>::rows(s, packed, n, last, k, columns, to);
        const __m512i mask = _mm512_set1_epi8(0x03);
        const uint8_t* group[4];
        for (int64_t i = 0; i < 4; ++i) {
            const int64_t row = n + 4 * i < last ? n + 4 * i : last;
            group[i] = group_of<Iq2BnR4>(s, packed, row) + Iq2BnR4::kScaleBytes + k;
        }
        for (int64_t c = 0; c < columns; c += 64, to += 64 * 64) {
            __m512i v[4];
            TB_UNROLL
            for (int i = 0; i < 4; ++i) v[i] = _mm512_loadu_si512(group[i] + c);
            const __m512i a = _mm512_shuffle_i32x4(v[0], v[1], 0x44);
            const __m512i b = _mm512_shuffle_i32x4(v[2], v[3], 0x44);
            const __m512i d = _mm512_shuffle_i32x4(v[0], v[1], 0xee);
            const __m512i e = _mm512_shuffle_i32x4(v[2], v[3], 0xee);
            v[0] = _mm512_shuffle_i32x4(a, b, 0x88);  // 16 columns of 16 rows
            v[1] = _mm512_shuffle_i32x4(a, b, 0xdd);
            v[2] = _mm512_shuffle_i32x4(d, e, 0x88);
            v[3] = _mm512_shuffle_i32x4(d, e, 0xdd);
            TB_UNROLL
            for (int l = 0; l < 4; ++l) {
                uint8_t* t = to + 4 * l * 256;
                _mm512_store_si512(t, _mm512_and_si512(v[l], mask));
                _mm512_store_si512(t + 256, _mm512_and_si512(_mm512_srli_epi16(v[l], 2), mask));
                _mm512_store_si512(t + 512, _mm512_and_si512(_mm512_srli_epi16(v[l], 4), mask));
                _mm512_store_si512(t + 768, _mm512_and_si512(_mm512_srli_epi16(v[l], 6), mask));
            }
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
    phase_directly_or_panels<Core, Unpack, 16>(p);
}

constexpr tb_kernel kKernel = with_prefetch(trit_blocks_descriptor<Iq2BnR4>(
    "iq2_bn_r4_avx512vnni", "avx512vnni", TB_ISA_AVX512VNNI,
    "ik_llama.cpp's 2-bit codes of four rows used in place, vpdpbusd", 16,
    arranged_or_panel_scratch<Core>, product, product, accumulate));
constexpr tb_kernel kPublished = with_prefetch(
    phase_descriptor<Iq2BnR4, 16>("iq2_bn_r4_avx512vnni_q8k16", "avx512vnni", TB_ISA_AVX512VNNI,
                                  "ik_llama.cpp's 2-bit codes of four rows x its Q8_K16, vpdpbusd",
                                  16, phase_or_panel_scratch<Core>, published, published));
// The exact one last: it is taken where none is named.
constexpr const tb_kernel* kKernels[] = {&kPublished, &kKernel};

}  // namespace

extern "C" const tb_kernel_table tb_table_iq2_bn_r4_avx512vnni;
const tb_kernel_table tb_table_iq2_bn_r4_avx512vnni = {TB_ABI_VERSION, sizeof(tb_kernel), 2,
                                                       kKernels};
