/* bitnet.cpp's three ways through an I2_S product, of its January 2026 kernels and the table of its
 * optimisation guide, as run-time tiles of one kernel. Source: microsoft/BitNet src/README.md,
 * include/gemm-config.h and src/ggml-bitnet-mad.cpp; written anew. The arithmetic, what bounds it
 * and why it does not overflow: strategy_loops.h.
 *
 *   strategy 0  none                one row of W with one token
 *   strategy 1  weight-parallel     `degree` rows of W with one token
 *   strategy 2  activation-parallel one row of W with `degree` tokens, its codes unpacked once
 *
 * A block of `row_block` tokens (rows of x: the names are bitnet.cpp's) meets one of `column_block`
 * rows of W. Strategies 0 and 1 keep the tokens and walk W past them, 2 keeps the rows of W. What
 * is left over at an edge is done by half the degree, and so on down to one. The original hands
 * tokens that the degree does not divide to a loop over rows of W, and so computes other elements;
 * it escapes this at the degree of 4 by cutting batches at a multiple of 4. One token leaves
 * strategy 2 nothing to share: it then is strategy 0, as published.
 *
 * The bytes are those of layout.h for all three. The original's weight-parallel build quantises to
 * another order (byte [n / 4][k] has rows n .. n + 3), which the loop that it runs does not read:
 * that takes rows K / 4 bytes apart as published files have them, and so does this one. The
 * original drops K % 128 columns of a row; here rows that begin inside a block are read with moved
 * activations (gemv.h), and rows done together are as many rows apart as makes them equally deep.
 *
 * Static: include only from AVX2 files. */
#ifndef TRITBENCH_KERNELS_I2S_STRATEGIES_H
#define TRITBENCH_KERNELS_I2S_STRATEGIES_H

#include "kernels/i2s/strategy_loops.h"

namespace {

constexpr int32_t kStrategies[] = {0, 1, 2};
constexpr int32_t kRowBlocks[] = {2, 4, 8, 16, 32, 128};
constexpr int32_t kColumnBlocks[] = {32, 64, 128, 256, 512, 1024};
constexpr int32_t kDegrees[] = {2, 4, 8};
enum { kNoParallelism, kWeightParallel, kActivationParallel };

// The guide's sweep, its best as defaults, and 128, the row block of the weight-parallel build.
constexpr tb_tile_param kStrategyTile[] = {
    {"strategy", kStrategies, 3, kActivationParallel, TB_TILE_AFFECTS_CALL},
    {"row_block", kRowBlocks, 6, 4, TB_TILE_AFFECTS_CALL},
    {"column_block", kColumnBlocks, 6, 128, TB_TILE_AFFECTS_CALL},
    {"degree", kDegrees, 3, 4, TB_TILE_AFFECTS_CALL}};
constexpr int32_t kStrategyTileCount = 4;

struct StrategyTile {
    int32_t strategy, row_block, column_block, degree;

    explicit StrategyTile(const tb_tile* tile) {
        int32_t v[kStrategyTileCount];
        for (int32_t i = 0; i < kStrategyTileCount; ++i) {
            v[i] = tile == nullptr ? kStrategyTile[i].default_value : tile->value[i];
        }
        strategy = v[0];
        row_block = v[1];
        column_block = v[2];
        degree = v[3];
    }
};

tb_status strategies_accepts(const tb_shape* s, const tb_tile* tile) {
    const StrategyTile t(tile);
    if (t.strategy == kNoParallelism && t.degree != kStrategyTile[3].default_value) {
        return {TB_BAD_TILE, "strategy 0 has no degree of parallelism to choose"};
    }
    if (t.strategy == kActivationParallel && t.degree > t.row_block) {
        return {TB_BAD_TILE, "a row block of fewer tokens than the degree never reaches it"};
    }
    return i2s_accepts(s, nullptr);
}

// Copies of the tokens, and only where rows begin inside blocks.
size_t strategies_scratch(const tb_shape* s, const tb_tile*, int64_t m) {
    if (s->k % kBlock == 0) return 0;
    return static_cast<size_t>((s->k % 32 == 0 ? m : 1) * copy_bytes(s->k));
}

// Rows between two visits to the output: 128 of a GEMV at once are slower by a tenth, from memory.
constexpr int64_t kStretchOfToken = 32;
constexpr int64_t kStretchOfTokens = 16;

// Tokens that fit an L1 of 32 KB pass whole; others, as 4 of 14336 columns, would come from L2
// again for every row, and meet a stretch of rows in parts of fewer columns. From memory parts cost
// a fifth, because rows are no long streams then: not where it can be helped.
constexpr int64_t kWholeTokenBytes = 28 * 1024, kPartBytes = 20 * 1024;

// One product by a strategy. Core: see gemv.h; here only for how it wants its activations.
template <class Core>
struct StrategyCall {
    const tb_product* const p;
    const StrategyTile tile;
    const MovedTokens<Core> tokens;
    const int64_t k;
    const float scale;
    const Sink out;

