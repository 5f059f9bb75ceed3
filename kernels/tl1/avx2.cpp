// tl1 with AVX2: sums of pairs looked up in tables of the activations, 32 at a time.
//
// A sum of a pair, |v| <= 256, does not fit a byte. It is stored as two digits of base 23, v = 23 h
// + l with |h|, |l| <= 11, each in a table of 16 bytes for vpshufb, and the digits are added up
// apart: eight pairs stay within +-88 in a byte. Only then vpmaddubsw with (1, 23) makes 16-bit
// sums of them. bitnet.cpp's tables hold the low and the high byte of v, which must be joined after
// every single lookup. Per 512 weights (128 bytes, eight pairs of 32 lanes), beside loads:
//
//   4 shifts, 8 ands            the nibbles
//   16 vpshufb, 14 vpaddb       16 lookups
//   2 + 2 vpunpck, vpmaddubsw, 2 vpaddw        to 16 bits
//
// 48 instructions, 3 per 32 weights, of which 22 want one of two shuffle pipes on Zen 4 (11 cycles;
// all 48 take 12 of its four pipes, 16 of Intel's three). The tables of a tile, 16 BK bytes, stay
// in L1 while the rows of four tiles pass by: a byte from L2 for every 16 of W with BM = 256.
//
// Overflow: digits of eight pairs are within 88 < 128; 16-bit sums take no more than BK columns of
// a row, which accepts() holds to safe_columns(128) (activations may be -128); then int32.
//
// More than kLookUpTokens tokens: codes256.h.
//
// Idea: TL1 of arXiv:2502.11880 and T-MAC (arXiv:2407.00088); the digits are our own.
#include "kernels/dot/epilogue.h"
#include "kernels/tl1/codes256.h"
#include "kernels/tl1/layout.h"
#include "kernels/tl1/tables256.h"

namespace {

// The four tables of a step, [h, l] of what high nibbles look up, then of low ones. With bm = 32
// the lanes of a register are two groups of columns, with bm = 64 rows.
template <int Bm>
inline __m256i table_of(const uint8_t* tables, int step, int which) {
    if constexpr (Bm == 32) return load32(tables + step * kTableBytes + which * 32);
    return both_lanes(tables + step / 2 * kTableBytes + step % 2 * 16 + which * 32);
}

// As instructions, because GCC 12 and Clang 19 run out of registers when they order the intrinsics
// of four steps to their own liking.
inline void look_up_add(__m256i& digits, __m256i table, __m256i index) {
    __m256i found;
    asm("vpshufb %3, %2, %1\n\tvpaddb %1, %0, %0"
        : "+x"(digits), "=&x"(found)
        : "x"(table), "x"(index));
}

constexpr int kStepsAtOnce = 4;  // of two pairs each

// Steps <= 4 steps of a block, added to its 16-bit sums: two registers for each 32 bytes of a step,
// rows 0..7 of each lane and rows 8..15.
template <int Bm, int Steps, bool Prefetch>
inline void add_steps(const uint8_t* w, const uint8_t* ahead, const uint8_t* tables,
                      __m256i (&sums)[4]) {
    const __m256i nibble = _mm256_set1_epi8(15);
    __m256i h[2], l[2];
    TB_UNROLL
    for (int s = 0; s < Steps; ++s) {
        if (Prefetch) __builtin_prefetch(ahead + s * kStepBytes);
        const __m256i bytes[2] = {load32(w + s * kStepBytes), load32(w + s * kStepBytes + 32)};
        const __m256i h0 = table_of<Bm>(tables, s, 0), l0 = table_of<Bm>(tables, s, 1);
        TB_UNROLL
        for (int r = 0; r < 2; ++r) {
            const __m256i high = _mm256_and_si256(_mm256_srli_epi16(bytes[r], 4), nibble);
            if (s == 0) {
                h[r] = _mm256_shuffle_epi8(h0, high);
                l[r] = _mm256_shuffle_epi8(l0, high);
            } else {
                look_up_add(h[r], h0, high);
                look_up_add(l[r], l0, high);
            }
        }
        const __m256i h1 = table_of<Bm>(tables, s, 2), l1 = table_of<Bm>(tables, s, 3);
        TB_UNROLL
        for (int r = 0; r < 2; ++r) {
            const __m256i low = _mm256_and_si256(bytes[r], nibble);
            look_up_add(h[r], h1, low);
            look_up_add(l[r], l1, low);
        }
    }
    const __m256i places = _mm256_set1_epi16(kBase << 8 | 1);
    TB_UNROLL
    for (int r = 0; r < 2; ++r) {
        const __m256i first = _mm256_unpacklo_epi8(l[r], h[r]);
        const __m256i second = _mm256_unpackhi_epi8(l[r], h[r]);
        sums[2 * r] = _mm256_add_epi16(sums[2 * r], _mm256_maddubs_epi16(places, first));
        sums[2 * r + 1] = _mm256_add_epi16(sums[2 * r + 1], _mm256_maddubs_epi16(places, second));
    }
}

inline void add_to(int32_t* to, __m256i wide) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), _mm256_add_epi32(load32(to), wide));
}

