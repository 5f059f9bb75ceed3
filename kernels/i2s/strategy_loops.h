/* The arithmetic of bitnet.cpp's strategies (strategies.h) with AVX2: R rows of W with one token,
 * or one row with T tokens.
 *
 * Vector instructions per 128 weights (a block of 32 bytes, see layout.h) and token:
 *
 *   rows    14 : 1 shift, 4 ands, 4 vpmaddubsw, 4 adds and a shift that divides the sum of the two
 *                fields that were left at codes * 4; the original has 15 (3 shifts)
 *   tokens  7 / T to unpack the codes (3 shifts, 4 ands), and 4 vpmaddubsw and 4 adds
 *
 * Rows are bound by the 4 vector pipes of Zen 4 (3.5 cycles) and the 3 of Intel; tokens by loads, 4
 * for every token at two a cycle, and by the two ports of vpmaddubsw: 2 cycles. What a row costs
 * beside that counts as much at 20 blocks a row, so a call does a stretch of rows and leaves its
 * sums to be finished together.
 *
 * Overflow: a block adds 4 pairs of at most 2 * 2 * 128 = 512 to a row's int16 lane (activations of
 * -128 included). In one sum 15 blocks stay within 30720, in two that share the pairs 31 within
 * 31744; then vpmaddwd widens them. codes * 4 in two fields are within 4096. The original adds 32
 * blocks (65536) and wraps on activations of one sign. Static: include only from AVX2 files. */
#ifndef TRITBENCH_KERNELS_I2S_STRATEGY_LOOPS_H
#define TRITBENCH_KERNELS_I2S_STRATEGY_LOOPS_H

#include "kernels/dot/avx2.h"

#include "kernels/i2s/gemv.h"

namespace {

// Sums in int16 of each row or token: two of them leave all the four products of a block to half
// the chain of additions and hold twice as many blocks, and eight rows have registers for one.
constexpr int sums_of(int operands) {
    return operands == 8 ? 1 : 2;
}

// Blocks to do before the next widening: as even a share as 15 or 31 allow, since a loop that ends
// as late every time is one that branch prediction learns.
inline int64_t even_share(int64_t blocks, int sums) {
    const int64_t safe = 16 * sums - 1, parts = (blocks + safe - 1) / safe;
    return (blocks + parts - 1) / parts;
}

// Adds the int16 sums of operand i, narrow[.][i], to wide[i] and clears them.
template <int S, int I>
inline void widen(__m256i (&narrow)[S][I], __m256i (&wide)[I]) {
    const __m256i ones = _mm256_set1_epi16(1);
    TB_UNROLL
    for (int s = 0; s < S; ++s) {
        TB_UNROLL
        for (int i = 0; i < I; ++i) {
            wide[i] = _mm256_add_epi32(wide[i], _mm256_madd_epi16(narrow[s][i], ones));
            narrow[s][i] = _mm256_setzero_si256();
        }
    }
}

template <int I>
inline void sum_all(const __m256i (&v)[I], int32_t* out) {
    if constexpr (I == 8) {
        const __m256i first[4] = {v[0], v[1], v[2], v[3]}, last[4] = {v[4], v[5], v[6], v[7]};
        sum_each<4>(first, out);
        sum_each<4>(last, out + 4);
    } else {
        sum_each<I>(v, out);
    }
}

template <int S, int I>
inline void clear(__m256i (&narrow)[S][I], __m256i (&wide)[I]) {
    TB_UNROLL
    for (int i = 0; i < I; ++i) {
        wide[i] = _mm256_setzero_si256();
        narrow[0][i] = wide[i];
        narrow[S - 1][i] = wide[i];
    }
}

// acc += codes . x, with codes to be used again.
inline void multiply_add_again(__m256i& acc, __m256i codes, const int8_t* x) {
    __m256i pairs;
    asm("vpmaddubsw %3, %2, %1\n\tvpaddw %1, %0, %0"
        : "+x"(acc), "=&x"(pairs)
        : "x"(codes), "m"(*reinterpret_cast<const __m256i*>(x)));
}

// `count` rows of W that are `step` bytes apart and begin equally deep in their blocks.
struct Stretch {
    const uint8_t* bytes;
    int64_t step;
    int64_t count;
    int64_t blocks;  // of a row
    int64_t share;   // of them, between two widenings
};

// out[i] of all rows of w with one token, R rows at a time; w.count is a multiple of R.
template <int R>
__attribute__((noinline)) void rows_with_token(const Stretch& w, const int8_t* x, int32_t* out) {
    constexpr int S = sums_of(R);
    const __m256i low = _mm256_set1_epi8(0x03), high = _mm256_set1_epi8(0x0c);
    const int64_t step = w.step, share = w.share;
    const uint8_t* row = w.bytes;
    for (const int32_t* end = out + w.count; out != end; out += R, row += R * step) {
        __m256i wide[R], narrow[S][R];
        clear(narrow, wide);
        const uint8_t* p = row;
        const int8_t* q = x;
        for (int64_t left = w.blocks; left > 0; left -= share) {
            const int64_t count = left < share ? left : share;
            for (const uint8_t* stop = p + count * kBlockBytes; p != stop; p += kBlockBytes) {
                TB_UNROLL
                for (int r = 0; r < R; ++r) {
                    const __m256i v = load32(p + r * step);
                    const __m256i u = _mm256_srli_epi16(v, 4);
                    __m256i by4 = _mm256_maddubs_epi16(_mm256_and_si256(u, high), load32(q));
                    multiply_add(narrow[0][r], _mm256_and_si256(u, low), q + 32);
                    multiply_add(by4, _mm256_and_si256(v, high), q + 64);
                    multiply_add(narrow[0][r], _mm256_and_si256(v, low), q + 96);
                    narrow[S - 1][r] =
                        _mm256_add_epi16(narrow[S - 1][r], _mm256_srai_epi16(by4, 2));
                }
                q += kBlock;
            }
            widen(narrow, wide);
        }
        sum_all(wide, out);
    }
}

// out[i * T + t] of all rows i of w with T tokens that are ldx bytes apart.
template <int T>
__attribute__((noinline)) void rows_with_tokens(const Stretch& w, const int8_t* x, int64_t ldx,
                                                int32_t* out) {
    constexpr int S = sums_of(T);
    const __m256i low = _mm256_set1_epi8(0x03);
    const int64_t step = w.step, share = w.share, columns = w.blocks * kBlock;
    const uint8_t* row = w.bytes;
    const int8_t* xs[T];
    TB_UNROLL
    for (int t = 0; t < T; ++t) {
        xs[t] = x + t * ldx;
        asm("" : "+r"(xs[t]));  // a pointer each: GCC would keep differences, in memory
    }
    for (const int32_t* end = out + w.count * T; out != end; out += T, row += step) {
        __m256i wide[T], narrow[S][T];
        clear(narrow, wide);
        const uint8_t* p = row;
        for (int64_t left = w.blocks; left > 0; left -= share) {
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
            widen(narrow, wide);
        }
        sum_all(wide, out);
        TB_UNROLL
        for (int t = 0; t < T; ++t) xs[t] -= columns;
    }
}

}  // namespace

#endif
