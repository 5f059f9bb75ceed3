// i2c with AVX-512 VNNI.
//
// GEMV, per four columns that count and 256 rows:
//
//   4 loads, 8 vpunpck     the bytes of the four lines interleaved: 4 steps of i2r
//   12 vpand, 16 vpdpbusd  each step as in i2r/decoder512.h, against one broadcast dword
//
// 36 operations on vector ports for 1024 weights where i2r has 28, of only those columns. Zen 4
// (one 512-bit vpdpbusd or vpunpck, two vpand a cycle): 18 cycles, 57 weights a cycle, above what
// memory delivers. Sums of 256 rows are 16 registers, so that lines side by side in memory cannot
// be added up at once: kGroup columns pass line by line, and sums wait in L1 between groups. While
// a group is multiplied, the same line of the next group's columns is fetched to L2. Single lines
// of one block after the other, with sums in registers all the way, read memory a third slower, for
// then nothing that is wanted lies side by side.
//
// GEMM: where many activations are zero token by token, 18 cycles for four columns that count,
// while a token of a dense GEMM pays 16 for any four. (Token by token over single lines of all
// columns, which would stay in L2, is slower: then L1 does not see runs.) Otherwise all lines are
// interleaved to panels of i2r in scratch, which all tokens share.
//
// Overflow: as in lanes/avx512vnni.h.
#include "kernels/i2c/active256.h"
#include "kernels/i2c/call.h"
#include "kernels/i2r/decoder512.h"