// One block over one tile's width: Bm rows, added to their 32-bit sums.
template <int Bm, bool Prefetch>
inline void add_block(const uint8_t* w, const uint8_t* ahead, const uint8_t* tables, int64_t steps,
                      int32_t* to) {
    constexpr int64_t kAhead = kStepsAtOnce * 256 / Bm / kTableColumns * kTableBytes;
    __m256i sums[4];
    TB_UNROLL
    for (int i = 0; i < 4; ++i) sums[i] = _mm256_setzero_si256();
    for (; steps >= kStepsAtOnce; steps -= kStepsAtOnce) {
        add_steps<Bm, kStepsAtOnce, Prefetch>(w, ahead, tables, sums);
        w += kStepsAtOnce * kStepBytes;
        ahead += kStepsAtOnce * kStepBytes;
        tables += kAhead;
    }
    switch (steps) {
        case 1:
            add_steps<Bm, 1, Prefetch>(w, ahead, tables, sums);
            break;
        case 2:
            add_steps<Bm, 2, Prefetch>(w, ahead, tables, sums);
            break;
        case 3:
            add_steps<Bm, 3, Prefetch>(w, ahead, tables, sums);
            break;
        default:
            break;
    }
    TB_UNROLL
    for (int i = 0; i < 4; ++i) {
        const __m128i lower = _mm256_castsi256_si128(sums[i]);
        const __m128i upper = _mm256_extracti128_si256(sums[i], 1);
        if constexpr (Bm == 32) {
            add_to(to + i * 8, _mm256_cvtepi16_epi32(_mm_add_epi16(lower, upper)));
        } else {
            add_to(to + i / 2 * 32 + i % 2 * 8, _mm256_cvtepi16_epi32(lower));
            add_to(to + i / 2 * 32 + 16 + i % 2 * 8, _mm256_cvtepi16_epi32(upper));
        }
    }
}

constexpr int64_t kRowsAtOnce = 1024;  // times tokens: their 32-bit sums lie on the stack
constexpr int64_t kTilesAtOnce = 4;    // distant places of memory
constexpr int kBlocksAhead = 2;        // are fetched, of 2 KB with BK = 128

// The blocks with rows [first, end), in the order in which they are read: one tile's width after
// the other, so that, whatever BM is, its tables serve all these rows before the next come from L2.
template <int Bm>
struct Walk {
    const Places& at;
    const uint8_t* bytes;
    int64_t first, end, n, k;
    const uint8_t* w;
    int64_t stop;  // of the rows of this tile

    Walk(const Places& places, const uint8_t* packed, int64_t from, int64_t to)
        : at(places), bytes(packed), first(from), end(to), n(from), k(0) {
        enter();
    }

    void enter() {
        const int64_t below = n / at.tile.rows * at.tile.rows + at.tile.rows;
        stop = below < end ? below : end;
        w = bytes + at.block(n, k);
    }

    void next() {
        n += Bm;
        if (n < stop) {
            w += at.width(k) * (Bm / 4);
            return;
        }
        if (n >= end) {
            n = first;
            k += at.tile.columns;
            if (k >= at.columns) return;
        }
        enter();
    }
};

