/* i2c with 256-bit registers: what AVX2 and AVX-VNNI share. The lines of a group of columns are
 * interleaved to four panels of i2r in a buffer that stays in L1, and the Core of i2r
 * (lanes/panels.h) multiplies these. Per four columns and 256 rows the way through the buffer costs
 * 8 loads, 16 vpunpck and 8 stores beside the 107 operations of i2r_avx2 (56 of i2r_avxvnni).
 *
 * GEMV: group by group, line by line, as in avx512vnni.cpp, sums in scratch. GEMM: where many
 * activations are zero token by token; otherwise all columns are unpacked to byte
 * codes and multiplied as in lanes/avx2.h, in blocks of 512 columns and 256 tokens.
 *
 * Overflow: that of the Core, and of the tile of lanes/avx2.h. Static: see dot/epilogue.h. Include
 * only from AVX2 or AVX-VNNI files, after lanes/avx2.h. */
#ifndef TRITBENCH_KERNELS_I2C_PANELS256_H
#define TRITBENCH_KERNELS_I2C_PANELS256_H

#include "kernels/i2c/active256.h"
#include "kernels/i2c/call.h"
#include "kernels/i2r/unpack256.h"
#include "kernels/lanes/avx2.h"

namespace {

constexpr int64_t kGroup = 48;     // columns of a group: 12 steps of i2r, 3 KB
constexpr int64_t kFewTokens = 3;  // so many are multiplied one by one, zeros or not
constexpr int64_t kSteps = kBlockColumns / Format::kColumns;
static_assert(kGroup <= kPadding);

// Half h of four lines to half h of a step of each of the panels, which are `apart` bytes apart.
inline void interleave_half(const uint8_t* const (&lines)[4], int h, uint8_t* to, int64_t apart) {
    const __m256i a = load32(lines[0] + 32 * h), b = load32(lines[1] + 32 * h);
    const __m256i c = load32(lines[2] + 32 * h), d = load32(lines[3] + 32 * h);
    const __m256i ab_low = _mm256_unpacklo_epi8(a, b), ab_high = _mm256_unpackhi_epi8(a, b);
    const __m256i cd_low = _mm256_unpacklo_epi8(c, d), cd_high = _mm256_unpackhi_epi8(c, d);
    to += 32 * h;
    store32(to, _mm256_unpacklo_epi16(ab_low, cd_low));
    store32(to + apart, _mm256_unpackhi_epi16(ab_low, cd_low));
    store32(to + 2 * apart, _mm256_unpacklo_epi16(ab_high, cd_high));
    store32(to + 3 * apart, _mm256_unpackhi_epi16(ab_high, cd_high));
}

inline void interleave(const uint8_t* const (&lines)[4], uint8_t* to, int64_t apart) {
    interleave_half(lines, 0, to, apart);
    interleave_half(lines, 1, to, apart);
}

// One line of the columns [begin, end) of a list, at most kGroup of them, added to sums [4][64].
// The same line of the columns `ahead` further in the list is fetched.
template <class Core>
void add_line(const uint8_t* line, int64_t stride, const ActiveColumns& list, int64_t begin,
              int64_t end, int64_t ahead, int32_t* sums) {
    constexpr int64_t kApart = kGroup / 4 * 64;
    alignas(64) uint8_t panels[kPanelsOfLine * kApart];
    uint8_t* to = panels;
    for (int64_t i = begin; i < end; i += 4, to += 64) {
        const uint16_t* index = list.index + i;
        for (int j = 0; j < 4; ++j) __builtin_prefetch(line + index[ahead + j] * stride, 0, 2);
        const uint8_t* const lines[4] = {line + index[0] * stride, line + index[1] * stride,
                                         line + index[2] * stride, line + index[3] * stride};
        interleave(lines, to, kApart);
    }
    for (int64_t s = 0; s < kPanelsOfLine; ++s) {
        alignas(64) int32_t more[kPanelRows];
        Core::template panel<false>(panels + s * kApart, list.q + begin, (end - begin) / 4, more);
        for (int64_t r = 0; r < kPanelRows; ++r) sums[s * kPanelRows + r] += more[r];
    }
}

// From the sums of a line to results.
inline void put_line(const Call& call, int64_t m, int64_t line, const int32_t* sums,
                     const Token& token) {
    put_rows(call.out, m, line * kLineRows, kLineRows, sums, token, call.p->n_begin, call.p->n_end);
}

// Scratch: the sums of all lines, then the list.
template <class Core>
void gemv_groups(const Call& call, int64_t m) {
    const tb_shape& shape = call.p->shape;
    auto* const sums = static_cast<int32_t*>(call.p->scratch);
    memset(sums, 0, static_cast<size_t>((call.end - call.begin) * kLineRows * 4));
    ListSpace space(shape, sums + line_count(shape) * kLineRows);
    const ActiveColumns list = space.fill(call.x.q + m * call.x.kp, call.x.kp, fill_table);
    fetch_first(call.packed + call.begin * kLineBytes, call.end - call.begin, call.stride, list,
                kGroup);
    for (int64_t i = 0; i < list.count; i += kGroup) {
        for (int64_t line = call.begin; line < call.end; ++line) {
            add_line<Core>(call.packed + line * kLineBytes, call.stride, list, i,
                           smaller(i + kGroup, list.count), kGroup,
                           sums + (line - call.begin) * kLineRows);
        }
    }
    const Token token = token_of(call.x, m, call.scale);
    for (int64_t line = call.begin; line < call.end; ++line) {
        put_line(call, m, line, sums + (line - call.begin) * kLineRows, token);
    }
}

// Columns [k, k + 4 steps) of a line as byte codes [panel][field][kFieldBytes]; columns from K on
// repeat the last, for their activations are zeros.
inline void unpack_line(const uint8_t* line, int64_t stride, int64_t k, int64_t steps, int64_t last,
                        uint8_t* codes) {
    const auto column = [&](int64_t i) { return line + smaller(i, last) * stride; };
    for (int64_t i = 0; i < steps; ++i, k += 4, codes += 64) {
        alignas(64) uint8_t step[kPanelsOfLine][64];
        const uint8_t* const lines[4] = {column(k), column(k + 1), column(k + 2), column(k + 3)};
        interleave(lines, step[0], 64);
        for (int64_t s = 0; s < kPanelsOfLine; ++s) {
            Unpack::step(step[s], codes + s * Format::kFields * kFieldBytes);
        }
    }
}

// Scratch: the codes of a block, then the sums of a panel and its tokens, panel by panel.
template <class Tile>
void gemm_dense(const Call& call) {
    const int64_t k_all = call.p->shape.k, all_steps = (k_all + 3) / 4;
    constexpr int64_t kPanelBytes = Format::kFields * kFieldBytes;
    auto* const codes = static_cast<uint8_t*>(call.p->scratch);
    auto* const sums = reinterpret_cast<int32_t*>(codes + kPanelsOfLine * kPanelBytes);
    for (int64_t line = call.begin; line < call.end; ++line) {
        for (int64_t first = 0; first < call.x.m; first += kBlockTokens) {
            const int64_t tokens = at_most(kBlockTokens, call.x.m - first);
            memset(sums, 0, static_cast<size_t>(tokens * kLineRows * 4));
            for (int64_t step = 0; step < all_steps; step += kSteps) {
                const int64_t steps = at_most(kSteps, all_steps - step);
                unpack_line(call.packed + line * kLineBytes, call.stride, 4 * step, steps,
                            k_all - 1, codes);
                for (int64_t s = 0; s < kPanelsOfLine; ++s) {
                    multiply_block<Format, Tile>(codes + s * kPanelBytes,
                                                 call.x.q + first * call.x.kp + 4 * step, call.x.kp,
                                                 steps, tokens, sums + s * tokens * kPanelRows);
                }
            }
            for (int64_t t = 0; t < tokens; ++t) {
                const Token token = token_of(call.x, first + t, call.scale);
                for (int64_t s = 0; s < kPanelsOfLine; ++s) {
                    put_rows(call.out, first + t, line * kLineRows + s * kPanelRows, kPanelRows,
                             sums + (s * tokens + t) * kPanelRows, token, call.p->n_begin,
                             call.p->n_end);
                }
            }
        }
    }
}

size_t scratch_size(const tb_shape* s, const tb_tile*, int64_t m) {
    const int64_t one = line_count(*s) * kLineRows * 4 + list_bytes(*s);
    if (m <= kFewTokens) return static_cast<size_t>(one);
    const int64_t dense =
        kPanelsOfLine * Format::kFields * kFieldBytes + at_most(m, kBlockTokens) * kLineRows * 4;
    return static_cast<size_t>(dense > one ? dense : one);
}

// Core and Tile are those of i2r. Up to `sparse_share` of activations that count, the tokens of a
// batch are multiplied one by one.
template <class Core, class Tile>
void multiply_lists(const tb_product* p, int32_t* acc, double sparse_share) {
    const Call call(p, acc);
    if (p->m > kFewTokens && active_share(call.x) > sparse_share) return gemm_dense<Tile>(call);
    for (int64_t m = 0; m < p->m; ++m) gemv_groups<Core>(call, m);
}

}  // namespace

#endif
