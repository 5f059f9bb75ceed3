// i2s with AVX-512 VNNI.
//
// GEMV, per 256 weights (64 bytes, two blocks):
//
//   v        = 64 bytes                  fields 7:6 | 5:4 | 3:2 | 1:0, used in place:
//   acc[f]  += vpdpbusd(v & mask[f], x[f])       masks 0xC0, 0x30, 0x0C, 0x03
//   sum      = acc0/64 + acc1/16 + acc2/4 + acc3   once, at the end of the row
//
// so a field costs one vpand and one vpdpbusd and no shift: 1 instruction per 32 weights. Four rows
// at a time share the four activation registers (16 sums, 4 masks, 6 operands of 32 registers), and
// their horizontal sums. Intel does both instructions on the same two ports, which makes them the
// bound of rows in cache; Zen 4 does vpand beside vpdpbusd, and is bound by that. The fields of two
// blocks are 64 activations apart: they are brought together once, in a copy of x.
//
// Overflow: field 7:6 enters as code * 64 <= 128; a lane adds 4 * 128 * 128 = 2^16 per 256 weights,
// K/256 times: 256 * K < 2^31 for K < 2^23. The divisions are exact: every term is a multiple.
//
// GEMM: see dot/panel64.h. Rows are transposed as packed dwords, before the fields are taken apart,
// so that 4096 weights cost 64 shuffles, 112 shifts and ands, and 64 stores.
#include "kernels/dot/panel64.h"

#include "kernels/i2s/gemv.h"

namespace {

struct Core {
    static constexpr int kRows = 4;
    static constexpr bool kAsStored = false;

    // Four planes, one a field: the 32 activations of field f in block after block, so that those
    // of any two blocks are one register. A row q fields deep finds its field f in plane f - q, or
    // one block before in plane f - q + 4.
    struct View {
        const int8_t* field[4];
    };

    static void arrange(const int8_t* x, int8_t* copy, int64_t k) {
        const int64_t plane = copy_bytes(k) / 4;
        for (int64_t b = 0; b < plane / 32 - 1; ++b) {
            for (int64_t f = 0; f < 4; ++f) {
                memcpy(copy + f * plane + 32 * (b + 1), x + kBlock * b + 32 * f, 32);
            }
        }
    }
    static View view(const int8_t* copy, int64_t k, int64_t q) {
        const int64_t plane = copy_bytes(k) / 4;
        View v;
        TB_UNROLL
        for (int64_t f = 0; f < 4; ++f) {
            v.field[f] = f < q ? copy + (f - q + 4) * plane + 32 : copy + (f - q) * plane + 64;
        }
        return v;
    }

    template <int R>
    static void step(__m512i (&acc)[R][4], const __m512i (&v)[R], const View& x, int64_t at) {
        const __m512i mask[4] = {_mm512_set1_epi8(static_cast<char>(0xc0)), _mm512_set1_epi8(0x30),
                                 _mm512_set1_epi8(0x0c), _mm512_set1_epi8(0x03)};
        TB_UNROLL
        for (int f = 0; f < 4; ++f) {
            const __m512i xs = _mm512_loadu_si512(x.field[f] + at);
            TB_UNROLL
            for (int r = 0; r < R; ++r) dot4(acc[r][f], _mm512_and_si512(v[r], mask[f]), xs);
        }
    }

    template <int R, bool Prefetch>
    __attribute__((always_inline)) static void run(const uint8_t* p, int64_t ldp, const View& x,
                                                   int64_t blocks, int32_t* out) {
        __m512i acc[R][4], v[R];
        TB_UNROLL
        for (int r = 0; r < R; ++r) {
            TB_UNROLL
            for (int f = 0; f < 4; ++f) acc[r][f] = _mm512_setzero_si512();
        }
        const int64_t bytes = blocks * kBlockBytes;
        int64_t at = 0;
        for (; at + 64 <= bytes; at += 64) {
            TB_UNROLL
            for (int r = 0; r < R; ++r) {
                if (Prefetch) fetch_ahead(p + r * ldp + at);
                v[r] = _mm512_loadu_si512(p + r * ldp + at);
            }
            step<R>(acc, v, x, at);
        }
        if (at < bytes) {  // an odd last block: half a register
            TB_UNROLL
            for (int r = 0; r < R; ++r) {
                v[r] = _mm512_zextsi256_si512(
                    _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p + r * ldp + at)));
            }
            step<R>(acc, v, x, at);
        }
        __m512i sum[R];
        TB_UNROLL
        for (int r = 0; r < R; ++r) {
            const __m512i high =
                _mm512_add_epi32(_mm512_srai_epi32(acc[r][0], 6), _mm512_srai_epi32(acc[r][1], 4));
            const __m512i low = _mm512_add_epi32(_mm512_srai_epi32(acc[r][2], 2), acc[r][3]);
            sum[r] = _mm512_add_epi32(high, low);
        }
        sum_each<R>(sum, out);
    }
};

