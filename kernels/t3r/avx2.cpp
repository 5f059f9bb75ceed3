// t3r with AVX2.
//
// GEMV, per 96 weights (32 bytes of codes u = c0 + 3 c1 + 9 c2, after unpacking 5 bits):
//
//   u                           an operand as it is, at most 26
//   pair  = u mod 9             c0 + 3 c1: min(u, u - 9, u - 18), what is negative being large
//   first = lookup of pair      c0
//
//   sums:  c1 = (pair's - first's) / 3,  c2 = (u's - pair's) / 9
//
// 5 operations make three operands of u, 3 vpmaddubsw and 3 vpaddw use them, and u costs 1 and in
// five of the eight codes of a step, 4 in two and 7 in one: 14.6 operations with the widening, 4.9
// per 32 weights. (Two lookups of four bits, one for each value of u's fifth bit, would take as
// many.)
//
// It is bound by them and not by memory: on Zen 4 four ports, 3.7 cycles per 96 weights (measured
// 4.3), half of its read bandwidth; on Intel, counted and not measured, three ports, 4.9 cycles,
// about three quarters: there as many weights a second as i2r, which memory binds, here fewer.
//
// Half a panel is walked 8 steps at a time, then the other half, which is in L1 by then: 3 sums, 3
// wide sums and the constants fit the 16 registers, those of both halves would not.
//
// Overflow (lanes/avx2.h): codes are widened every 4, pairs every 16 and c0 every 64.
//
// GEMM: byte codes, lanes/avx2.h.
#include "kernels/lanes/avx2.h"

#include "kernels/t3r/layout.h"

namespace {

constexpr int64_t kFirstSteps = 8;  // 64 codes: sums of c0
constexpr int64_t kPairSteps = 2;   // 16 codes: sums of c0 + 3 c1
static_assert(8 * kFirstSteps <= safe_steps(2) && 8 * kPairSteps <= safe_steps(8));
static_assert(4 <= safe_steps(26));  // and the codes themselves

// Code q of half a step, at most 26, byte by byte.
template <int Q>
inline __m256i code(const uint8_t* half) {
    const auto r = [&](int i) { return load32(half + 64 * i); };
    if constexpr (Q < 5) return _mm256_and_si256(r(Q), _mm256_set1_epi8(0x1f));
    if constexpr (Q == 5 || Q == 6) {
        const __m256i low = _mm256_srli_epi16(r(2 * Q - 10), 5);
        const __m256i high = _mm256_srli_epi16(r(2 * Q - 9), Q == 5 ? 3 : 2);
        return _mm256_and_si256(_mm256_xor_si256(low, high), _mm256_set1_epi8(0x1f));
    }
    // Bits 5 and 3:0: what is beyond 15 is 16 too much, what is not is below 16 and stays.
    const __m256i high = _mm256_srli_epi16(_mm256_xor_si256(r(1), r(3)), 2);
    const __m256i bits = _mm256_and_si256(_mm256_xor_si256(_mm256_srli_epi16(r(4), 5), high),
                                          _mm256_set1_epi8(0x2f));
    return _mm256_min_epu8(bits, _mm256_sub_epi8(bits, _mm256_set1_epi8(16)));
}

// c0 + 3 c1 of a code: its remainder by 9. What is subtracted in excess wraps to more than 200.
inline __m256i pair_of(__m256i u) {
    const __m256i less = _mm256_sub_epi8(u, _mm256_set1_epi8(9));
    const __m256i least = _mm256_sub_epi8(u, _mm256_set1_epi8(18));
    return _mm256_min_epu8(_mm256_min_epu8(u, less), least);
}

inline __m256i table(char c0, char c1, char c2, char c3, char c4, char c5, char c6, char c7,
                     char c8) {
    return _mm256_setr_epi8(c0, c1, c2, c3, c4, c5, c6, c7, c8, 0, 0, 0, 0, 0, 0, 0,  //
                            c0, c1, c2, c3, c4, c5, c6, c7, c8, 0, 0, 0, 0, 0, 0, 0);
}
inline __m256i first_of(__m256i pair) {
    return _mm256_shuffle_epi8(table(0, 1, 2, 0, 1, 2, 0, 1, 2), pair);
}
inline __m256i second_of(__m256i pair) {
    return _mm256_shuffle_epi8(table(0, 0, 0, 1, 1, 1, 2, 2, 2), pair);
}

struct Core {
    static constexpr int kStreams = 1;
    static constexpr int64_t kFewTokens = 2;

    struct Sums {
        __m256i code, pair, first;
    };

    template <int Q>
    static void multiply(const uint8_t* half, const int8_t* x, Sums& s) {
        const __m256i four = broadcast4(x + 4 * Q);
        const __m256i u = code<Q>(half);
        const __m256i pair = pair_of(u);
        dot2(s.code, u, four);
        dot2(s.pair, pair, four);
        dot2(s.first, first_of(pair), four);
    }

