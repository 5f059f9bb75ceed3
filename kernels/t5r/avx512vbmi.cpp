// t5r with AVX-512 VBMI and VNNI. The picture is in lanes/panels.h, the codes in layout.h.
//
//   v        = 64 bytes                              k = bytes of at least c0, the escapes
//   l        = vpermb(v, regular)                    c0 | c1 << 2 | c2 << 4 | c3 << 6, but where k:
//   l{k}     = vpermb(v, escape)
//   v{k}     = vpermb(v, mended)                     now v = 64 e + 8 r + p in every byte
//   acc0    += vpdpbusd(v, x)                        P0 + 3 P1 + 8 P2 + 24 P3 + 64 P4
//   acc1    += vpdpbusd(l, x)                        P0 + 4 P1 + 16 P2 + 64 P3
//   acc2..4 += vpdpbusd(l & 03, 0c, 30, x)           P0, 4 P1, 16 P2
//
// so that P3 is what is left of acc1 and P4 what is left of acc0, both divided by 64 exactly.
// For 320 weights 5 vpdpbusd, 3 vpermb, 3 vpand and a comparison: 12 operations, 1.2 for 32.
//
// Bound, Intel (two 512-bit ports): 6 cycles, 53 weights a cycle. Zen 4 (four pipes of half a
// register): 6 cycles, for the 24 halves fill all four and vpdpbusd and vpcmpub the two that they
// share. No room is left for a wrong order (lanes/avx512vbmi.h): one panel at a time is the pattern
// that keeps it, and then the loop is within 2 to 5% of the bound while weights are in L2. From
// memory, 4/5 of the bytes of i2r, arithmetic and bandwidth are nearly equal.
//
// GEMM: 80 rows x 5 tokens, 25 sums; up to 12 tokens decode in the tile.
//
// Overflow: an operand is at most 200; see lanes/avx512vnni.h.
//
// Source: five trits in a byte is the rate of llama.cpp's TQ1_0; the split in two pairs, a trit and
// escapes: ours.
#include "kernels/lanes/avx512vnni.h"

#include "kernels/lanes/avx512vbmi.h"
#include "kernels/t5r/layout.h"

namespace {

constexpr uint8_t fields_of(int p, int r) {
    return static_cast<uint8_t>(p % 3 | p / 3 << 2 | r % 3 << 4 | r / 3 << 6);
}

// For every index of six bits: the first four trits as fields, of a regular byte and of an escape;
// and what an escape would be if it were regular, 64 e + 8 r + p.
struct Tables {
    uint8_t regular[64], escape[64], mended[64];
};
constexpr Tables tables() {
    Tables t{};
    for (int index = 0; index < 64; ++index) {
        int p = 0, r = 0, e = 0;
        Format::decode_byte(index, &p, &r, &e);
        t.regular[index] = fields_of(p, r);
        if (!Format::decode_byte(0xc0 | index, &p, &r, &e)) continue;
        t.escape[index] = fields_of(p, r);
        t.mended[index] = static_cast<uint8_t>(p + 8 * r + 64 * e);
    }
    return t;
}
alignas(64) constexpr Tables kTables = tables();

// What the loops take for granted of every byte that a packer writes.
constexpr bool tables_hold() {
    bool good = true;
    for (int byte = 0; byte < 256; ++byte) {
        int p = 0, r = 0, e = 0;
        if (!Format::decode_byte(byte, &p, &r, &e)) continue;
        const int fields = byte < 0xc0 ? kTables.regular[byte & 63] : kTables.escape[byte & 63];
        const int value = byte < 0xc0 ? byte : kTables.mended[byte & 63];
        good = good && fields == fields_of(p, r) && value == p + 8 * r + 64 * e;
    }
    return good;
}
static_assert(tables_hold());

struct Decoder {
    static constexpr int kFields = Format::kFields, kStepBytes = Format::kStepBytes;
    static constexpr int kOperands = 5, kQuads = 1, kTokens = 5, kDirectTokens = 12;
    static constexpr bool kFetches = false;

    struct Constants {
        __m512i mask[3] = {_mm512_set1_epi8(0x03), _mm512_set1_epi8(0x0c), _mm512_set1_epi8(0x30)};
        __m512i escape_from = _mm512_set1_epi8(static_cast<char>(0xc0));
        __m512i regular = _mm512_load_si512(kTables.regular);
        __m512i escape = _mm512_load_si512(kTables.escape);
        __m512i mended = _mm512_load_si512(kTables.mended);
    };

    template <int>
    static void operands(const uint8_t* step, const Constants& c, __m512i (&o)[5]) {
        const __m512i v = _mm512_loadu_si512(step);
        const __mmask64 escapes = _mm512_cmpge_epu8_mask(v, c.escape_from);
        const __m512i fields = _mm512_permutexvar_epi8(v, c.regular);
        o[0] = _mm512_mask_permutexvar_epi8(v, escapes, v, c.mended);
        o[1] = _mm512_mask_permutexvar_epi8(fields, escapes, v, c.escape);
        TB_UNROLL
        for (int f = 0; f < 3; ++f) o[f + 2] = _mm512_and_si512(o[1], c.mask[f]);
    }