    StrategyCall(const tb_product* product, int32_t* acc)
        : p(product),
          tile(product->tile),
          tokens(product),
          k(product->shape.k),
          scale(tensor_scale(product->shape, product->packed)),
          out{product->y, acc, product->ldy} {}

    // `count` rows from row n on, `apart` rows from each other.
    Stretch stretch(int64_t n, int64_t apart, int64_t count) const {
        const int64_t begin = n * k;
        return {static_cast<const uint8_t*>(p->packed) + begin / kBlock * kBlockBytes,
                apart * k / 4, count, (begin % kBlock + k + kBlock - 1) / kBlock};
    }
    // Token m for a row that begins where row n does.
    const int8_t* token(int64_t m, int64_t n) const {
        return Core::view(tokens.first + m * tokens.ldx, k, n * k % kBlock / 32);
    }

    // Row n + i * apart and token m have the sum of the lanes of wide[i]; count <= kStretchOfToken.
    void finish(const __m256i* wide, int64_t count, int64_t m, int64_t n, int64_t apart,
                const Token& token) const {
        int32_t sums[kStretchOfToken];
        sum_rows(wide, count, sums);
        if (apart != 1 || out.acc != nullptr) {
            for (int64_t i = 0; i < count; ++i) put(out, m, n + i * apart, sums[i], token);
            return;
        }
        float* const y = out.y + m * out.ld + n;
        for (int64_t i = 0; i < count; ++i) {
            y[i] = static_cast<float>(sums[i] - token.sum) * token.scale;
        }
    }

    // Rows [n, end), at most kStretchOfToken, with token m: R at a time as far as they go.
    template <int R>
    void with_token(int64_t m, int64_t n, int64_t end, const Token& epilogue) const {
        __m256i wide[kStretchOfToken];
        const int64_t apart = tokens.phases, whole = (end - n) / (R * apart) * R;
        for (int64_t first = 0; first < apart && n + first < end; ++first) {
            const int64_t count = R == 1 ? (end - n - first + apart - 1) / apart : whole;
            if (count == 0) break;
            const Stretch w = stretch(n + first, apart, count);
            if (R > 1 && p->m == 1) {
                rows_with_token<R, R != 1>(w, token(m, n + first), wide);
            } else {
                rows_with_token<R, false>(w, token(m, n + first), wide);
            }
            finish(wide, count, m, n + first, apart, epilogue);
        }
        if constexpr (R > 1) with_token<R / 2>(m, n + whole * apart, end, epilogue);
    }

    // The rows of w with T tokens that are tokens.ldx apart, from x on.
    template <int T>
    void in_parts(Stretch w, const int8_t* x, __m256i* wide) const {
        const int64_t blocks = w.blocks;
        const bool whole = blocks * kBlock * T <= kWholeTokenBytes;
        const int64_t share = whole ? blocks : even_share(blocks, kPartBytes / kBlock / T);
        for (int64_t done = 0; done < blocks; done += share) {
            w.blocks = smaller(share, blocks - done);
            rows_with_tokens<T>(w, x + done * kBlock, tokens.ldx, done == 0, wide);
            w.bytes += w.blocks * kBlockBytes;
        }
    }

