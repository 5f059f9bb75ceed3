// tq1_0 with AVX-512 VNNI. The layout is drawn in layout.h.
//
// GEMV: digits never leave their bytes. With v0 a byte as stored and v(n+1) = 3 v(n) mod 256, code
// n is what is carried, (3 v(n) - v(n+1)) / 256, so that over all bytes
//
//   sum of code n * x(n) = (3 sum of v(n) x(n) - sum of v(n+1) x(n)) / 256
//
// and both sums are vpdpbusd of whole bytes: per 64 bytes (320 weights), 10 vpaddb triple five
// times, 10 vpdpbusd add v(n) x(n) to A and v(n+1) x(n) to B, and once, at the end of the row, each
// lane is (3 A - B) / 256. 2 instructions per 32 weights, where finding the codes takes 2.8.
//
// Of a block, the first 32 bytes of two rows are the halves of a register, and the 16 bytes behind
// them of four rows its quarters; the activations are broadcast as they are loaded. So are the last
// 4 bytes of four rows, one dword in each quarter multiplied by 1, 3, 9 and 27. Four rows of a
// block (216 bytes) are 77 vector instructions, 2.4 per 32 weights: 38 cycles on two ports of 512
// bits (Intel; Zen 4 as well, in halves).
//
// Overflow: vpdpbusd wraps, and so may A and B: only 3 A - B must be right. It is 256 times a sum
// of codes, in a lane at most 24 products of 2 * 128 a block (activations of -128 included): 1.6e6
// a block, so that 1024 blocks stay within 2^31. The division is exact.
//
// GEMM: see trit_blocks/gemm_panel.h.
#include "kernels/trit_blocks/gemm_panel.h"

#include "kernels/tq1_0/layout.h"

namespace {

constexpr int64_t kSafeBlocks = 1024;

inline __m128i load16(const void* p) {
    return _mm_loadu_si128(static_cast<const __m128i*>(p));
}
inline __m512i both_halves(const int8_t* x) {
    return _mm512_broadcast_i64x4(_mm256_load_si256(reinterpret_cast<const __m256i*>(x)));
}
inline __m512i all_quarters(const int8_t* x) {
    return _mm512_broadcast_i32x4(_mm_load_si128(reinterpret_cast<const __m128i*>(x)));
}
inline __m512i tripled(__m512i v) {
    return _mm512_add_epi8(v, _mm512_add_epi8(v, v));
}

// The sums of v(n) x(n) and of v(n+1) x(n).
struct Carried {
    __m512i before = _mm512_setzero_si512(), after = _mm512_setzero_si512();

    // Codes times activations.
    __m512i sums() const {
        const __m512i thrice = _mm512_add_epi32(before, _mm512_add_epi32(before, before));
        return _mm512_srai_epi32(_mm512_sub_epi32(thrice, after), 8);
    }
};

// The first 32 bytes of `Rows` = 2 rows, or the next 16 of 4; a missing row repeats the last.
template <int R>
inline __m512i whole_of(const uint8_t* block, int64_t ldg, int pair) {
    const int64_t a = 2 * pair, b = a + 1 < R ? a + 1 : a;
    const auto half = [&](int64_t r) {
        return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(block + r * ldg));
    };
    return _mm512_inserti64x4(_mm512_castsi256_si512(half(a)), half(b), 1);
}
template <int R>
inline __m512i part_of(const uint8_t* block, int64_t ldg) {
    const int64_t r1 = R > 1 ? ldg : 0, r2 = R > 2 ? 2 * ldg : 0, r3 = R > 3 ? 3 * ldg : 0;
    const uint8_t* p = block + 32;
    __m512i v = _mm512_castsi128_si512(load16(p));
    v = _mm512_inserti32x4(v, load16(p + r1), 1);
    v = _mm512_inserti32x4(v, load16(p + r2), 2);
    return _mm512_inserti32x4(v, load16(p + r3), 3);
}
// Byte 4n + m of a quarter is byte m of the last four on its way to digit n.
template <int R>
inline __m512i last_of(const uint8_t* block, int64_t ldg) {
    int32_t of_row[4];
    for (int64_t r = 0; r < 4; ++r) memcpy(of_row + r, block + 48 + (r < R ? r : 0) * ldg, 4);
    __m512i v = _mm512_set1_epi32(of_row[0]);
    v = _mm512_mask_set1_epi32(v, 0x00f0, of_row[1]);
    v = _mm512_mask_set1_epi32(v, 0x0f00, of_row[2]);
    v = _mm512_mask_set1_epi32(v, 0xf000, of_row[3]);
    const __m512i by_even =
        _mm512_broadcast_i32x4(_mm_setr_epi8(1, 0, 1, 0, 3, 0, 3, 0, 9, 0, 9, 0, 27, 0, 27, 0));
    const __m512i by_odd =
        _mm512_broadcast_i32x4(_mm_setr_epi8(0, 1, 0, 1, 0, 3, 0, 3, 0, 9, 0, 9, 0, 27, 0, 27));
    const __m512i even = _mm512_maddubs_epi16(v, by_even);
    const __m512i odd = _mm512_slli_epi16(_mm512_maddubs_epi16(v, by_odd), 8);
    return _mm512_mask_blend_epi8(0xaaaaaaaaaaaaaaaa, even, odd);
}

