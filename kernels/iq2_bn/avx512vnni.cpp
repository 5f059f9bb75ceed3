// iq2_bn with AVX-512 VNNI. The layout is drawn in layout.h.
//
// GEMV, per 256 weights (64 bytes, four blocks): byte 16b + j has columns 64b + 16f + j in its
// fields f, which are used in place:
//
//   v        = 64 bytes                  fields 1:0 | 3:2 | 5:4 | 7:6
//   acc[f]  += vpdpbusd(v & mask[f], x[f])       masks 0x03, 0x0C, 0x30, 0xC0
//   sum      = acc0 + acc1/4 + acc2/16 + acc3/64   once, at the end of the row
//
// 1 instruction per 32 weights, as for i2s, and as there bound by the ports of vpand and vpdpbusd
// on Intel (64 weights a cycle) and by vpdpbusd on Zen 4, while rows are in cache. The activations
// of a field are 16 here, 16 there: they are brought together once a call, in a copy of x. Four
// rows at a time share the four activation registers: 16 sums, 4 masks and 6 operands of the 32
// registers.
//
// Overflow: field 7:6 enters as code * 64 <= 128; a lane adds 4 * 128 * 128 = 2^16 per 256 weights,
// activations of -128 included, K/256 times: 256 * K < 2^31 for K < 2^23. The divisions are exact:
// every term is a multiple.
//
// GEMM of up to 32 tokens: codes are taken apart field by field, for four rows and four tokens: 64
// vpdpbusd, 28 shifts and ands and 16 loads for 256 columns. On Zen 4 vpdpbusd is the bound, and a
// panel would cost more to unpack than it saves; on Intel, whose two ports do the shifts too, 70%
// of the peak are left. GEMM of more: see dot/panel64.h. Rows are transposed as packed dwords,
// before the fields are taken apart.
//
// As published (trit_blocks/phase.h): phases are of 4 columns, so that dword i of every 128-bit
// lane is phase i, and only the last step of a row is another.
//
// Source of the layout: ik_llama.cpp; of fields used in place: i2s/avx512vnni.cpp.
#include "kernels/trit_blocks/phase_panel.h"

#include "kernels/iq2_bn/layout.h"

namespace {

// The 16-byte parts of 64 bytes that exist, as a mask for loads.
inline __mmask64 parts_mask(int64_t bytes) {
    return bytes >= 64 ? ~uint64_t{0} : (uint64_t{1} << bytes) - 1;
}

// The sum of each register, or as published, of each phase: dword i of every 128-bit lane is of
// phase i.
template <int R>
inline void put_sums(const __m512i (&v)[R], int32_t (&out)[R][1]) {
    sum_each<R>(v, out[0]);
}
template <int R>
inline void put_sums(const __m512i (&v)[R], int32_t (&out)[R][kPhases][1]) {
    TB_UNROLL
    for (int r = 0; r < R; ++r) {
        const __m256i s =
            _mm256_add_epi32(_mm512_castsi512_si256(v[r]), _mm512_extracti64x4_epi64(v[r], 1));
        _mm_storeu_si128(reinterpret_cast<__m128i*>(out[r]),
                         _mm_add_epi32(_mm256_castsi256_si128(s), _mm256_extracti128_si256(s, 1)));
    }
}

struct Core {
    using Format = Iq2Bn;
    static constexpr int kStreams = 4;
    static constexpr int kTokens = 4, kTokenGroups = 4, kDirectTokens = 32;
    static constexpr bool kTokensArranged = true;

