/* Lookup tables of `tl2` and the product that uses them: GEMV, and GEMM of so few tokens that
 * unpacking would not pay, a few tokens sharing the indices.
 *
 * A token has K3 / 3 tables of triples, then K2 / 2 tables of pairs (columns behind K are zeros).
 * An Entry says what a table is; both depend on BK, through K3:
 *   kBytes                        of a table
 *   kMostTokens                   batches up to this have tables
 *   static void triple(const int8_t* x, uint8_t* to)
 *   static void pair(int8_t x0, int8_t x1, uint8_t* to)
 *
 * Rows are walked in the order of the packed bytes, which are three streams read from end to end:
 * tile by tile, 32 rows by BK columns at a time, whose 16-bit sums are added to BM sums of 32 bits
 * in L1. The tables of BK columns serve the BM / 32 blocks of a tile from L1.
 *
 * A Core supplies the arithmetic of one ISA:
 *   Entry
 *   kTokens                       at most, at once
 *   template <int T> kBlocks      of 32 rows, with T tokens
 *   template <int R, int T>
 *   static void triples(Tl2Blocks at, const uint8_t* tables, int64_t of_token, int64_t ahead,
 *                       int32_t* sums)
 *        R blocks and T tokens, whose tables are of_token bytes apart; adds to sums[t * kMaxBm +
 *        row]. Fetches so many bytes ahead of the index plane.
 *   template <int T>
 *   static void pairs(const uint8_t* bytes, const uint8_t* tables, int64_t of_token, int32_t* sums)
 *        the same for one block of 32 columns in pairs
 * Static: see dot/epilogue.h. */
#ifndef TRITBENCH_KERNELS_TL2_TABLES_H
#define TRITBENCH_KERNELS_TL2_TABLES_H

#include "kernels/dot/epilogue.h"
#include "kernels/tl/tables.h"
#include "kernels/tl2/layout.h"

namespace {

constexpr int64_t kMostTableTokens = 32;

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

// Tables for batches of up to Tokens tokens: beyond, unpacking is faster (measured on Zen 4).
template <int64_t Tokens>
struct WordEntryUpTo : WordEntry {
    static constexpr int64_t kMostTokens = Tokens;
    static_assert(Tokens <= kMostTableTokens);
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

// A batch with its tables.
struct Tl2Batch {
    const uint8_t* tables;
    int64_t of_token;  // bytes of tables
    int64_t ahead;     // of the index plane, is fetched
    float scale[kMostTableTokens];
};

// Blocks of 32 rows x 24 * groups columns that follow one another in both planes.
struct Tl2Blocks {
    const uint8_t *index, *sign;
    int64_t groups;

