// t3r with AVX-512 VBMI and VNNI. The picture is in lanes/panels.h, the codes in layout.h.
//
//   index    = a register as it is, or 2 shifts and 1 xor (2 and 2) of several, see layout.h
//   q        = vpermb(index, table)            c0 | c1 << 2 | c2 << 4
//   acc0    += vpdpbusd(q, x)                  P0 + 4 P1 + 16 P2
//   acc1, 2 += vpdpbusd(q & 03, 0c, x)         P0, 4 P1
//
// vpermb takes six bits of an index and a code has five: the table has every entry twice, so that
// neither the bits above a code nor the foreign one within its six need be cleared.
// For 1536 weights 24 vpdpbusd, 16 vpand, 8 vpermb, 6 shifts and 4 xors: 58 operations, 1.2 for 32.
//
// Bound, Intel (two 512-bit ports; shifts on one of them, vpermb on the other): 29 cycles, 53
// weights a cycle. Zen 4 (four pipes of half a register; vpdpbusd on two, vpermb on two, shifts on
// two): the same 29 cycles, and the loop is within 3 to 5% of them while weights are in L2. From
// memory it is bound by bandwidth like i2r, at 5/6 of the bytes.
//
// GEMM: 48 rows x 8 tokens, 24 sums; up to 24 tokens decode in the tile.
//
// Overflow: an operand is at most 42; see lanes/avx512vnni.h.
//
// Source: three trits in 5 bits is the rate of TL2 (arXiv:2502.11880); codes left in place as
// indices, and xors in place of masks: ours.
#include "kernels/lanes/avx512vnni.h"

#include "kernels/lanes/avx512vbmi.h"
#include "kernels/t3r/layout.h"

namespace {

constexpr uint8_t fields_of(int code) {
    return static_cast<uint8_t>(code % 3 | code / 3 % 3 << 2 | code / 9 << 4);
}

// For every index of six bits, the fields of the code that it is without the bit `foreign`.
struct Table {
    uint8_t fields[64];
};
constexpr Table table_without(int foreign) {
    Table t{};
    for (int code = 0; code < 27; ++code) {
        const int low = code & ((1 << foreign) - 1), high = code >> foreign << (foreign + 1);
        t.fields[high | low] = fields_of(code);
        t.fields[high | low | 1 << foreign] = fields_of(code);
    }
    return t;
}
alignas(64) constexpr Table kLow = table_without(5), kLast = table_without(4);

// Codes 0 .. 6 are bits 4:0, code 7 is bits 5 and 3:0, as Format::spread has them.
constexpr bool tables_hold() {
    bool good = true;
    for (int code = 0; code < 27; ++code) {
        for (int bit = 0; bit < 2; ++bit) {
            const int last = (code & 15) | bit << 4 | code >> 4 << 5;
            good = good && kLow.fields[code | bit << 5] == fields_of(code) &&
                   kLast.fields[last] == fields_of(code);
        }
    }
    return good;
}
static_assert(tables_hold());

struct Decoder {
    static constexpr int kFields = Format::kFields, kStepBytes = Format::kStepBytes;
    static constexpr int kOperands = 3, kQuads = 8, kTokens = 8, kDirectTokens = 24;
    static constexpr bool kFetches = false;

    struct Constants {
        __m512i low = _mm512_load_si512(&kLow), last = _mm512_load_si512(&kLast);
        __m512i mask[2] = {_mm512_set1_epi8(0x03), _mm512_set1_epi8(0x0c)};
    };

    template <int Q>
    static __m512i index(const uint8_t* step) {
        const auto r = [&](int i) { return ordered::load(step + 64 * i); };
        if constexpr (Q < 5) return r(Q);
        if constexpr (Q == 5) {
            return _mm512_xor_si512(_mm512_srli_epi16(r(0), 5), _mm512_srli_epi16(r(1), 3));
        }
        if constexpr (Q == 6) {
            return _mm512_xor_si512(_mm512_srli_epi16(r(2), 5), _mm512_srli_epi16(r(3), 2));
        }
        const __m512i pair = _mm512_srli_epi16(_mm512_xor_si512(r(1), r(3)), 2);
        return _mm512_xor_si512(_mm512_srli_epi16(r(4), 5), pair);
    }

    template <int Q>
    static void operands(const uint8_t* step, const Constants& c, __m512i (&o)[3]) {
        o[0] = _mm512_permutexvar_epi8(index<Q>(step), Q == 7 ? c.last : c.low);
        o[1] = _mm512_and_si512(o[0], c.mask[0]);
        o[2] = _mm512_and_si512(o[0], c.mask[1]);
    }