    // Per 256 columns: those of field 0 of four blocks, of field 1, 2, 3.
    static int64_t arranged_bytes(int64_t k) { return tb_round_up(k, 256); }
    static void arrange(const int8_t* x, int64_t k, int8_t* to) {
        for (; k > 0; k -= 256, x += 256, to += 256) {
            __m512i v[4];
            TB_UNROLL
            for (int b = 0; b < 4; ++b) {
                v[b] = 64 * b < k ? _mm512_load_si512(x + 64 * b) : _mm512_setzero_si512();
            }
            const __m512i a = _mm512_shuffle_i32x4(v[0], v[1], 0x44);
            const __m512i b = _mm512_shuffle_i32x4(v[2], v[3], 0x44);
            const __m512i c = _mm512_shuffle_i32x4(v[0], v[1], 0xee);
            const __m512i d = _mm512_shuffle_i32x4(v[2], v[3], 0xee);
            _mm512_store_si512(to, _mm512_shuffle_i32x4(a, b, 0x88));
            _mm512_store_si512(to + 64, _mm512_shuffle_i32x4(a, b, 0xdd));
            _mm512_store_si512(to + 128, _mm512_shuffle_i32x4(c, d, 0x88));
            _mm512_store_si512(to + 192, _mm512_shuffle_i32x4(c, d, 0xdd));
        }
    }

    template <int R>
    static void step(__m512i (&acc)[R][4], const __m512i (&v)[R], const int8_t* x) {
        const __m512i mask[4] = {_mm512_set1_epi8(0x03), _mm512_set1_epi8(0x0c),
                                 _mm512_set1_epi8(0x30), _mm512_set1_epi8(static_cast<char>(0xc0))};
        TB_UNROLL
        for (int f = 0; f < 4; ++f) {
            const __m512i xs = _mm512_load_si512(x + 64 * f);
            TB_UNROLL
            for (int r = 0; r < R; ++r) dot4(acc[r][f], _mm512_and_si512(v[r], mask[f]), xs);
        }
    }

    // Out: int32_t[1] or int32_t[kPhases][1], see put_sums.
    template <int R, bool Prefetch, class Out>
    __attribute__((always_inline)) static void run(const uint8_t* row, int64_t ldg, int64_t k,
                                                   const int8_t* x, Out (&out)[R]) {
        const uint8_t* p = row + Iq2Bn::kRowOverhead;
        __m512i acc[R][4], v[R];
        TB_UNROLL
        for (int r = 0; r < R; ++r) {
            TB_UNROLL
            for (int f = 0; f < 4; ++f) acc[r][f] = _mm512_setzero_si512();
        }
        for (; k >= 256; k -= 256, p += 64, x += 256) {
            TB_UNROLL
            for (int r = 0; r < R; ++r) {
                if (Prefetch) fetch_ahead(p + r * ldg);
                v[r] = _mm512_loadu_si512(p + r * ldg);
            }
            step<R>(acc, v, x);
        }
        if (k > 0) {
            TB_UNROLL
            for (int r = 0; r < R; ++r) {
                v[r] = _mm512_maskz_loadu_epi8(parts_mask(k / 4), p + r * ldg);
            }
            step<R>(acc, v, x);
        }
        __m512i sum[R];
        TB_UNROLL
        for (int r = 0; r < R; ++r) {
            const __m512i low = _mm512_add_epi32(acc[r][0], _mm512_srai_epi32(acc[r][1], 2));
            const __m512i high =
                _mm512_add_epi32(_mm512_srai_epi32(acc[r][2], 4), _mm512_srai_epi32(acc[r][3], 6));
            sum[r] = _mm512_add_epi32(low, high);
        }
        put_sums(sum, out);
    }

    // One step of R rows with T tokens: a field of all rows is taken apart for all tokens.
    template <int R, int T>
    static void step_tokens(__m512i (&acc)[T][R], const __m512i (&v)[R], const int8_t* x,
                            int64_t ldx) {
        const __m512i mask = _mm512_set1_epi8(0x03);
        TB_UNROLL
        for (int f = 0; f < 4; ++f) {
            __m512i codes[R];
            TB_UNROLL
            for (int r = 0; r < R; ++r) {
                const auto shift = static_cast<unsigned>(2 * f);
                codes[r] = _mm512_and_si512(f == 0 ? v[r] : _mm512_srli_epi16(v[r], shift), mask);
            }
            TB_UNROLL
            for (int t = 0; t < T; ++t) {
                const __m512i xs = _mm512_load_si512(x + t * ldx + 64 * f);
                TB_UNROLL
                for (int r = 0; r < R; ++r) dot4(acc[t][r], codes[r], xs);
            }
        }
    }