    static void combine(const __m512i (&sums)[5], __m512i (&rows)[5]) {
        rows[0] = sums[2];
        rows[1] = _mm512_srai_epi32(sums[3], 2);
        rows[2] = _mm512_srai_epi32(sums[4], 4);
        const __m512i low = _mm512_add_epi32(_mm512_add_epi32(sums[2], sums[3]), sums[4]);
        rows[3] = _mm512_srai_epi32(_mm512_sub_epi32(sums[1], low), 6);
        const auto times3 = [](__m512i v) { return _mm512_add_epi32(v, _mm512_add_epi32(v, v)); };
        const __m512i p = _mm512_add_epi32(rows[0], times3(rows[1]));
        const __m512i r = _mm512_add_epi32(rows[2], times3(rows[3]));
        const __m512i known = _mm512_add_epi32(p, _mm512_slli_epi32(r, 3));
        rows[4] = _mm512_srai_epi32(_mm512_sub_epi32(sums[0], known), 6);
    }
};

// GEMV, one panel at a time: step N is multiplied, N + 2 mended and N + 3 loaded and looked up.
struct Core {
    static constexpr int kStreams = 1;

    // Steps in flight; step N is in place N % 4.
    struct Flight {
        __m512i v[4], fields[4], x;
        __mmask64 escapes[4];
    };

    template <bool Prefetch, int N>
    static void turn(const uint8_t* step, const int8_t* x, const Decoder::Constants& c,
                     __m512i (&acc)[1][5], Flight& in) {
        constexpr int now = N % 4, next = (N + 2) % 4, after = (N + 3) % 4;
        const __m512i xs = in.x;
        const uint8_t* from = step + 64 * (N + 3);
        const __m512i second = ordered::bits_of(in.fields[now], c.mask[1]);
        fetch<Prefetch, 64>(from);
        in.v[after] = ordered::load(from);
        ordered::lookup(in.fields[next], in.escapes[next], in.v[next], c.escape);
        const __m512i first = ordered::bits_of(in.fields[now], c.mask[0]);
        in.escapes[after] = ordered::at_least(in.v[after], c.escape_from);
        ordered::dot4(acc[0][0], in.v[now], xs);
        ordered::dot4(acc[0][1], in.fields[now], xs);
        const __m512i third = ordered::bits_of(in.fields[now], c.mask[2]);
        ordered::dot4(acc[0][2], first, xs);
        ordered::dot4(acc[0][3], second, xs);
        in.fields[after] = ordered::lookup(in.v[after], c.regular);
        ordered::dot4(acc[0][4], third, xs);
        ordered::lookup_in_place(in.v[next], in.escapes[next], c.mended);
        in.x = ordered::broadcast4(x + 4 * N + 4);
    }

    static void start(const uint8_t* panel, const Decoder::Constants& c, Flight& in) {
        TB_UNROLL
        for (int n = 0; n < 3; ++n) {
            in.v[n] = ordered::load(panel + 64 * n);
            in.escapes[n] = ordered::at_least(in.v[n], c.escape_from);
            in.fields[n] = ordered::lookup(in.v[n], c.regular);
        }
        TB_UNROLL
        for (int n = 0; n < 2; ++n) {
            ordered::lookup(in.fields[n], in.escapes[n], in.v[n], c.escape);
            ordered::lookup_in_place(in.v[n], in.escapes[n], c.mended);
        }
    }

    // Panels follow one another in memory, so that a panel looks ahead to the next one; but the
    // last has none to look at, and does its last steps (in fours, as the places are) without.
    template <int S, bool Prefetch, class Put>
    static void run(const uint8_t* panel, int64_t apart, const int8_t* x, int64_t steps,
                    int64_t count, const Put& put) {
        static_assert(S == 1);
        if (steps % 4 != 0 || steps < 8) {
            return StreamCore<Decoder, 1>::run<1, Prefetch>(panel, apart, x, steps, count, put);
        }
        const Decoder::Constants c;
        Flight in;
        start(panel, c, in);
        for (int64_t i = 0; i < count; ++i) {
            __m512i acc[1][1][5];
            set_zero(acc);
            in.x = ordered::broadcast4(x);
            const int64_t turns = i + 1 < count ? steps : steps - 4;
            for (int64_t k = 0; k < turns; k += 4) {
                turn<Prefetch, 0>(panel + 64 * k, x + 4 * k, c, acc[0], in);
                turn<Prefetch, 1>(panel + 64 * k, x + 4 * k, c, acc[0], in);
                turn<Prefetch, 2>(panel + 64 * k, x + 4 * k, c, acc[0], in);
                turn<Prefetch, 3>(panel + 64 * k, x + 4 * k, c, acc[0], in);
            }
            for (int64_t k = turns; k < steps; ++k) {
                multiply_quad<Decoder, 0, 1>(panel + 64 * k, c, x + 4 * k, 0, acc[0]);
            }
            put_copy<Decoder>(put, 0, i, acc[0][0]);
            panel += 64 * steps;
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

constexpr tb_kernel kKernel = with_prefetch(
    lanes_descriptor<Format>("t5r_avx512vbmi", "avx512vbmi", TB_ISA_AVX512VBMI,
                             "five trits a byte, escapes mended by masked vpermb; vpdpbusd",
                             lanes_scratch<Format, Decoder>, gemv, gemm, accumulate));
constexpr const tb_kernel* kKernels[] = {&kKernel};

}  // namespace

extern "C" const tb_kernel_table tb_table_t5r_avx512vbmi;
const tb_kernel_table tb_table_t5r_avx512vbmi = {TB_ABI_VERSION, sizeof(tb_kernel), 1, kKernels};