    const uint8_t* index_of(int64_t block) const { return index + block * groups * 128; }
    const uint8_t* sign_of(int64_t block) const { return sign + block * groups * 32; }
    Tl2Blocks from(int64_t block) const { return {index_of(block), sign_of(block), groups}; }
};

// The rows [begin, end) of one tile with T tokens from token m on.
template <class Core, int T>
void tl2_multiply_tile(const Places& at, const uint8_t* bytes, const Tl2Batch& x, int64_t begin,
                       int64_t end, int64_t m, const Sink& out) {
    constexpr int64_t kTable = Core::Entry::kBytes;
    constexpr int R = Core::template kBlocks<T>;
    alignas(64) int32_t sums[T * kMaxBm];
    memset(sums, 0, sizeof sums);
    const uint8_t* tables = x.tables + m * x.of_token;
    const int64_t first = begin / 32 * 32, last = tb_round_up(end, 32);
    for (int64_t k = 0; k < at.k3; k += at.bk) {
        const uint8_t* of = tables + k / 3 * kTable;
        const Tl2Blocks blocks{bytes + at.index_at(first, k), bytes + at.sign_at(first, k),
                               at.bk / 24};
        int64_t r = 0;
        for (; r + 32 * R <= last - first; r += 32 * R) {
            Core::template triples<R, T>(blocks.from(r / 32), of, x.of_token, x.ahead, sums + r);
        }
        for (; r < last - first; r += 32) {
            Core::template triples<1, T>(blocks.from(r / 32), of, x.of_token, x.ahead, sums + r);
        }
    }
    for (int64_t k = 0; k < at.k2; k += 32) {
        const uint8_t* of = tables + (at.k3 / 3 + k / 2) * kTable;
        for (int64_t r = first; r < last; r += 32) {
            Core::template pairs<T>(bytes + at.pair_at(r, k), of, x.of_token, sums + r - first);
        }
    }
    for (int64_t t = 0; t < T; ++t) {
        const Token token{0, x.scale[m + t]};  // sums of trits, not of codes
        const int32_t* of = sums + t * kMaxBm + begin - first;
        int64_t r = begin;
        for (; r + 4 <= end; r += 4, of += 4) put_four(out, m + t, r, 1, of, token);
        for (; r < end; ++r) put(out, m + t, r, *of++, token);
    }
}

// 1 <= tokens <= Most.
template <class Core, int Most>
void tl2_multiply_tokens(int64_t tokens, const Places& at, const uint8_t* bytes, const Tl2Batch& x,
                         int64_t begin, int64_t end, int64_t m, const Sink& out) {
    if constexpr (Most > 1) {
        if (tokens < Most) {
            return tl2_multiply_tokens<Core, Most - 1>(tokens, at, bytes, x, begin, end, m, out);
        }
    }
    tl2_multiply_tile<Core, Most>(at, bytes, x, begin, end, m, out);
}

// m <= Core::Entry::kMostTokens.
template <class Core>
void tl2_look_up(const tb_product* p, int32_t* acc) {
    using Tables = Tl2Tables<typename Core::Entry>;
    const Places at(p->shape, p->tile);
    const tb_int8_batch q = tb_int8_open(&p->shape, p->prepared, p->m);
    Tl2Batch x;
    x.tables = static_cast<const uint8_t*>(p->prepared) + tables_offset(p->shape, p->m);
    x.of_token = Tables::bytes(p->shape, p->tile);
    x.ahead = p->tile == nullptr ? kTileParams[0].default_value : p->tile->value[0];
    const float scale = tensor_scale(p->shape, p->tile, p->packed);
    for (int64_t m = 0; m < p->m; ++m) x.scale[m] = q.scale[m] * scale;
    const Sink out{p->y, acc, p->ldy};
    const int64_t parts = (p->m + Core::kTokens - 1) / Core::kTokens;
    for (int64_t n = p->n_begin; n < p->n_end;) {
        const int64_t stop = n / at.bm * at.bm + at.bm;
        const int64_t end = stop < p->n_end ? stop : p->n_end;
        for (int64_t i = 0, m = 0; i < parts; ++i) {
            const int64_t tokens = p->m / parts + (i < p->m % parts);
            tl2_multiply_tokens<Core, Core::kTokens>(
                tokens, at, static_cast<const uint8_t*>(p->packed), x, n, end, m, out);
            m += tokens;
        }
        n = end;
    }
}

template <class Entry>
void tl2_work(const tb_shape* s, const tb_tile* tile, int64_t m, tb_work* out) {
    const Places at(*s, tile);
    const double n = static_cast<double>(s->n), tokens = static_cast<double>(m);
    const bool looks_up = m <= Entry::kMostTokens;
    const auto columns = static_cast<double>(s->k);
    // Blocks of padding alone are not read.
    const auto rows = static_cast<double>(tb_round_up(s->n, kBlockRows));
    const double lookups = static_cast<double>(at.k3 / 3 + at.k2 / 2) * rows;
    *out = {static_cast<double>(at.data()) / static_cast<double>(at.n) * rows + 4,
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
    d.prepared_size = prepared_tables_size<Tl2Tables<Entry>, Entry::kMostTokens>;
    d.prepare = prepare_tables<Tl2Tables<Entry>, Entry::kMostTokens>;
    d.work = tl2_work<Entry>;
    return d;
}

using Words16 = WordEntryUpTo<16>;
using Words32 = WordEntryUpTo<32>;
constexpr const char* kWords16Tag = "tl2_words16";
constexpr const char* kWords32Tag = "tl2_words32";

}  // namespace

#endif