struct Core {
    using Format = Tq10;
    static constexpr int kStreams = 4;

    // `count` <= kSafeBlocks blocks of R rows; lane 4 r of the result is the sum of row r.
    template <int R, bool Prefetch>
    __attribute__((always_inline)) static __m512i some_blocks(const uint8_t* block, int64_t ldg,
                                                              const int8_t* x, int64_t count) {
        constexpr int kPairs = (R + 1) / 2;
        Carried of_pairs[kPairs], of_parts;
        for (; count != 0; --count, block += Tq10::kBlockBytes, x += 256) {
            __m512i whole[kPairs], part = part_of<R>(block, ldg);
            TB_UNROLL
            for (int i = 0; i < kPairs; ++i) whole[i] = whole_of<R>(block, ldg, i);
            TB_UNROLL
            for (int r = 0; Prefetch && r < R; ++r) fetch_ahead(block + r * ldg);
            TB_UNROLL
            for (int n = 0; n < 5; ++n) {
                const __m512i xs = both_halves(x + 32 * n);
                TB_UNROLL
                for (int i = 0; i < kPairs; ++i) {
                    dot4(of_pairs[i].before, whole[i], xs);
                    whole[i] = tripled(whole[i]);
                    dot4(of_pairs[i].after, whole[i], xs);
                }
                const __m512i xp = all_quarters(x + 160 + 16 * n);
                dot4(of_parts.before, part, xp);
                part = tripled(part);
                dot4(of_parts.after, part, xp);
            }
            const __m512i last = last_of<R>(block, ldg), xl = all_quarters(x + 240);
            dot4(of_parts.before, last, xl);
            dot4(of_parts.after, tripled(last), xl);
        }
        const __m512i a = of_pairs[0].sums(), b = of_pairs[kPairs - 1].sums();
        const __m512i even = _mm512_shuffle_i32x4(a, b, 0x88);  // of each row, in its quarter
        const __m512i odd = _mm512_shuffle_i32x4(a, b, 0xdd);
        __m512i sum = _mm512_add_epi32(_mm512_add_epi32(even, odd), of_parts.sums());
        sum = _mm512_add_epi32(sum, _mm512_shuffle_epi32(sum, _MM_PERM_BADC));
        return _mm512_add_epi32(sum, _mm512_shuffle_epi32(sum, _MM_PERM_CDAB));
    }

    template <int R, bool Prefetch>
    __attribute__((always_inline)) static void run(const uint8_t* row, int64_t ldg, int64_t k,
                                                   const int8_t* x, int32_t (&out)[R][1]) {
        __m512i sum = _mm512_setzero_si512();
        for (int64_t blocks = k / 256; blocks > 0; blocks -= kSafeBlocks) {
            const int64_t count = blocks < kSafeBlocks ? blocks : kSafeBlocks;
            sum = _mm512_add_epi32(sum, some_blocks<R, Prefetch>(row, ldg, x, count));
            row += count * Tq10::kBlockBytes;
            x += count * 256;
        }
        alignas(64) int32_t lanes[16];
        _mm512_store_si512(lanes, sum);
        for (int r = 0; r < R; ++r) out[r][0] = lanes[4 * r];
    }
};

void product(const tb_product* p) {
    multiply_groups_or_panels<Core>(p, nullptr);
}
void accumulate(const tb_product* p) {
    multiply_groups_or_panels<Core>(p, p->acc);
}

constexpr tb_kernel kKernel = with_prefetch(trit_blocks_descriptor<Tq10>(
    "tq1_0_avx512vnni", "avx512vnni", TB_ISA_AVX512VNNI,
    "llama.cpp's five trits in a byte, by what tripling carries, vpdpbusd", 4, panel_scratch,
    product, product, accumulate));
constexpr const tb_kernel* kKernels[] = {&kKernel};

}  // namespace

extern "C" const tb_kernel_table tb_table_tq1_0_avx512vnni;
const tb_kernel_table tb_table_tq1_0_avx512vnni = {TB_ABI_VERSION, sizeof(tb_kernel), 1, kKernels};