    // Tokens [m, m_end) with rows [n, n_end), at most kStretchOfTokens: T at a time.
    template <int T>
    void with_tokens(int64_t m, int64_t m_end, int64_t n, int64_t n_end,
                     const Token* epilogue) const {
        const int64_t apart = tokens.phases;
        for (; m + T <= m_end; m += T, epilogue += T) {
            if constexpr (T == 1) {
                with_token<1>(m, n, n_end, *epilogue);
                continue;
            }
            __m256i wide[kStretchOfTokens * T];
            for (int64_t first = 0; first < apart && n + first < n_end; ++first) {
                const int64_t count = (n_end - n - first + apart - 1) / apart;
                in_parts<T>(stretch(n + first, apart, count), token(m, n + first), wide);
                for (int t = 0; t < T; ++t) {
                    finish(wide + t * count, count, m + t, n + first, apart, epilogue[t]);
                }
            }
        }
        if constexpr (T > 1) with_tokens<T / 2>(m, m_end, n, n_end, epilogue);
    }

    static int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }

    // Strategies 0 (R = 1) and 1.
    template <int R>
    void by_rows() const {
        for (int64_t m0 = 0; m0 < p->m; m0 += tile.row_block) {
            const int64_t m1 = smaller(m0 + tile.row_block, p->m);
            for (int64_t n0 = p->n_begin; n0 < p->n_end; n0 += tile.column_block) {
                const int64_t n1 = smaller(n0 + tile.column_block, p->n_end);
                for (int64_t m = m0; m < m1; ++m) {
                    const Token epilogue = token_of(tokens.x, m, scale);
                    for (int64_t n = n0; n < n1; n += kStretchOfToken) {
                        with_token<R>(m, n, smaller(n + kStretchOfToken, n1), epilogue);
                    }
                }
            }
        }
    }

    // Strategy 2.
    template <int T>
    void by_tokens() const {
        Token epilogue[kRowBlocks[5]];
        for (int64_t n0 = p->n_begin; n0 < p->n_end; n0 += tile.column_block) {
            const int64_t n1 = smaller(n0 + tile.column_block, p->n_end);
            for (int64_t m = 0; m < p->m; m += tile.row_block) {
                const int64_t end = smaller(m + tile.row_block, p->m);
                for (int64_t i = m; i < end; ++i) epilogue[i - m] = token_of(tokens.x, i, scale);
                for (int64_t n = n0; n < n1; n += kStretchOfTokens) {
                    with_tokens<T>(m, end, n, smaller(n + kStretchOfTokens, n1), epilogue);
                }
            }
        }
    }

    // Rows that begin anywhere: one by one, whatever the strategy.
    void odd_rows() const {
        for (int64_t m = 0; m < p->m; ++m) {
            const Token epilogue = token_of(tokens.x, m, scale);
            for (int64_t n = p->n_begin; n < p->n_end; ++n) {
                tokens.copy(m, n * k % kBlock);
                __m256i wide;
                rows_with_token<1, false>(stretch(n, 1, 1), tokens.first, &wide);
                finish(&wide, 1, m, n, 1, epilogue);
            }
        }
    }

    void run() const {
        if (!tokens.on_fields) return odd_rows();
        if (tile.strategy == kNoParallelism ||
            (tile.strategy == kActivationParallel && p->m == 1)) {
            return by_rows<1>();
        }
        const bool rows = tile.strategy == kWeightParallel;
        if (tile.degree == 2) return rows ? by_rows<2>() : by_tokens<2>();
        if (tile.degree == 4) return rows ? by_rows<4>() : by_tokens<4>();
        rows ? by_rows<8>() : by_tokens<8>();
    }
};

constexpr tb_kernel with_strategies(tb_kernel d) {
    d.accepts = strategies_accepts;
    d.tile_params = kStrategyTile;
    d.tile_param_count = kStrategyTileCount;
    return d;
}

}  // namespace

#endif
