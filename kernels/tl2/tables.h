/* Lookup tables of `tl2` and the product that uses them: GEMV, and GEMM of so few tokens that
 * unpacking would not pay.
 *
 * A token has K3 / 3 tables of triples, then K2 / 2 tables of pairs (columns behind K are zeros).
 * An Entry says what a table is; both depend on BK, through K3: kBytes static void triple(const
 * int8_t* x, uint8_t* to) static void pair(int8_t x0, int8_t x1, uint8_t* to)
 *
 * Rows are walked in the order of the packed bytes, which are three streams read from end to end:
 * tile by tile, 32 rows by BK columns at a time, whose 16-bit sums are added to BM sums of 32 bits
 * in L1. The tables of BK columns serve the BM / 32 blocks of a tile from L1.
 *
 * A Core supplies the arithmetic of one ISA:
 *   Entry
 *   template <bool Prefetch>
 *   static void triples(const uint8_t* index, const uint8_t* sign, const uint8_t* tables,
 *                       int64_t groups, int32_t* sums)   24 * groups columns; adds 32 sums
 *   static void pairs(const uint8_t* bytes, const uint8_t* tables, int32_t* sums)   32 columns
 * Static: see dot/epilogue.h. */
#ifndef TRITBENCH_KERNELS_TL2_TABLES_H
#define TRITBENCH_KERNELS_TL2_TABLES_H

#include "kernels/dot/epilogue.h"
#include "kernels/tl/tables.h"
#include "kernels/tl2/layout.h"

namespace {

// 32 words: the value of index i, then for i + 16 its negative. A pair's are twice the same 16, so
// that it does not matter what bit 4 of an index is.
struct WordEntry {
    static constexpr int64_t kBytes = 64;

    struct Weights {
        int16_t first[32], second[32], third[32];
    };

    static constexpr Weights triples() {
        Weights w{};
        for (int i = 0; i < 32; ++i) {
            const int v = (i % 16 > 13 ? 0 : i % 16) * (i < 16 ? 1 : -1) + 13;
            w.first[i] = static_cast<int16_t>(v / 9 - 1);
            w.second[i] = static_cast<int16_t>(v / 3 % 3 - 1);
            w.third[i] = static_cast<int16_t>(v % 3 - 1);
        }
        return w;
    }

    static constexpr Weights pairs() {
        Weights w{};
        for (int i = 0; i < 32; ++i) {
            const int v = i % 16 > 8 ? 4 : i % 16;
            w.first[i] = static_cast<int16_t>(v / 3 - 1);
            w.second[i] = static_cast<int16_t>(v % 3 - 1);
        }
        return w;
    }

    static void triple(const int8_t* x, uint8_t* to) {
        static constexpr Weights kOf = triples();
        int16_t table[32];
        for (int i = 0; i < 32; ++i) {
            table[i] = static_cast<int16_t>(kOf.first[i] * x[0] + kOf.second[i] * x[1] +
                                            kOf.third[i] * x[2]);
        }
        memcpy(to, table, sizeof table);
    }

    static void pair(int8_t x0, int8_t x1, uint8_t* to) {
        static constexpr Weights kOf = pairs();
        int16_t table[32];
        for (int i = 0; i < 32; ++i) {
            table[i] = static_cast<int16_t>(kOf.first[i] * x0 + kOf.second[i] * x1);
        }
        memcpy(to, table, sizeof table);
    }
};

template <class Entry>
struct Tl2Tables {
    static int64_t bytes(const tb_shape& s, const tb_tile* tile) {
        const Places at(s, tile);
        return tb_round_up((at.k3 / 3 + at.k2 / 2) * Entry::kBytes, 64);
    }

