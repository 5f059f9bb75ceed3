// i2r with AVX-VNNI.
//
// GEMV, per 128 weights (32 bytes v, half a register of the layout, fields f3 f2 f1 f0):
//
//   v, v & 0x03, v & 0x0c, v & 0x30      four operands of vpdpbusd, used in place
//   f3 = (v's - f0's - 4 f1's - 16 f2's) / 64      in sums, once, at the end of the panel
//
// so 3 vpand and 4 vpdpbusd: 7 operations, 1.75 per 32 weights, on three ports of which two can
// multiply: 2.3 cycles per 128 weights, about twice what memory delivers. Both halves of a panel
// take 8 sums, 3 masks and 3 operands of the 16 registers.
//
// Overflow: a byte is at most 170 (255 if it were not checked), 4 * 255 * 128 a lane and step, K /
// 4 times: 255 * 128 * 65536 < 2^31. The divisions are exact.
//
// GEMM: byte codes, lanes/avxvnni.h.
#include "kernels/lanes/avxvnni.h"

#include "kernels/i2r/unpack256.h"

namespace {

struct Core {
    static constexpr int kStreams = 1;  // a panel is contiguous; two would not fit the registers
    static constexpr int64_t kFewTokens = 16;

    template <bool Prefetch>
    static void panel(const uint8_t* p, const int8_t* x, int64_t steps, int32_t* sums) {
        const __m256i mask[3] = {_mm256_set1_epi8(0x03), _mm256_set1_epi8(0x0c),
                                 _mm256_set1_epi8(0x30)};
        __m256i whole[2], field[2][3];
        TB_UNROLL
        for (int h = 0; h < 2; ++h) {
            whole[h] = _mm256_setzero_si256();
            TB_UNROLL
            for (int f = 0; f < 3; ++f) field[h][f] = _mm256_setzero_si256();
        }
        for (; steps != 0; --steps, p += 64, x += 4) {
            if (Prefetch) fetch_ahead(p);
            const __m256i four = broadcast4(x);
            TB_UNROLL
            for (int h = 0; h < 2; ++h) {
                const __m256i v = load32(p + 32 * h);
                dot4(whole[h], v, four);
                TB_UNROLL
                for (int f = 0; f < 3; ++f) dot4(field[h][f], _mm256_and_si256(v, mask[f]), four);
            }
        }
        TB_UNROLL
        for (int h = 0; h < 2; ++h) {
            int32_t* to = sums + 8 * h;
            TB_UNROLL
            for (int f = 0; f < 3; ++f) {
                store32(to + 16 * f, _mm256_srai_epi32(field[h][f], 2 * f));
                whole[h] = _mm256_sub_epi32(whole[h], field[h][f]);
            }
            store32(to + 48, _mm256_srai_epi32(whole[h], 6));
        }
    }

    template <int S, bool Prefetch>
    static void run(const uint8_t* p, int64_t apart, const int8_t* x, int64_t steps,
                    int32_t* sums) {
        for (int s = 0; s < S; ++s) panel<Prefetch>(p + s * apart, x, steps, sums + s * 64);
    }
};

void multiply(const tb_product* p) {
    lanes_product<Format, Core, LanesAvxVnniTile, Unpack>(p, nullptr);
}
void accumulate(const tb_product* p) {
    lanes_product<Format, Core, LanesAvxVnniTile, Unpack>(p, p->acc);
}

constexpr tb_kernel kKernel = with_prefetch(lanes_descriptor<Format>(
    "i2r_avxvnni", "avxvnni", TB_ISA_AVXVNNI, "2-bit codes used in place, 256-bit vpdpbusd",
    lanes_scratch<Format, Core>, multiply, multiply, accumulate));
constexpr const tb_kernel* kKernels[] = {&kKernel};

}  // namespace

extern "C" const tb_kernel_table tb_table_i2r_avxvnni;
const tb_kernel_table tb_table_i2r_avxvnni = {TB_ABI_VERSION, sizeof(tb_kernel), 1, kKernels};