namespace {

constexpr int64_t kGroup = 64;        // columns of a group of GEMV
constexpr int64_t kFewTokens = 3;     // so many are multiplied one by one, zeros or not
constexpr int64_t kBlockOfK = 4096;   // columns interleaved at a time
constexpr double kSparseShare = 0.7;  // of activations that count: up to this, one by one
static_assert(kGroup <= kPadding);

// The sums of a line: panel, operand (Decoder).
using LineSums = __m512i[kPanelsOfLine][Decoder::kOperands];

inline void interleave(const uint8_t* a, const uint8_t* b, const uint8_t* c, const uint8_t* d,
                       __m512i (&steps)[4]) {
    const __m512i va = _mm512_loadu_si512(a), vb = _mm512_loadu_si512(b);
    const __m512i vc = _mm512_loadu_si512(c), vd = _mm512_loadu_si512(d);
    const __m512i ab_low = _mm512_unpacklo_epi8(va, vb), ab_high = _mm512_unpackhi_epi8(va, vb);
    const __m512i cd_low = _mm512_unpacklo_epi8(vc, vd), cd_high = _mm512_unpackhi_epi8(vc, vd);
    steps[0] = _mm512_unpacklo_epi16(ab_low, cd_low);
    steps[1] = _mm512_unpackhi_epi16(ab_low, cd_low);
    steps[2] = _mm512_unpacklo_epi16(ab_high, cd_high);
    steps[3] = _mm512_unpackhi_epi16(ab_high, cd_high);
}

// One line of the columns [begin, end) of a list, added to acc. The same line of the columns
// `ahead` further in the list is fetched.
inline void add_line(const uint8_t* line, int64_t stride, const ActiveColumns& list, int64_t begin,
                     int64_t end, int64_t ahead, const Decoder::Constants& constants,
                     LineSums& acc) {
    const uint16_t* index = list.index + begin;
    for (int64_t i = begin; i < end; i += 4, index += 4) {
        TB_UNROLL
        for (int j = 0; j < 4; ++j) __builtin_prefetch(line + index[ahead + j] * stride, 0, 2);
        __m512i steps[4];
        interleave(line + index[0] * stride, line + index[1] * stride, line + index[2] * stride,
                   line + index[3] * stride, steps);
        const __m512i four = broadcast4(list.q + i);
        TB_UNROLL
        for (int s = 0; s < 4; ++s) {
            dot4(acc[s][0], steps[s], four);
            TB_UNROLL
            for (int f = 0; f < 3; ++f) {
                dot4(acc[s][f + 1], _mm512_and_si512(steps[s], constants.mask[f]), four);
            }
        }
    }
}

inline void load_sums(const __m512i* from, LineSums& acc) {
    TB_UNROLL
    for (int s = 0; s < 4; ++s) {
        TB_UNROLL
        for (int z = 0; z < 4; ++z) acc[s][z] = _mm512_load_si512(from + 4 * s + z);
    }
}

inline void store_sums(const LineSums& acc, __m512i* to) {
    TB_UNROLL
    for (int s = 0; s < 4; ++s) {
        TB_UNROLL
        for (int z = 0; z < 4; ++z) _mm512_store_si512(to + 4 * s + z, acc[s][z]);
    }
}

inline void zero_sums(LineSums& acc) {
    TB_UNROLL
    for (int s = 0; s < 4; ++s) {
        TB_UNROLL
        for (int z = 0; z < 4; ++z) acc[s][z] = _mm512_setzero_si512();
    }
}

// From the sums of a line to results.
void put_line(const Call& call, int64_t m, int64_t line, const __m512i* sums, const Token& token) {
    for (int64_t s = 0; s < kPanelsOfLine; ++s) {
        __m512i of[Decoder::kOperands], rows[Decoder::kFields];
        for (int z = 0; z < Decoder::kOperands; ++z) of[z] = sums[4 * s + z];
        Decoder::combine(of, rows);
        const int64_t first = line * kLineRows + s * kPanelRows;
        const PanelSink<Decoder::kFields> sink(call.out, first, call.p->n_begin, call.p->n_end);
        sink.put(m, rows, token);
    }
}

// ---- one token ----------------------------------------------------------------------------------

// Scratch: the sums of all lines, then the list.
void gemv_groups(const Call& call, int64_t m) {
    const tb_shape& shape = call.p->shape;
    auto* const sums = static_cast<__m512i*>(call.p->scratch);
    ListSpace space(shape, sums + line_count(shape) * 16);
    const ActiveColumns list = space.fill(call.x.q + m * call.x.kp, call.x.kp, fill_table);
    const Decoder::Constants constants;
    const int64_t groups = (list.count + kGroup - 1) / kGroup;
    const int64_t step = groups > 0 ? tb_round_up((list.count + groups - 1) / groups, 4) : 4;
    fetch_first(call.packed + call.begin * kLineBytes, call.end - call.begin, call.stride, list,
                step);
    int64_t i = 0;
    do {
        const int64_t end = smaller(i + step, list.count);
        for (int64_t line = call.begin; line < call.end; ++line) {
            __m512i* const of_line = sums + (line - call.begin) * 16;
            LineSums acc;
            if (i == 0) {
                zero_sums(acc);
            } else {
                load_sums(of_line, acc);
            }
            add_line(call.packed + line * kLineBytes, call.stride, list, i, end, step, constants,
                     acc);
            store_sums(acc, of_line);
        }
        i = end;
    } while (i < list.count);
    const Token token = token_of(call.x, m, call.scale);
    for (int64_t line = call.begin; line < call.end; ++line) {
        put_line(call, m, line, sums + (line - call.begin) * 16, token);
    }
}

inline size_t gemv_scratch(const tb_shape& s) {
    return static_cast<size_t>(line_count(s) * 16 * 64 + list_bytes(s));
}

// ---- several tokens -----------------------------------------------------------------------------

inline int64_t columns_of_block(int64_t k) {
    const int64_t blocks = (k + kBlockOfK - 1) / kBlockOfK;
    return tb_round_up((k + blocks - 1) / blocks, 4);
}

// Columns [k, k + columns) of a line as steps of four panels, panel after panel; columns from K on
// are zeros of any kind, for their activations are.
void interleave_block(const uint8_t* line, int64_t stride, int64_t k, int64_t columns, int64_t last,
                      uint8_t* panels) {
    const int64_t steps = columns / 4;
    const auto column = [&](int64_t i) { return line + smaller(i, last) * stride; };
    for (int64_t i = 0; i < steps; ++i, k += 4) {
        __m512i step[4];
        interleave(column(k), column(k + 1), column(k + 2), column(k + 3), step);
        TB_UNROLL
        for (int s = 0; s < 4; ++s) _mm512_store_si512(panels + (s * steps + i) * 64, step[s]);
    }
}

// All columns with all tokens. Scratch: the panels of a block, then sums [m][4] of each panel where
// K takes several blocks.
void gemm_dense(const Call& call) {
    const int64_t k_all = call.p->shape.k, block = columns_of_block(k_all);
    auto* const panels = static_cast<uint8_t*>(call.p->scratch);
    auto* const carries = reinterpret_cast<__m512i*>(panels + block * kLineBytes);
    for (int64_t line = call.begin; line < call.end; ++line) {
        for (int64_t k = 0; k < k_all; k += block) {
            const int64_t columns = tb_round_up(smaller(block, k_all - k), 4);
            interleave_block(call.packed + line * kLineBytes, call.stride, k, columns, k_all - 1,
                             panels);
            const Part part{k, columns / 4, k == 0, k + columns >= k_all, nullptr, 0};
            for (int64_t s = 0; s < kPanelsOfLine; ++s) {
                const PanelSink<Decoder::kFields> sink(call.out, line * kLineRows + s * kPanelRows,
                                                       call.p->n_begin, call.p->n_end);
                __m512i* const carry = block < k_all ? carries + s * call.p->m * 4 : nullptr;
                multiply_part<Decoder, Decoder>(panels + s * columns / 4 * 64, part, call.x,
                                                call.scale, carry, sink);
            }
        }
    }
}

size_t scratch_size(const tb_shape* s, const tb_tile*, int64_t m) {
    const size_t one = gemv_scratch(*s);
    if (m <= kFewTokens) return one;
    const int64_t block = columns_of_block(s->k);
    const auto dense = static_cast<size_t>(block * kLineBytes + (block < s->k ? m * 16 * 64 : 0));
    return dense > one ? dense : one;
}

void multiply(const tb_product* p, int32_t* acc) {
    const Call call(p, acc);
    if (p->m > kFewTokens && active_share(call.x) > kSparseShare) return gemm_dense(call);
    for (int64_t m = 0; m < p->m; ++m) gemv_groups(call, m);
}

void product(const tb_product* p) {
    multiply(p, nullptr);
}
void accumulate(const tb_product* p) {
    multiply(p, p->acc);
}

constexpr tb_kernel kKernel =
    i2c_descriptor("i2c_avx512vnni", "avx512vnni", TB_ISA_AVX512VNNI,
                   "columns that count, interleaved to panels of i2r; vpdpbusd under broadcasts",
                   scratch_size, product, product, accumulate);
constexpr const tb_kernel* kKernels[] = {&kKernel};

}  // namespace

extern "C" const tb_kernel_table tb_table_i2c_avx512vnni;
const tb_kernel_table tb_table_i2c_avx512vnni = {TB_ABI_VERSION, sizeof(tb_kernel), 1, kKernels};