    template <int R, int T, class Out>
    static void run_tokens(const uint8_t* row, int64_t ldg, int64_t k, const int8_t* x, int64_t ldx,
                           Out (&out)[T][R]) {
        const uint8_t* p = row + Iq2Bn::kRowOverhead;
        __m512i acc[T][R], v[R];
        TB_UNROLL
        for (int t = 0; t < T; ++t) {
            TB_UNROLL
            for (int r = 0; r < R; ++r) acc[t][r] = _mm512_setzero_si512();
        }
        for (; k >= 256; k -= 256, p += 64, x += 256) {
            TB_UNROLL
            for (int r = 0; r < R; ++r) {
                fetch_ahead(p + r * ldg);
                v[r] = _mm512_loadu_si512(p + r * ldg);
            }
            step_tokens<R, T>(acc, v, x, ldx);
        }
        if (k > 0) {
            TB_UNROLL
            for (int r = 0; r < R; ++r) {
                v[r] = _mm512_maskz_loadu_epi8(parts_mask(k / 4), p + r * ldg);
            }
            step_tokens<R, T>(acc, v, x, ldx);
        }
        TB_UNROLL
        for (int t = 0; t < T; ++t) put_sums(acc[t], out[t]);
    }
};

struct Unpack {
    // Packed dwords are transposed, then their fields taken apart: dword d of 64 bytes has columns
    // 64 (d / 4) + 16 f + 4 (d % 4) .. + 3 in field f.
    static void rows(const tb_shape& s, const uint8_t* packed, int64_t n, int64_t last, int64_t k,
                     int64_t columns, uint8_t* to) {
        const __m512i mask = _mm512_set1_epi8(0x03);
        const uint8_t* row[16];
        for (int64_t i = 0; i < 16; ++i) {
            row[i] = group_of<Iq2Bn>(s, packed, n + i < last ? n + i : last) + Iq2Bn::kRowOverhead +
                     k / 4;
        }
        for (int64_t c = 0; c < columns; c += 256, to += 256 * 64) {
            const __mmask64 parts = parts_mask((columns - c) / 4);
            __m512i v[16];
            TB_UNROLL_16
            for (int i = 0; i < 16; ++i) v[i] = _mm512_maskz_loadu_epi8(parts, row[i] + c / 4);
            transpose16(v);
            TB_UNROLL_16
            for (int d = 0; d < 16; ++d) {
                if (c + 64 * (d / 4) >= columns) break;
                uint8_t* t = to + (16 * (d / 4) + d % 4) * 256;
                _mm512_store_si512(t, _mm512_and_si512(v[d], mask));
                _mm512_store_si512(t + 4 * 256, _mm512_and_si512(_mm512_srli_epi16(v[d], 2), mask));
                _mm512_store_si512(t + 8 * 256, _mm512_and_si512(_mm512_srli_epi16(v[d], 4), mask));
                _mm512_store_si512(t + 12 * 256,
                                   _mm512_and_si512(_mm512_srli_epi16(v[d], 6), mask));
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
    phase_directly_or_panels<Core, Unpack, 4>(p);
}

constexpr tb_kernel kKernel = with_prefetch(
    trit_blocks_descriptor<Iq2Bn>("iq2_bn_avx512vnni", "avx512vnni", TB_ISA_AVX512VNNI,
                                  "ik_llama.cpp's 2-bit codes used in place, vpdpbusd", 4,
                                  arranged_or_panel_scratch<Core>, product, product, accumulate));
constexpr tb_kernel kPublished = with_prefetch(
    phase_descriptor<Iq2Bn, 4>("iq2_bn_avx512vnni_q8k64", "avx512vnni", TB_ISA_AVX512VNNI,
                               "ik_llama.cpp's 2-bit codes x its Q8_K64, vpdpbusd", 4,
                               phase_or_panel_scratch<Core>, published, published));
// The exact one last: it is taken where none is named.
constexpr const tb_kernel* kKernels[] = {&kPublished, &kKernel};

}  // namespace

extern "C" const tb_kernel_table tb_table_iq2_bn_avx512vnni;
const tb_kernel_table tb_table_iq2_bn_avx512vnni = {TB_ABI_VERSION, sizeof(tb_kernel), 2, kKernels};
