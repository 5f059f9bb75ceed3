// i2r with AVX2.
//
// GEMV, per 128 weights (32 bytes v, half a register of the layout, fields f3 f2 f1 f0):
//
//   low  = v & 0x0f           f0 + 4 f1, at most 10      sum  of f0 = that of low & 3
//   high = v >> 4 & 0x0f      f2 + 4 f3                  sum  of f1 = (low's - f0's) / 4
//   low & 3, high & 3         f0, f2, at most 2          likewise f2, f3
//
// 5 logic operations make four operands, 4 vpmaddubsw and 4 vpaddw use them: 13, or 13.4 with the
// widening, 3.3 per 32 weights. No operand may be v itself, because vpmaddubsw saturates, and none
// can be had for less than one operation: 12 would be the least, and the four masks that need no
// shift (3, 12, 48, 192) pay for it by widening 48 every fourth step and 192 every step. Zen 4:
// four ports, 3.35 cycles per 128 weights, above its read bandwidth by little; Intel: three
// ports, 4.5 cycles, above it by a third.
//
// Both halves of a panel take 8 sums, which with masks, activations and operands fill the 16
// registers, so there is one stream: panels are contiguous, which is what a prefetcher likes best.
//
// Overflow (lanes/avx2.h): nibbles are widened every 12 steps (10 * 12 <= 128), fields every 60
// (2 * 60 <= 128), to int32 in memory.
//
// GEMM: byte codes, lanes/avx2.h.
#include "kernels/lanes/avx2.h"

#include "kernels/i2r/unpack256.h"

namespace {

constexpr int64_t kNibbleSteps = 12;
constexpr int64_t kFieldSteps = 60;
static_assert(kNibbleSteps <= safe_steps(10) && kFieldSteps <= safe_steps(2));
static_assert(kFieldSteps % kNibbleSteps == 0);

struct Core {
    static constexpr int kStreams = 1;
    static constexpr int64_t kFewTokens = 7;

    // int32 sums of one half of a panel: of the nibbles and of their lower fields.
    struct Wide {
        __m256i low, high, field0, field2;
    };

    // At most kNibbleSteps steps; the sums of fields go on in int16.
    template <bool Prefetch>
    static void nibbles(const uint8_t* p, const int8_t* x, int64_t steps, __m256i field0[2],
                        __m256i field2[2], Wide wide[2]) {
        const __m256i nibble = _mm256_set1_epi8(0x0f);
        const __m256i field = _mm256_set1_epi8(0x03);
        __m256i low[2], high[2];
        TB_UNROLL
        for (int h = 0; h < 2; ++h) low[h] = high[h] = _mm256_setzero_si256();
        for (int64_t k = 0; k < steps; ++k, p += 64, x += 4) {
            if (Prefetch) fetch_ahead(p);
            const __m256i four = broadcast4(x);
            TB_UNROLL
            for (int h = 0; h < 2; ++h) {
                const __m256i v = load32(p + 32 * h);
                const __m256i u = _mm256_and_si256(_mm256_srli_epi16(v, 4), nibble);
                dot2(low[h], _mm256_and_si256(v, nibble), four);
                dot2(field0[h], _mm256_and_si256(v, field), four);
                dot2(high[h], u, four);
                dot2(field2[h], _mm256_and_si256(u, field), four);
            }
        }
        TB_UNROLL
        for (int h = 0; h < 2; ++h) {
            wide[h].low = widen(wide[h].low, low[h]);
            wide[h].high = widen(wide[h].high, high[h]);
        }
    }

    template <bool Prefetch>
    static void panel(const uint8_t* p, const int8_t* x, int64_t steps, int32_t* sums) {
        Wide wide[2];
        TB_UNROLL
        for (int h = 0; h < 2; ++h) {
            wide[h].low = wide[h].high = wide[h].field0 = wide[h].field2 = _mm256_setzero_si256();
        }
        for (int64_t k = 0; k < steps;) {
            __m256i field0[2], field2[2];
            TB_UNROLL
            for (int h = 0; h < 2; ++h) field0[h] = field2[h] = _mm256_setzero_si256();
            for (const int64_t end = at_most(k + kFieldSteps, steps); k < end; k += kNibbleSteps) {
                nibbles<Prefetch>(p + k * 64, x + k * 4, at_most(kNibbleSteps, end - k), field0,
                                  field2, wide);
            }
            TB_UNROLL
            for (int h = 0; h < 2; ++h) {
                wide[h].field0 = widen(wide[h].field0, field0[h]);
                wide[h].field2 = widen(wide[h].field2, field2[h]);
            }
        }
        for (int h = 0; h < 2; ++h) {
            const Wide& w = wide[h];
            int32_t* to = sums + 8 * h;
            store32(to, w.field0);
            store32(to + 16, _mm256_srai_epi32(_mm256_sub_epi32(w.low, w.field0), 2));
            store32(to + 32, w.field2);
            store32(to + 48, _mm256_srai_epi32(_mm256_sub_epi32(w.high, w.field2), 2));
        }
    }

    template <int S, bool Prefetch>
    static void run(const uint8_t* p, int64_t apart, const int8_t* x, int64_t steps,
                    int32_t* sums) {
        for (int s = 0; s < S; ++s) panel<Prefetch>(p + s * apart, x, steps, sums + s * 64);
    }
};

void multiply(const tb_product* p) {
    lanes_product<Format, Core, LanesAvx2Tile, Unpack>(p, nullptr);
}
void accumulate(const tb_product* p) {
    lanes_product<Format, Core, LanesAvx2Tile, Unpack>(p, p->acc);
}

constexpr tb_kernel kKernel = with_prefetch(
    lanes_descriptor<Format>("i2r_avx2", "avx2", TB_ISA_AVX2, "2-bit codes as nibbles, vpmaddubsw",
                             lanes_scratch<Format, Core>, multiply, multiply, accumulate));
constexpr const tb_kernel* kKernels[] = {&kKernel};

}  // namespace

extern "C" const tb_kernel_table tb_table_i2r_avx2;
const tb_kernel_table tb_table_i2r_avx2 = {TB_ABI_VERSION, sizeof(tb_kernel), 1, kKernels};
