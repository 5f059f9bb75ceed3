// t5r with AVX2.
//
// GEMV, per 160 weights (32 bytes v, half a register of the layout). With low = v & 7 and m = v >>
// 3 & 31, which is r + 8 e in a regular byte and 24 to 31 in an escape, everything that an escape
// changes is a function of m plus, somewhere, low:
//
//                    regular    p = 8    r = 8    both
//   p                low        8        low      8        max(low, table)
//   r                m & 7      low      8        8        (m & 7) + table + (low & table)
//   p + r + e        low is one of the three in each       low + table + table
//
// A table of m is two vpshufb: one by its low four bits and one by m - 16, which is negative, and
// gives zero, for m < 16. 16 operations make p, r and their sum with e; two lookups make c0 and c2.
// Five operands, 5 vpmaddubsw and 5 vpaddw: 28.6 operations with the widening, 5.7 per 32 weights.
//
// It is bound by them and not by memory: on Zen 4 four ports, 7.2 cycles per 160 weights (measured
// 9.4), 37% of its read bandwidth; on Intel, counted and not measured, three ports, 9.5 cycles, two
// thirds. With AVX2 i2r is faster; this needs a fifth less memory.
//
// A 64-entry lookup would know four of the trits at once, but needs a register of 64 bytes. Loads
// and first steps of a byte are done one round ahead, because the chain from load to sum is longer
// than what Zen 4's scheduler holds (GCC 12: 8% slower without). The round ahead of a panel's last
// is the next panel or the trailer, and is not used.
//
// Overflow (lanes/avx2.h): p + r + e is at most 18 and widened every 7 steps, p and r are at most
// 8, every 14, c0 and c2 at most 2, every 56.
//
// GEMM: byte codes, lanes/avx2.h.
#include "kernels/lanes/avx2.h"

#include "kernels/t5r/layout.h"

namespace {

constexpr int64_t kSumSteps = 7;    // p + r + e, at most 18
constexpr int64_t kPairSteps = 14;  // p and r, at most 8
constexpr int64_t kTritSteps = 56;  // c0 and c2
static_assert(kSumSteps <= safe_steps(18) && kPairSteps <= safe_steps(8));
static_assert(kTritSteps <= safe_steps(2));
static_assert(kPairSteps % kSumSteps == 0 && kTritSteps % kPairSteps == 0);

// Lookups of four bits: regular_sum by the low bits of m, sum, least_p, r and low_is_r by m - 16,
// trit and second by a pair p or r.
struct Tables {
    uint8_t regular_sum[16] = {}, sum[16] = {}, least_p[16] = {}, r[16] = {}, low_is_r[16] = {};
    uint8_t trit[16] = {}, second[16] = {};
};
constexpr Tables make_tables() {
    Tables t{};
    for (int m = 0; m < 16; ++m) t.regular_sum[m] = static_cast<uint8_t>(m % 8 + m / 8);
    for (int m = 16; m < 32; ++m) {
        // Of the bytes with low bits 0 and 1, what does not depend on the low bits.
        int p[2] = {}, r[2] = {}, e[2] = {};
        for (int low = 0; low < 2; ++low)
            Format::decode_byte(m << 3 | low, p + low, r + low, e + low);
        const int i = m - 16, known = t.regular_sum[m % 16];
        t.sum[i] = static_cast<uint8_t>(p[0] + r[0] + e[0] - known);
        t.least_p[i] = static_cast<uint8_t>(p[0]);
        t.r[i] = static_cast<uint8_t>(r[0] - m % 8);
        t.low_is_r[i] = r[1] != r[0] ? 7 : 0;
    }
    for (int pair = 0; pair < 9; ++pair) {
        t.trit[pair] = static_cast<uint8_t>(pair % 3);
        t.second[pair] = static_cast<uint8_t>(pair / 3);
    }
    return t;
}
alignas(16) constexpr Tables kTables = make_tables();

inline __m256i look_up(const uint8_t (&t)[16], __m256i index) {
    const __m128i lane = _mm_load_si128(reinterpret_cast<const __m128i*>(t));
    return _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(lane), index);
}

// 32 bytes taken apart, and what they say: p, r and p + r + e.
struct Bits {
    __m256i low, m, beyond;  // m - 16
};
struct Parts {
    __m256i p, r, sum;
};

inline Bits bits_of(const uint8_t* bytes) {
    const __m256i v = load32(bytes);
    const __m256i m = _mm256_and_si256(_mm256_srli_epi16(v, 3), _mm256_set1_epi8(0x1f));
    return {_mm256_and_si256(v, _mm256_set1_epi8(7)), m, _mm256_sub_epi8(m, _mm256_set1_epi8(16))};
}

