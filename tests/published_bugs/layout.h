// Published bugs of layout, remainder, stride and memory, in a few lines each.
#pragma once

#include <algorithm>
#include <cstring>
#include <map>
#include <vector>

#include "tests/published_bugs/mutant.h"

namespace tritbench::testing {

// ---- the three orders of I2_S ------------------------------------------------------------------

enum class I2sOrder {
    X86,      // blocks of 128 weights, 32 bytes: j, j + 32, j + 64, j + 96 share a byte
    Arm,      // blocks of 64, 16 bytes: j, j + 16, j + 32, j + 48
    FourRows  // a byte has one column of four rows; N % 4 == 0
};

// A tensor as that build of bitnet.cpp writes it: codes -1 -> 0, 0 -> 1, +1 -> 2, the first in the
// high bits; a float32 scale behind them, 28 bytes of zero. N * K % 128 == 0.
inline std::vector<uint8_t> i2s_bytes(I2sOrder order, tb_shape s, const std::vector<int8_t>& trits,
                                      float scale) {
    const auto codes = static_cast<size_t>(s.n * s.k / 4);
    std::vector<uint8_t> bytes(codes + 32, 0);
    for (int64_t e = 0; e < s.n * s.k; ++e) {
        int64_t byte = 0, place = 0;  // place 0 is bits 7:6
        if (order == I2sOrder::FourRows) {
            byte = e / s.k / 4 * s.k + e % s.k;
            place = e / s.k % 4;
        } else {
            const int64_t block = order == I2sOrder::X86 ? 128 : 64, quarter = block / 4;
            byte = e / block * quarter + e % quarter;
            place = e % block / quarter;
        }
        const int code = trits[static_cast<size_t>(e)] + 1;
        bytes[static_cast<size_t>(byte)] |= static_cast<uint8_t>(code << (6 - 2 * place));
    }
    std::memcpy(bytes.data() + codes, &scale, sizeof scale);
    return bytes;
}

// B2.10: the packer of a build for ARM. The kernels read what x86 writes.
inline tb_status pack_64_16(const tb_shape* s, const tb_tile* tile, const tb_weights* w,
                            int64_t begin, int64_t end, void* packed) {
    const tb_kernel& base = *find_kernel("i2s_scalar");
    const tb_status status = base.pack(s, tile, w, begin, end, packed);
    if (status.code != TB_OK || begin != 0 || end != s->n || s->n * s->k % 128 != 0) return status;
    const std::vector<int8_t> trits(w->trits, w->trits + s->n * s->k);
    const std::vector<uint8_t> bytes = i2s_bytes(I2sOrder::Arm, *s, trits, w->scales[0]);
    std::copy(bytes.begin(), bytes.end(), static_cast<uint8_t*>(packed));
    return status;
}

// ---- remainders --------------------------------------------------------------------------------

inline int code_in_block(const uint8_t* block, int64_t j) {
    return block[j % 32] >> (6 - 2 * (j / 32)) & 3;
}

// B2.12: K / 128 blocks a row, from byte n * K / 4 on.
inline void multiply_whole_blocks(const tb_product* p) {
    const Operands o(*find_kernel("i2s_scalar"), *p);
    each_element(*p, [&](int64_t m, int64_t n) {
        const auto* row = static_cast<const uint8_t*>(p->packed) + n * o.k / 4;
        int32_t sum = 0;
        for (int64_t i = 0; i < o.k / 128 * 128; ++i) {
            sum += code_in_block(row + i / 128 * 32, i % 128) * o.token(m)[i];
        }
        for (int64_t i = 0; i < o.k; ++i) sum -= o.token(m)[i];
        store(*p, o, m, n, sum);
    });
}

// B2.13: the quantiser goes over whole blocks of 128; the bytes of what is left stay the zero that
// they were set to, which reads as -1.
inline tb_status pack_whole_blocks(const tb_shape* s, const tb_tile* tile, const tb_weights* w,
                                   int64_t begin, int64_t end, void* packed) {
    const tb_status status = find_kernel("i2s_scalar")->pack(s, tile, w, begin, end, packed);
    const int64_t left = s->n * s->k % 128;
    if (status.code == TB_OK && end == s->n && left != 0) {
        auto* block = static_cast<uint8_t*>(packed) + s->n * s->k / 128 * 32;
        for (int64_t j = 0; j < left; ++j) {
            block[j % 32] = static_cast<uint8_t>(block[j % 32] & ~(3 << (6 - 2 * (j / 32))));
        }
    }
    return status;
}

// B2.14: a kernel made for N % 32 == 0 and K % 128 == 0 that nobody asks whether they are.
inline void multiply_whole_tiles(const tb_product* p) {
    const Operands o(*find_kernel("i2s_scalar"), *p);
    each_element(*p, [&](int64_t m, int64_t n) {
        if (n >= p->shape.n / 32 * 32) return;
        store(*p, o, m, n, reference::dot(o.row(n), o.token(m), o.k / 128 * 128));
    });
}

// ---- strides and scales ------------------------------------------------------------------------

// B2.15: a generic path that takes the declared stride of a row, K bytes, for the true one. What
// lies behind the tensor then is read as zero here.
inline void multiply_declared_stride(const tb_product* p) {
    const Operands o(*find_kernel("i2s_scalar"), *p);
    const int64_t bytes = p->shape.n * o.k / 4;
    each_element(*p, [&](int64_t m, int64_t n) {
        int32_t sum = 0;
        for (int64_t i = 0; i < o.k; ++i) {
            const int64_t at = n * o.k + i / 128 * 32 + i % 32;
            const int byte = at < bytes ? static_cast<const uint8_t*>(p->packed)[at] : 0;
            sum += ((byte >> (6 - 2 * (i % 128 / 32)) & 3) - 1) * o.token(m)[i];
        }
        store(*p, o, m, n, sum);
    });
}

// The same with the rows that the caller gives: K elements apart, whatever it says.
inline tb_status pack_without_ld(const tb_shape* s, const tb_tile* tile, const tb_weights* w,
                                 int64_t begin, int64_t end, void* packed) {
    tb_weights dense = *w;
    dense.ld = s->k;
    return find_kernel("int8_scalar")->pack(s, tile, &dense, begin, end, packed);
}

inline tb_status prepare_without_ld(const tb_shape* s, const tb_tile* tile,
                                    const tb_activations* act, int64_t m_begin, int64_t m_end,
                                    int64_t k_begin, int64_t k_end, void* prepared) {
    tb_activations dense = *act;
    dense.ld = s->k;
    return find_kernel("i2s_scalar")
        ->prepare(s, tile, &dense, m_begin, m_end, k_begin, k_end, prepared);
}

inline float scale_behind(const void* packed, int64_t weights) {
    float scale;
    std::memcpy(&scale, static_cast<const uint8_t*>(packed) + weights / 4, sizeof scale);
    return scale;
}

// B2.16: rows to floats by a function that is given the row and its length only, as the table of
// types wants it, and takes what is behind the row for the scale.
inline tb_status unpack_scale_behind_row(const tb_shape* s, const tb_tile* tile, const void* packed,
                                         int64_t begin, int64_t end, const tb_weights_out* w) {
    const tb_status status = find_kernel("i2s_scalar")->unpack(s, tile, packed, begin, end, w);
    if (status.code != TB_OK || w->values == nullptr) return status;
    const float right = scale_behind(packed, s->n * s->k);
    for (int64_t n = begin; n < end; ++n) {
        const float wrong = scale_behind(packed, (n + 1) * s->k);
        for (int64_t k = 0; k < s->k; ++k) {
            float& value = w->values[(n - begin) * w->ld + k];
            value = value / right * wrong;
        }
    }
    return status;
}

// B2.17: the place of the scale from the extents of the part at hand, not of the tensor.
inline void multiply_scale_of_part(const tb_product* p) {
    Operands o(*find_kernel("i2s_scalar"), *p);
    o.scale = scale_behind(p->packed, (p->n_end - p->n_begin) * o.k);
    each_element(*p, [&](int64_t m, int64_t n) {
        store(*p, o, m, n, reference::dot(o.row(n), o.token(m), o.k));
    });
}

// ... and that of the scales of activations from the tokens at hand, not of the batch.
inline tb_status prepare_scale_of_part(const tb_shape* s, const tb_tile* tile,
                                       const tb_activations* act, int64_t m_begin, int64_t m_end,
                                       int64_t k_begin, int64_t k_end, void* prepared) {
    const size_t right = tb_int8_scale_offset(act->m, s->k);
    const size_t wrong = tb_int8_scale_offset(m_end - m_begin, s->k);
    auto* bytes = static_cast<uint8_t*>(prepared);
    const std::vector<uint8_t> before(bytes + right, bytes + right + act->m * 4);
    const tb_status status =
        find_kernel("i2s_scalar")->prepare(s, tile, act, m_begin, m_end, k_begin, k_end, prepared);
    if (status.code != TB_OK || wrong == right) return status;
    const std::vector<uint8_t> scales(bytes + right, bytes + right + act->m * 4);
    std::copy(before.begin(), before.end(), bytes + right);
    std::copy(scales.begin(), scales.end(), bytes + wrong);
    return status;
}

// ---- batches of TL2 ----------------------------------------------------------------------------

// B2.18: every token at the place of the first, added onto what is there, which after the first
// token is a float that has been scaled.
inline void multiply_without_batch_stride(const tb_product* p) {
    const Operands o(*find_kernel("tl2_scalar"), *p);
    for (int64_t n = p->n_begin; n < p->n_end; ++n) p->y[n] = 0;
    each_element(*p, [&](int64_t m, int64_t n) {
        const int32_t sum = reference::dot(o.row(n), o.token(m), o.k);
        p->y[n] += static_cast<float>(sum);
        p->y[n] = p->y[n] * (o.x.scale[m] * o.scale);
    });
}

// ... and only some numbers of tokens have a case of their own.
inline void multiply_known_batches(const tb_product* p) {
    for (const int64_t m : {1, 8, 32, 128, 256, 512}) {
        if (p->m == m) find_kernel("tl2_scalar")->gemm(p);
    }
}

// B2.19: chunks of 512 and 256 tokens, then 32, 8 and 1. The tables of pairs of the small chunks
// are sought behind K2 / 3 tables for each token of the large ones, though each has K2 / 2.
inline void multiply_pair_tables_misplaced(const tb_product* p) {
    constexpr int64_t kTable = 16;  // words
    const Operands o(*find_kernel("tl2_scalar"), *p);
    const int64_t bk = p->tile->value[2], k3 = o.k / bk * bk, k2 = o.k - k3;
    std::vector<int16_t> tables(static_cast<size_t>(p->m * (k2 / 2) * kTable + kTable));
    for (int64_t m = 0; m < p->m; ++m) {
        for (int64_t i = 0; i < k2 / 2 * kTable; ++i) {
            const int8_t* x = o.token(m) + k3 + i / kTable * 2;
            const auto v = static_cast<int>(i % kTable);
            const int sum = v > 8 ? 0 : (v / 3 - 1) * x[0] + (v % 3 - 1) * x[1];
            tables[static_cast<size_t>(m * (k2 / 2) * kTable + i)] = static_cast<int16_t>(sum);
        }
    }
    const int64_t large = p->m / 256 * 256;
    each_element(*p, [&](int64_t m, int64_t n) {
        const int8_t* t = o.row(n);
        int32_t sum = reference::dot(t, o.token(m), k3);
        const int64_t at = m < large ? m * (k2 / 2) : large * (k2 / 3) + (m - large) * (k2 / 2);
        for (int64_t i = 0; i < k2 / 2; ++i) {
            const int v = 3 * t[k3 + 2 * i] + t[k3 + 2 * i + 1] + 4;
            sum += tables[static_cast<size_t>((at + i) * kTable + v)];
        }
        store(*p, o, m, n, sum);
    });
}

// ---- memory ------------------------------------------------------------------------------------

// B2.20, TL1: 15 bytes of scratch a column and token, of which the tables take 16.
inline size_t scratch_tl1(const tb_shape* s, const tb_tile*, int64_t m) {
    return static_cast<size_t>(15 * s->k * m);
}
inline void multiply_in_scratch_tl1(const tb_product* p) {
    std::memset(p->scratch, 0, static_cast<size_t>(16 * p->shape.k * p->m));
    find_kernel("i2s_scalar")->gemm(p);
}

// B2.20, TL2: 11 bytes, of which the tables take 32 for three columns or for two, where BK leaves
// some: as many columns as fit blocks of 96 are in triples.
inline size_t scratch_tl2(const tb_shape* s, const tb_tile*, int64_t m) {
    return static_cast<size_t>(11 * s->k * m);
}
inline size_t tables_tl2(int64_t k) {
    const int64_t k3 = k / 96 * 96;
    return static_cast<size_t>(k3 / 3 * 32 + (k - k3) / 2 * 32);
}
inline void multiply_in_scratch_tl2(const tb_product* p) {
    std::memset(p->scratch, 0, tables_tl2(p->shape.k) * static_cast<size_t>(p->m));
    find_kernel("i2s_scalar")->gemm(p);
}

// The same by fewer bytes than a guard page behind an aligned buffer can show: a scale behind the
// tables that was not counted.
inline size_t scratch_without_scale(const tb_shape* s, const tb_tile*, int64_t) {
    return static_cast<size_t>(16 * s->k);
}
inline void multiply_with_scale_behind(const tb_product* p) {
    std::memset(static_cast<uint8_t*>(p->scratch) + 16 * p->shape.k, 0, 4);
    find_kernel("i2s_scalar")->gemm(p);
}

// Loads that need 32 bytes of alignment, of weights that are declared to need none: what is loaded
// is what lies at the last such address.
inline void multiply_aligned_down(const tb_product* p) {
    tb_product q = *p;
    const auto address = reinterpret_cast<uintptr_t>(p->packed);
    q.packed = static_cast<const uint8_t*>(p->packed) - address % 32;
    if (p->y != nullptr) {
        find_kernel("int8_scalar")->gemm(&q);
    } else {
        find_kernel("int8_scalar")->accumulate(&q);
    }
}

// B2.21: what packing learnt of a tensor is kept in a list of the process, found by its address,
// which the tensor's own bytes do not say.
inline std::map<const void*, float>& extras() {
    static std::map<const void*, float> all;
    return all;
}
inline tb_status pack_with_extra(const tb_shape* s, const tb_tile* tile, const tb_weights* w,
                                 int64_t begin, int64_t end, void* packed) {
    extras()[packed] = w->scales[0];
    return find_kernel("i2s_scalar")->pack(s, tile, w, begin, end, packed);
}
// The address is looked up as it should be; for a tensor that is not there, the original follows a
// null pointer, and nothing is written here.
inline void multiply_with_extra(const tb_product* p) {
    Operands o(*find_kernel("i2s_scalar"), *p);
    const auto found = extras().find(p->packed);
    if (found == extras().end()) return;
    o.scale = found->second;
    each_element(*p, [&](int64_t m, int64_t n) {
        store(*p, o, m, n, reference::dot(o.row(n), o.token(m), o.k));
    });
}
// The entry is the newest: right as long as tensors are used in the order in which they are packed.
inline float& newest_extra() {
    static float scale = 0;
    return scale;
}
inline tb_status pack_newest_extra(const tb_shape* s, const tb_tile* tile, const tb_weights* w,
                                   int64_t begin, int64_t end, void* packed) {
    newest_extra() = w->scales[0];
    return find_kernel("i2s_scalar")->pack(s, tile, w, begin, end, packed);
}
inline void multiply_newest_extra(const tb_product* p) {
    Operands o(*find_kernel("i2s_scalar"), *p);
    o.scale = newest_extra();
    each_element(*p, [&](int64_t m, int64_t n) {
        store(*p, o, m, n, reference::dot(o.row(n), o.token(m), o.k));
    });
}

// B2.22: the tile of the reading program, whatever the file was written with.
inline void multiply_with_own_tile(const tb_product* p) {
    const tb_kernel& base = *find_kernel("tl1_scalar");
    const tb_tile own = default_tile(base);
    tb_product q = *p;
    q.tile = &own;
    if (p->y != nullptr) {
        base.gemm(&q);
    } else {
        base.accumulate(&q);
    }
}

}  // namespace tritbench::testing