// 64 bytes, of which only those before `end` exist.
inline __m512i load_until(const uint8_t* p, const uint8_t* end) {
    if (end - p >= 64) return _mm512_loadu_si512(p);
    return _mm512_maskz_loadu_epi8(end > p ? (uint64_t{1} << (end - p)) - 1 : 0, p);
}

struct Unpack {
    // The packed bytes of columns k .. k + 255 of a row that begins on a field (K % 32 == 0), as if
    // it began on a block: a row q fields deep takes its last q fields from the next block.
    static __m512i aligned(const uint8_t* bytes, const uint8_t* end, int64_t begin) {
        const uint8_t* p = bytes + begin / kBlock * kBlockBytes;
        const __m512i v = load_until(p, end);
        const auto q = static_cast<int>(begin % kBlock / 32);
        if (q == 0) return v;
        const __m512i next = load_until(p + kBlockBytes, end);
        const __m512i mask = _mm512_set1_epi8(static_cast<char>(0xff << (2 * q)));
        const __m512i high = _mm512_sll_epi16(v, _mm_cvtsi32_si128(2 * q));
        const __m512i low = _mm512_srl_epi16(next, _mm_cvtsi32_si128(8 - 2 * q));
        return _mm512_ternarylogic_epi64(mask, high, low, 0xca);  // mask ? high : low
    }

    // Packed dwords are transposed, then their fields taken apart: dword d of 64 bytes holds
    // columns 4 (d % 8) .. + 3 of field f of block d / 8.
    static void fields(const __m512i (&v)[16], int64_t blocks, uint8_t* to) {
        const __m512i mask = _mm512_set1_epi8(0x03);
        TB_UNROLL_16
        for (int d = 0; d < 16; ++d) {
            if (d / 8 >= blocks) return;
            uint8_t* t = to + (d / 8 * 32 + d % 8) * 256;
            _mm512_store_si512(t, _mm512_and_si512(_mm512_srli_epi16(v[d], 6), mask));
            _mm512_store_si512(t + 8 * 256, _mm512_and_si512(_mm512_srli_epi16(v[d], 4), mask));
            _mm512_store_si512(t + 16 * 256, _mm512_and_si512(_mm512_srli_epi16(v[d], 2), mask));
            _mm512_store_si512(t + 24 * 256, _mm512_and_si512(v[d], mask));
        }
    }

    static void rows(const tb_shape& s, const uint8_t* bytes, int64_t n, int64_t last, int64_t k,
                     int64_t columns, uint8_t* to) {
        int64_t begin[16];  // of each row, in the stream
        for (int64_t i = 0; i < 16; ++i) begin[i] = (n + i < last ? n + i : last) * s.k + k;
        const uint8_t* end = bytes + code_bytes(s);
        __m512i v[16];
        if (s.k % 32 == 0) {
            for (int64_t c = 0; c < columns; c += 256) {
                TB_UNROLL_16
                for (int i = 0; i < 16; ++i) v[i] = aligned(bytes, end, begin[i] + c);
                transpose16(v);
                fields(v, (columns - c + kBlock - 1) / kBlock, to + c * 64);
            }
            return;
        }
        for (int64_t c = 0; c < columns; c += 64) {
            for (int i = 0; i < 16; ++i) {
                alignas(64) uint8_t codes[64] = {0};
                unpack_stream(bytes, begin[i] + c, columns - c < 64 ? columns - c : 64, codes);
                v[i] = _mm512_load_si512(codes);
            }
            transpose16(v);
            TB_UNROLL_16
            for (int i = 0; i < 16; ++i) _mm512_store_si512(to + (c + 4 * i) * 64, v[i]);
        }
    }
};

size_t scratch(const tb_shape* s, const tb_tile*, int64_t m) {
    return m <= kFewTokens ? gemv_scratch(*s, m) : panel64_scratch(*s, m);
}

void product(const tb_product* p, int32_t* acc) {
    if (p->m <= kFewTokens) return gemv_rows<Core>(p, acc);
    gemm_panel64<Unpack>(p, acc, TensorScale{tensor_scale(p->shape, p->packed)});
}
void multiply(const tb_product* p) {
    product(p, nullptr);
}
void accumulate(const tb_product* p) {
    product(p, p->acc);
}

constexpr tb_kernel kKernel =
    with_prefetch(i2s_descriptor("i2s_avx512vnni", "avx512vnni", TB_ISA_AVX512VNNI,
                                 "bitnet.cpp's 2-bit codes used in place, vpdpbusd", 4, scratch,
                                 multiply, multiply, accumulate));
constexpr const tb_kernel* kKernels[] = {&kKernel};

}  // namespace

extern "C" const tb_kernel_table tb_table_i2s_avx512vnni;
const tb_kernel_table tb_table_i2s_avx512vnni = {TB_ABI_VERSION, sizeof(tb_kernel), 1, kKernels};