    static void build(const tb_shape& s, const tb_tile* tile, const int8_t* q, int64_t k_begin,
                      int64_t k_end, uint8_t* tables) {
        const Places at(s, tile);
        const int64_t triples = k_end < at.k3 ? k_end : at.k3;
        int64_t c = k_begin;
        for (; c < triples; c += 3) Entry::triple(q + c, tables + c / 3 * Entry::kBytes);
        const int64_t end = k_end == s.k ? at.k3 + at.k2 : k_end;
        const auto x = [&](int64_t k) { return k < s.k ? q[k] : int8_t{0}; };
        for (; c < end; c += 2) {
            const int64_t i = at.k3 / 3 + (c - at.k3) / 2;
            Entry::pair(x(c), x(c + 1), tables + i * Entry::kBytes);
        }
    }
};

// The rows [begin, end) of one tile with one token.
template <class Core, bool Prefetch>
void tl2_multiply_tile(const Places& at, const uint8_t* bytes, const uint8_t* tables, int64_t begin,
                       int64_t end, int64_t m, const Token& token, const Sink& out) {
    constexpr int64_t kTable = Core::Entry::kBytes;
    alignas(64) int32_t sums[kMaxBm];
    const int64_t first = begin / 32 * 32, last = tb_round_up(end, 32);
    memset(sums, 0, static_cast<size_t>(last - first) * 4);
    for (int64_t k = 0; k < at.k3; k += at.bk) {
        for (int64_t r = first; r < last; r += 32) {
            Core::template triples<Prefetch>(bytes + at.index_at(r, k), bytes + at.sign_at(r, k),
                                             tables + k / 3 * kTable, at.bk / 24, sums + r - first);
        }
    }
    for (int64_t k = 0; k < at.k2; k += 32) {
        for (int64_t r = first; r < last; r += 32) {
            Core::pairs(bytes + at.pair_at(r, k), tables + (at.k3 / 3 + k / 2) * kTable,
                        sums + r - first);
        }
    }
    int64_t r = begin;
    for (; r + 4 <= end; r += 4) put_four(out, m, r, 1, sums + r - first, token);
    for (; r < end; ++r) put(out, m, r, sums[r - first], token);
}

template <class Core, bool Prefetch>
void tl2_multiply_tiles(const tb_product* p, int32_t* acc) {
    using Tables = Tl2Tables<typename Core::Entry>;
    const Places at(p->shape, p->tile);
    const tb_int8_batch x = tb_int8_open(&p->shape, p->prepared, p->m);
    const auto* tables = static_cast<const uint8_t*>(p->prepared) + tables_offset(p->shape, p->m);
    const int64_t of_token = Tables::bytes(p->shape, p->tile);
    const float scale = tensor_scale(p->shape, p->tile, p->packed);
    const Sink out{p->y, acc, p->ldy};
    for (int64_t n = p->n_begin; n < p->n_end;) {
        const int64_t stop = n / at.bm * at.bm + at.bm;
        const int64_t end = stop < p->n_end ? stop : p->n_end;
        for (int64_t m = 0; m < p->m; ++m) {
            tl2_multiply_tile<Core, Prefetch>(at, static_cast<const uint8_t*>(p->packed),
                                              tables + m * of_token, n, end, m,
                                              {0, x.scale[m] * scale}, out);
        }
        n = end;
    }
}

// m <= kTableTokens.
template <class Core>
void tl2_look_up(const tb_product* p, int32_t* acc) {
    if (p->m == 1 && wants_prefetch(p->tile)) return tl2_multiply_tiles<Core, true>(p, acc);
    tl2_multiply_tiles<Core, false>(p, acc);
}

template <class Entry>
void tl2_work(const tb_shape* s, const tb_tile* tile, int64_t m, tb_work* out) {
    const Places at(*s, tile);
    const double n = static_cast<double>(s->n), tokens = static_cast<double>(m);
    const bool looks_up = m <= kTableTokens;
    const auto columns = static_cast<double>(s->k);
    const auto lookups = static_cast<double>(at.k3 / 3 + at.k2 / 2) * static_cast<double>(at.n);
    *out = {static_cast<double>(at.data() + 4),
            columns * tokens,
            looks_up ? static_cast<double>(Tl2Tables<Entry>::bytes(*s, tile)) * tokens : 0,
            n * tokens * 4,
            n * columns * tokens,
            looks_up ? lookups * tokens : 0};
}

// Completes a descriptor with the preparation of an Entry.
template <class Entry>
constexpr tb_kernel with_tables(tb_kernel d, const char* prepare_tag) {
    d.prepare_tag = prepare_tag;
    d.prepared_size = prepared_tables_size<Tl2Tables<Entry>>;
    d.prepare = prepare_tables<Tl2Tables<Entry>>;
    d.work = tl2_work<Entry>;
    return d;
}

constexpr const char* kWordTag = "tl2_words";

}  // namespace

#endif