    // At most kFirstSteps steps of half a panel.
    template <bool Prefetch>
    __attribute__((noinline)) static void half(const uint8_t* p, const int8_t* x, int64_t steps,
                                               Sums& wide) {
        Sums s, w = wide;
        s.first = _mm256_setzero_si256();
        for (int64_t k = 0; k < steps;) {
            s.pair = _mm256_setzero_si256();
            for (const int64_t end = at_most(k + kPairSteps, steps); k < end; ++k) {
                if (Prefetch) {
                    TB_UNROLL
                    for (int i = 0; i < 5; ++i) fetch_ahead(p + 64 * i);
                }
                s.code = _mm256_setzero_si256();
                multiply<0>(p, x, s);
                multiply<1>(p, x, s);
                multiply<5>(p, x, s);
                multiply<2>(p, x, s);
                w.code = widen(w.code, s.code);
                s.code = _mm256_setzero_si256();
                multiply<3>(p, x, s);
                multiply<6>(p, x, s);
                multiply<4>(p, x, s);
                multiply<7>(p, x, s);
                w.code = widen(w.code, s.code);
                p += Format::kStepBytes;
                x += Format::kColumns;
            }
            w.pair = widen(w.pair, s.pair);
        }
        w.first = widen(w.first, s.first);
        wide = w;
    }

    template <bool Prefetch>
    static void panel(const uint8_t* p, const int8_t* x, int64_t steps, int32_t* sums) {
        Sums wide[2];
        for (int h = 0; h < 2; ++h) {
            wide[h].code = wide[h].pair = wide[h].first = _mm256_setzero_si256();
        }
        for (int64_t k = 0; k < steps; k += kFirstSteps) {
            const uint8_t* step = p + k * Format::kStepBytes;
            const int8_t* columns = x + k * Format::kColumns;
            const int64_t count = at_most(kFirstSteps, steps - k);
            half<Prefetch>(step, columns, count, wide[0]);
            half<false>(step + 32, columns, count, wide[1]);
        }
        // Exact divisions, as multiplications by the inverses of 3 and 9 modulo 2^32.
        const __m256i third = _mm256_set1_epi32(static_cast<int>(0xaaaaaaabu));
        const __m256i ninth = _mm256_set1_epi32(0x38e38e39);
        for (int h = 0; h < 2; ++h) {
            const Sums& w = wide[h];
            int32_t* to = sums + 8 * h;
            store32(to, w.first);
            store32(to + 16, _mm256_mullo_epi32(_mm256_sub_epi32(w.pair, w.first), third));
            store32(to + 32, _mm256_mullo_epi32(_mm256_sub_epi32(w.code, w.pair), ninth));
        }
    }

    template <int S, bool Prefetch>
    static void run(const uint8_t* p, int64_t apart, const int8_t* x, int64_t steps,
                    int32_t* sums) {
        for (int s = 0; s < S; ++s) panel<Prefetch>(p + s * apart, x, steps, sums + s * 48);
    }
};

struct Unpack {
    template <int Q>
    static void quad(const uint8_t* half, uint8_t* codes) {
        const __m256i u = code<Q>(half);
        const __m256i pair = pair_of(u);
        uint8_t* to = codes + 64 * Q;
        store32(to, first_of(pair));
        store32(to + kFieldBytes, second_of(pair));
        // 9 c2 is 0, 9 or 18, of which a lookup takes the low four bits: 0, 9 or 2.
        const __m256i nines = _mm256_sub_epi8(u, pair);
        store32(
            to + 2 * kFieldBytes,
            _mm256_shuffle_epi8(_mm256_setr_epi8(0, 0, 2, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0,  //
                                                 0, 0, 2, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0),
                                nines));
    }

    static void step(const uint8_t* bytes, uint8_t* codes) {
        for (int h = 0; h < 2; ++h, bytes += 32, codes += 32) {
            quad<0>(bytes, codes);
            quad<1>(bytes, codes);
            quad<2>(bytes, codes);
            quad<3>(bytes, codes);
            quad<4>(bytes, codes);
            quad<5>(bytes, codes);
            quad<6>(bytes, codes);
            quad<7>(bytes, codes);
        }
    }
};

void multiply(const tb_product* p) {
    lanes_product<Format, Core, LanesAvx2Tile, Unpack>(p, nullptr);
}
void accumulate(const tb_product* p) {
    lanes_product<Format, Core, LanesAvx2Tile, Unpack>(p, p->acc);
}

constexpr tb_kernel kKernel = with_prefetch(lanes_descriptor<Format>(
    "t3r_avx2", "avx2", TB_ISA_AVX2, "three trits by remainders, vpmaddubsw",
    lanes_scratch<Format, Core>, multiply, multiply, accumulate));
constexpr const tb_kernel* kKernels[] = {&kKernel};

}  // namespace

extern "C" const tb_kernel_table tb_table_t3r_avx2;
const tb_kernel_table tb_table_t3r_avx2 = {TB_ABI_VERSION, sizeof(tb_kernel), 1, kKernels};