// Rows [begin, end), for every token. What is computed of other rows of their blocks is not
// written.
template <int Bm, bool Prefetch>
void look_up_rows(const tb_product* p, const Places& at, const tb_int8_batch& x, int64_t begin,
                  int64_t end, float scale, const Sink& out) {
    alignas(32) int32_t sums[kRowsAtOnce];
    const auto* bytes = static_cast<const uint8_t*>(p->packed);
    const auto* tables = static_cast<const uint8_t*>(p->prepared) + tables_offset(p->shape, p->m);
    const int64_t token_bytes = Tables::bytes(p->shape, p->tile);
    const int64_t first = begin / Bm * Bm, count = tb_round_up(end - first, Bm);
    memset(sums, 0, static_cast<size_t>(p->m * count) * sizeof(int32_t));
    Walk<Bm> walk(at, bytes, first, end), ahead(at, bytes, first, end);
    for (int i = 0; i < kBlocksAhead; ++i) {
        if (ahead.k < at.columns) ahead.next();
    }
    while (walk.k < at.columns) {
        const int64_t steps = at.width(walk.k) / (256 / Bm);
        const uint8_t* table = tables + walk.k / kTableColumns * kTableBytes;
        for (int64_t m = 0; m < p->m; ++m) {
            add_block<Bm, Prefetch>(walk.w, ahead.w, table + m * token_bytes, steps,
                                    sums + m * count + (walk.n - first));
        }
        walk.next();
        if (ahead.k < at.columns) ahead.next();
    }
    for (int64_t m = 0; m < p->m; ++m) {
        const Token token = {0, x.scale[m] * scale};  // sums of trits, not of codes
        const int32_t* sum = sums + m * count + (begin - first);
        int64_t n = begin;
        for (; n + 4 <= end; n += 4, sum += 4) put_four(out, m, n, 1, sum, token);
        for (; n < end; ++n) put(out, m, n, *sum++, token);
    }
}

template <int Bm, bool Prefetch>
void look_up(const tb_product* p, int32_t* acc) {
    const Places at(p->shape, p->tile);
    const tb_int8_batch x = tb_int8_open(&p->shape, p->prepared, p->m);
    const float scale = tensor_scale(p->shape, p->tile, p->packed);
    const Sink out{p->y, acc, p->ldy};
    const int64_t most = kRowsAtOnce / p->m / Bm * Bm, wanted = kTilesAtOnce * at.tile.rows;
    const int64_t rows = wanted < most ? wanted : most;
    for (int64_t n = p->n_begin; n < p->n_end;) {
        const int64_t below = n / Bm * Bm + rows;
        const int64_t end = below < p->n_end ? below : p->n_end;
        look_up_rows<Bm, Prefetch>(p, at, x, n, end, scale, out);
        n = end;
    }
}

size_t scratch_size(const tb_shape* s, const tb_tile*, int64_t m) {
    return m <= kLookUpTokens ? 0 : codes_scratch(*s);
}

void multiply(const tb_product* p, int32_t* acc) {
    if (p->m > kLookUpTokens) return multiply_unpacked(p, acc);
    const bool narrow = tile_of(p->tile).bm == 32;
    if (p->m == 1 && wants_prefetch(p->tile)) {
        return narrow ? look_up<32, true>(p, acc) : look_up<64, true>(p, acc);
    }
    narrow ? look_up<32, false>(p, acc) : look_up<64, false>(p, acc);
}

void product(const tb_product* p) {
    multiply(p, nullptr);
}
void accumulate(const tb_product* p) {
    multiply(p, p->acc);
}

// Two tables (digits) are looked up for every pair.
void work(const tb_shape* s, const tb_tile* tile, int64_t m, tb_work* out) {
    const double n = static_cast<double>(s->n), k = static_cast<double>(s->k);
    const double tokens = static_cast<double>(m);
    const bool looks_up = m <= kLookUpTokens;
    out->weight_bytes = static_cast<double>(Places(*s, tile).bytes() + 4);
    out->activation_bytes = looks_up ? 4 * tokens : k * tokens;
    out->table_bytes = looks_up ? static_cast<double>(Tables::bytes(*s, tile)) * tokens : 0;
    out->output_bytes = n * tokens * 4;
    out->macs = n * k * tokens;
    out->lookups = looks_up ? n * k * tokens : 0;
}

constexpr tb_kernel with_tables(tb_kernel d) {
    d.prepared_size = prepared_tables_size<Tables, kLookUpTokens>;
    d.prepare = prepare_tables<Tables, kLookUpTokens>;
    d.prepare_tag = "tl1_tables";
    return d;
}

constexpr tb_kernel kKernel = with_tables(
    tl1_descriptor("tl1_avx2", "avx2", TB_ISA_AVX2, "bitnet.cpp's TL1: sums of pairs looked up",
                   kTileParams, scratch_size, product, accumulate, work));
constexpr const tb_kernel* kKernels[] = {&kKernel};

}  // namespace

extern "C" const tb_kernel_table tb_table_tl1_avx2;
const tb_kernel_table tb_table_tl1_avx2 = {TB_ABI_VERSION, sizeof(tb_kernel), 1, kKernels};