    static void combine(const __m512i (&sums)[3], __m512i (&rows)[3]) {
        const __m512i known = _mm512_add_epi32(sums[1], sums[2]);
        rows[0] = sums[1];
        rows[1] = _mm512_srai_epi32(sums[2], 2);
        rows[2] = _mm512_srai_epi32(_mm512_sub_epi32(sums[0], known), 4);
    }
};

// GEMV: quad Q of S panels is multiplied, quad Q + 1 looked up and quad Q + 2 loaded in one go.
struct Core {
    static constexpr int kStreams = 4;

    template <int S>
    struct Flight {
        const uint8_t* step[S];
        __m512i acc[S][1][3], now[S], next[S];
    };

    template <int S, int Q, bool Prefetch>
    static void turn(const int8_t* x, const Decoder::Constants& c, Flight<S>& in) {
        constexpr int after = (Q + 2) % 8;
        const __m512i xs = ordered::broadcast4(x + 4 * Q);
        const __m512i table = Q == 6 ? ordered::load(kLast.fields) : c.low;
        TB_UNROLL
        for (int s = 0; s < S; ++s) {
            const uint8_t* from = in.step[s] + (Q + 2) / 8 * Format::kStepBytes;
            if (after < 5) fetch<Prefetch, 256>(from + 64 * after);
            const __m512i loaded = Decoder::index<after>(from);
            ordered::dot4(in.acc[s][0][0], in.now[s], xs);
            const __m512i looked = ordered::lookup(in.next[s], table);
            const __m512i first = ordered::bits_of(in.now[s], c.mask[0]);
            ordered::dot4(in.acc[s][0][1], first, xs);
            const __m512i second = ordered::bits_of(in.now[s], c.mask[1]);
            ordered::dot4(in.acc[s][0][2], second, xs);
            in.now[s] = looked;
            in.next[s] = loaded;
        }
    }

    template <int S, bool Prefetch, int... Q>
    static void turns(const int8_t* x, const Decoder::Constants& c, Flight<S>& in,
                      std::integer_sequence<int, Q...>) {
        (turn<S, Q, Prefetch>(x, c, in), ...);
    }

    template <int S, bool Prefetch, class Put>
    static void run(const uint8_t* panel, int64_t apart, const int8_t* x, int64_t steps,
                    int64_t count, const Put& put) {
        const Decoder::Constants c;
        Flight<S> in;
        TB_UNROLL
        for (int s = 0; s < S; ++s) {
            in.step[s] = panel + s * apart;
            in.now[s] = ordered::lookup(Decoder::index<0>(in.step[s]), c.low);
            in.next[s] = Decoder::index<1>(in.step[s]);
        }
        for (int64_t i = 0; i < count; ++i) {
            set_zero(in.acc);
            // The last step of a panel looks ahead to the next panel, but the last panel has none.
            const int64_t ahead = i + 1 < count ? steps : steps - 1;
            for (int64_t k = 0; k < ahead; ++k) {
                turns<S, Prefetch>(x + k * Format::kColumns, c, in, Quads<Decoder>());
                TB_UNROLL
                for (int s = 0; s < S; ++s) in.step[s] += Format::kStepBytes;
            }
            TB_UNROLL
            for (int s = 0; s < S; ++s) {
                if (ahead < steps) {
                    multiply_step<Decoder, 1>(in.step[s], c, x + ahead * Format::kColumns, 0,
                                              in.acc[s], Quads<Decoder>());
                }
                put_copy<Decoder>(put, s, i, in.acc[s][0]);
            }
        }
    }
};

void gemv(const tb_product* p) {
    gemv_lanes<Format, Decoder, Core>(p, nullptr);
}
void gemm(const tb_product* p) {
    if (p->m == 1) return gemv(p);
    gemm_lanes<Format, Decoder>(p, nullptr);
}
void accumulate(const tb_product* p) {
    if (p->m == 1) return gemv_lanes<Format, Decoder, Core>(p, p->acc);
    gemm_lanes<Format, Decoder>(p, p->acc);
}

constexpr tb_kernel kKernel =
    with_prefetch(lanes_descriptor<Format>("t3r_avx512vbmi", "avx512vbmi", TB_ISA_AVX512VBMI,
                                           "three trits a lookup of six bits, vpermb and vpdpbusd",
                                           lanes_scratch<Format, Decoder>, gemv, gemm, accumulate));
constexpr const tb_kernel* kKernels[] = {&kKernel};

}  // namespace

extern "C" const tb_kernel_table tb_table_t3r_avx512vbmi;
const tb_kernel_table tb_table_t3r_avx512vbmi = {TB_ABI_VERSION, sizeof(tb_kernel), 1, kKernels};
