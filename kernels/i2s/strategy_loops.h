/* The arithmetic of bitnet.cpp's strategies (strategies.h) with AVX2: R rows of W with one token,
 * or one row with T tokens.
 *
 * Vector instructions per 128 weights (a block of 32 bytes, see layout.h) and token:
 *
 *   rows    13 : 1 shift, 4 ands, 4 vpmaddubsw, 4 adds; codes are used where the masks leave them,
 *                two fields as codes * 4 in sums of their own. 0.4 to widen the sums every 15
 *                blocks (R <= 2), or 0.6 every 7. The original has 15: 3 shifts
 *   tokens  7 / T to unpack the codes (3 shifts, 4 ands), and 4 vpmaddubsw and 4 adds, as in the
 *                original
 *
 * Rows are bound by the 4 vector pipes of Zen 4 (3.4 cycles) and the 3 of Intel; tokens by loads, 4
 * for every token at two a cycle, and by the two ports of vpmaddubsw: 2 cycles. What a row costs
 * beside that counts as much at 20 blocks a row, so that a stretch of rows leaves its int32 lanes
 * behind, to be added up eight rows at a time: 21 instructions instead of 56.
 *
 * Overflow. Rows: a pair of codes * 4 is within 2 * 8 * 128 = 2048 (activations of -128 included),
 * and a block has two: 7 blocks in one int16 sum stay within 28672, 15 in two sums within 30720.
 * Divided by 4 and added to the sum of the other fields (1024 a block) they stay within 30720, and
 * vpmaddwd widens that. The division is exact. Tokens: a block has 4 pairs of at most 512; 15
 * blocks in one sum stay within 30720, 31 in two that share the pairs within 31744. The original
 * adds 32 blocks (65536) and wraps on activations of one sign.
 *
 * Static: include only from AVX2 files. */
#ifndef TRITBENCH_KERNELS_I2S_STRATEGY_LOOPS_H
#define TRITBENCH_KERNELS_I2S_STRATEGY_LOOPS_H

#include "kernels/dot/avx2.h"

#include "kernels/i2s/gemv.h"

namespace {

// Parts of at most `most`, as even as can be: a loop that ends as late every time is one that
// branch prediction learns.
inline int64_t even_share(int64_t count, int64_t most) {
    const int64_t parts = (count + most - 1) / most;
    return (count + parts - 1) / parts;
}

// out[i] = the sum of the lanes of v[i], i < 8.
inline void sum_eight(const __m256i* v, int32_t* out) {
    __m256i two[4], four[2];
    TB_UNROLL
    for (int i = 0; i < 4; ++i) {
        two[i] = _mm256_add_epi32(_mm256_unpacklo_epi32(v[2 * i], v[2 * i + 1]),
                                  _mm256_unpackhi_epi32(v[2 * i], v[2 * i + 1]));
    }
    TB_UNROLL
    for (int i = 0; i < 2; ++i) {
        four[i] = _mm256_add_epi32(_mm256_unpacklo_epi64(two[2 * i], two[2 * i + 1]),
                                   _mm256_unpackhi_epi64(two[2 * i], two[2 * i + 1]));
    }
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(out),
                        _mm256_add_epi32(_mm256_permute2x128_si256(four[0], four[1], 0x20),
                                         _mm256_permute2x128_si256(four[0], four[1], 0x31)));
}

inline void sum_rows(const __m256i* v, int64_t count, int32_t* out) {
    int64_t i = 0;
    for (; i + 8 <= count; i += 8) sum_eight(v + i, out + i);
    for (; i < count; ++i) out[i] = sum_lanes(v[i]);
}

// `count` rows of W that are `step` bytes apart and begin equally deep in their blocks.
struct Stretch {
    const uint8_t* bytes;
    int64_t step;
    int64_t count;
    int64_t blocks;  // of a row
};

template <int S, int I>
inline void clear(__m256i (&sums)[S][I]) {
    TB_UNROLL
    for (int s = 0; s < S; ++s) {
        TB_UNROLL
        for (int i = 0; i < I; ++i) sums[s][i] = _mm256_setzero_si256();
    }
}

// wide[i] += the products of `count` blocks of row i, at p + i * step, with x; count is within 7,
// or within 15 for R <= 2. Fetch: asks memory for what is `ahead` bytes from there.
template <int R, bool Fetch>
inline void blocks_with_token(const uint8_t* p, int64_t step, int64_t ahead, int64_t count,
                              const int8_t* x, __m256i* wide) {
    constexpr int S = R <= 2 ? 2 : 1;
    const __m256i low = _mm256_set1_epi8(0x03), high = _mm256_set1_epi8(0x0c);
    __m256i by1[1][R], by4[S][R];
    clear(by1);
    clear(by4);
    for (const uint8_t* end = p + count * kBlockBytes; p != end; p += kBlockBytes) {
        TB_UNROLL
        for (int r = 0; r < R; ++r) {
            if (Fetch) __builtin_prefetch(p + r * step + ahead);
            const __m256i v = load32(p + r * step);
            const __m256i u = _mm256_srli_epi16(v, 4);
            multiply_add(by4[0][r], _mm256_and_si256(u, high), x);
            multiply_add(by1[0][r], _mm256_and_si256(u, low), x + 32);
            multiply_add(by4[S - 1][r], _mm256_and_si256(v, high), x + 64);
            multiply_add(by1[0][r], _mm256_and_si256(v, low), x + 96);
        }
        x += kBlock;
    }
    TB_UNROLL
    for (int r = 0; r < R; ++r) {
        TB_UNROLL
        for (int s = 0; s < S; ++s) {
            by1[0][r] = _mm256_add_epi16(by1[0][r], _mm256_srai_epi16(by4[s][r], 2));
        }
        wide[r] = _mm256_add_epi32(wide[r], _mm256_madd_epi16(by1[0][r], _mm256_set1_epi16(1)));
    }
}