inline Parts parts_of(const Bits& b) {
    const __m256i regular_r = _mm256_and_si256(b.m, _mm256_set1_epi8(7));
    const __m256i r = _mm256_add_epi8(regular_r, look_up(kTables.r, b.beyond));
    const __m256i sum =
        _mm256_add_epi8(look_up(kTables.regular_sum, b.m), look_up(kTables.sum, b.beyond));
    return {_mm256_max_epu8(b.low, look_up(kTables.least_p, b.beyond)),
            _mm256_add_epi8(r, _mm256_and_si256(b.low, look_up(kTables.low_is_r, b.beyond))),
            _mm256_add_epi8(b.low, sum)};
}

struct Core {
    static constexpr int kStreams = 1;
    static constexpr int64_t kFewTokens = 1;

    struct Sums {
        __m256i all, p, r, c0, c2;
    };

    // At most kTritSteps steps of half a panel.
    template <bool Prefetch>
    __attribute__((noinline)) static void half(const uint8_t* bytes, const int8_t* x, int64_t steps,
                                               Sums& wide) {
        Sums s;
        s.c0 = s.c2 = _mm256_setzero_si256();
        Bits next = bits_of(bytes);
        for (int64_t k = 0; k < steps;) {
            s.p = s.r = _mm256_setzero_si256();
            for (const int64_t pairs = at_most(k + kPairSteps, steps); k < pairs;) {
                s.all = _mm256_setzero_si256();
                for (const int64_t end = at_most(k + kSumSteps, pairs); k < end; ++k) {
                    if (Prefetch) fetch_ahead(bytes);
                    bytes += Format::kStepBytes;
                    const Parts of = parts_of(next);
                    next = bits_of(bytes);
                    const __m256i four = broadcast4(x);
                    dot2(s.all, of.sum, four);
                    dot2(s.p, of.p, four);
                    dot2(s.r, of.r, four);
                    dot2(s.c0, look_up(kTables.trit, of.p), four);
                    dot2(s.c2, look_up(kTables.trit, of.r), four);
                    x += Format::kColumns;
                }
                wide.all = widen(wide.all, s.all);
            }
            wide.p = widen(wide.p, s.p);
            wide.r = widen(wide.r, s.r);
        }
        wide.c0 = widen(wide.c0, s.c0);
        wide.c2 = widen(wide.c2, s.c2);
    }

    template <bool Prefetch>
    static void panel(const uint8_t* p, const int8_t* x, int64_t steps, int32_t* sums) {
        Sums wide[2];
        for (int h = 0; h < 2; ++h) {
            Sums& w = wide[h];
            w.all = w.p = w.r = w.c0 = w.c2 = _mm256_setzero_si256();
        }
        for (int64_t k = 0; k < steps; k += kTritSteps) {
            const uint8_t* step = p + k * Format::kStepBytes;
            const int8_t* columns = x + k * Format::kColumns;
            const int64_t count = at_most(kTritSteps, steps - k);
            half<Prefetch>(step, columns, count, wide[0]);
            half<false>(step + 32, columns, count, wide[1]);
        }
        // An exact division, as a multiplication by the inverse of 3 modulo 2^32.
        const __m256i third = _mm256_set1_epi32(static_cast<int>(0xaaaaaaabu));
        for (int h = 0; h < 2; ++h) {
            const Sums& w = wide[h];
            int32_t* to = sums + 8 * h;
            store32(to, w.c0);
            store32(to + 16, _mm256_mullo_epi32(_mm256_sub_epi32(w.p, w.c0), third));
            store32(to + 32, w.c2);
            store32(to + 48, _mm256_mullo_epi32(_mm256_sub_epi32(w.r, w.c2), third));
            store32(to + 64, _mm256_sub_epi32(w.all, _mm256_add_epi32(w.p, w.r)));
        }
    }

    template <int S, bool Prefetch>
    static void run(const uint8_t* p, int64_t apart, const int8_t* x, int64_t steps,
                    int32_t* sums) {
        for (int s = 0; s < S; ++s) panel<Prefetch>(p + s * apart, x, steps, sums + s * 80);
    }
};

struct Unpack {
    static void step(const uint8_t* bytes, uint8_t* codes) {
        for (int h = 0; h < 2; ++h) {
            const Parts of = parts_of(bits_of(bytes + 32 * h));
            uint8_t* to = codes + 32 * h;
            store32(to, look_up(kTables.trit, of.p));
            store32(to + kFieldBytes, look_up(kTables.second, of.p));
            store32(to + 2 * kFieldBytes, look_up(kTables.trit, of.r));
            store32(to + 3 * kFieldBytes, look_up(kTables.second, of.r));
            store32(to + 4 * kFieldBytes, _mm256_sub_epi8(of.sum, _mm256_add_epi8(of.p, of.r)));
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
    "t5r_avx2", "avx2", TB_ISA_AVX2, "five trits a byte by lookups of four bits, vpmaddubsw",
    lanes_scratch<Format, Core>, multiply, multiply, accumulate));
constexpr const tb_kernel* kKernels[] = {&kKernel};

}  // namespace

extern "C" const tb_kernel_table tb_table_t5r_avx2;
const tb_kernel_table tb_table_t5r_avx2 = {TB_ABI_VERSION, sizeof(tb_kernel), 1, kKernels};