// wide[i] = row i of w with one token, R rows at a time; w.count is a multiple of R. Eight rows are
// two times four, seven blocks by seven: that is what there are registers for. Fetch: a few rows
// side by side are no streams to the prefetchers of Zen 4, and asking for the next R rows saves a
// quarter of the time when rows come from memory; it costs a fiftieth when they do not.
template <int R, bool Fetch>
__attribute__((noinline)) void rows_with_token(const Stretch& w, const int8_t* x, __m256i* wide) {
    constexpr int kAtOnce = R == 8 ? 4 : R;
    const int64_t step = w.step, share = even_share(w.blocks, R <= 2 ? 15 : 7);
    const uint8_t* row = w.bytes;
    for (const __m256i* end = wide + w.count; wide != end; wide += R, row += R * step) {
        const uint8_t* p = row;
        const int8_t* q = x;
        TB_UNROLL
        for (int r = 0; r < R; ++r) wide[r] = _mm256_setzero_si256();
        for (int64_t left = w.blocks; left > 0; left -= share) {
            const int64_t count = left < share ? left : share;
            for (int r = 0; r < R; r += kAtOnce) {
                blocks_with_token<kAtOnce, Fetch>(p + r * step, step, R * step, count, q, wide + r);
            }
            p += count * kBlockBytes;
            q += count * kBlock;
        }
    }
}

// acc += codes . x, with codes to be used again.
inline void multiply_add_again(__m256i& acc, __m256i codes, const int8_t* x) {
    __m256i pairs;
    asm("vpmaddubsw %3, %2, %1\n\tvpaddw %1, %0, %0"
        : "+x"(acc), "=&x"(pairs)
        : "x"(codes), "m"(*reinterpret_cast<const __m256i*>(x)));
}

// wide[t * w.count + i] += row i of w with token t of T, at x + t * ldx; from 0 if `fresh`.
template <int T>
__attribute__((noinline)) void rows_with_tokens(const Stretch& w, const int8_t* x, int64_t ldx,
                                                bool fresh, __m256i* wide) {
    constexpr int S = T == 8 ? 1 : 2;  // sums of a token; with two, half the chain of additions
    const __m256i low = _mm256_set1_epi8(0x03), ones = _mm256_set1_epi16(1);
    const int64_t share = even_share(w.blocks, 16 * S - 1), columns = w.blocks * kBlock;
    const uint8_t* row = w.bytes;
    const int8_t* xs[T];
    TB_UNROLL
    for (int t = 0; t < T; ++t) {
        xs[t] = x + t * ldx;
        asm("" : "+r"(xs[t]));  // a pointer each: GCC would keep differences, in memory
    }
    for (const __m256i* end = wide + w.count; wide != end; ++wide, row += w.step) {
        const uint8_t* p = row;
        if (fresh) {
            TB_UNROLL
            for (int t = 0; t < T; ++t) wide[t * w.count] = _mm256_setzero_si256();
        }
        for (int64_t left = w.blocks; left > 0; left -= share) {
            __m256i narrow[S][T];
            clear(narrow);
            const int64_t count = left < share ? left : share;
            for (const uint8_t* stop = p + count * kBlockBytes; p != stop; p += kBlockBytes) {
                const __m256i v = load32(p);
                __m256i codes[4];
                TB_UNROLL
                for (int f = 0; f < 4; ++f) {
                    codes[f] = _mm256_and_si256(_mm256_srli_epi16(v, 6 - 2 * f), low);
                }
                TB_UNROLL
                for (int t = 0; t < T; ++t) {
                    TB_UNROLL
                    for (int f = 0; f < 4; ++f) {
                        multiply_add_again(narrow[f % S][t], codes[f], xs[t] + 32 * f);
                    }
                    xs[t] += kBlock;
                }
            }
            TB_UNROLL
            for (int t = 0; t < T; ++t) {
                __m256i* const sum = wide + t * w.count;
                TB_UNROLL
                for (int s = 0; s < S; ++s) {
                    *sum = _mm256_add_epi32(*sum, _mm256_madd_epi16(narrow[s][t], ones));
                }
            }
        }
        TB_UNROLL
        for (int t = 0; t < T; ++t) xs[t] -= columns;
    }
}

}  // namespace

#endif
