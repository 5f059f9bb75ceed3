// Published bugs of arithmetic, each in a few lines of scalar code that add up in the same widths
// and the same order as the vector code they are about.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>

#include "kernels/api/prepared_block.h"
#include "tests/published_bugs/mutant.h"

namespace tritbench::testing {

// What a lane of 16 bits keeps of a sum.
inline int16_t wrap16(int value) {
    return static_cast<int16_t>(static_cast<uint16_t>(value & 0xffff));
}

// vpmaddubsw: two products of an unsigned and a signed byte, their sum saturated to 16 bits.
inline int16_t multiply_add(int u0, int s0, int u1, int s1) {
    return static_cast<int16_t>(std::clamp(u0 * s0 + u1 * s1, -32768, 32767));
}

// vpsignb on one byte: the negative of -128 is -128.
inline int8_t sign_byte(int8_t value, int by) {
    if (by == 0) return 0;
    return by > 0 ? value : static_cast<int8_t>(static_cast<uint8_t>(-value & 0xff));
}

// B1.1, microsoft/BitNet#629: blocks of 128 weights are four multiply-adds of 16 lanes, and 32
// blocks are added in those lanes before they are widened.
struct WordsOf32Blocks {
    static constexpr const char* kBase = "i2s_scalar";
    static int32_t sum(const tb_product& p, const int8_t* t, const int8_t* q) {
        int32_t total = 0, activations = 0;
        for (int64_t from = 0; from < p.shape.k; from += 32 * 128) {
            int16_t lanes[16] = {};
            const int64_t to = std::min(p.shape.k, from + 32 * 128);
            for (int64_t i = from; i < to; i += 2) {
                const int second = i + 1 < to ? t[i + 1] + 1 : 0;
                const int pair = multiply_add(t[i] + 1, q[i], second, second == 0 ? 0 : q[i + 1]);
                int16_t& lane = lanes[i % 32 / 2];
                lane = wrap16(lane + pair);
            }
            for (const int16_t lane : lanes) total += lane;
        }
        for (int64_t i = 0; i < p.shape.k; ++i) activations += q[i];
        return total - activations;
    }
};

// B1.2, ggml-org/ggml#1393: weight -1 by giving the activation the sign of the weight.
struct SignOfMinus128 {
    static constexpr const char* kBase = "i2s_scalar";
    static int32_t sum(const tb_product& p, const int8_t* t, const int8_t* q) {
        int32_t total = 0;
        for (int64_t i = 0; i < p.shape.k; ++i) total += sign_byte(q[i], t[i]);
        return total;
    }
};

// The two bugs of B1.2 in a format of 8-bit weights: q8_0, whose blocks of 32 are then multiplied
// by their scales in the order of the contract. Bug::sum(const int32_t* v, const int8_t* q).
template <class Bug>
void multiply_q8_0(const tb_product* p) {
    const auto* packed = static_cast<const uint8_t*>(p->packed);
    for (int64_t n = p->n_begin; n < p->n_end; ++n) {
        const auto row =
            reference::read_blocks("q8_0", packed + n * (p->shape.k / 32 * 34), p->shape.k);
        for (int64_t m = 0; m < p->m; ++m) {
            const tb_block32_chunk* token = tb_block32_token(&p->shape, p->prepared, m);
            float lanes[8] = {};
            for (int64_t b = 0; b < p->shape.k / 32; ++b) {
                const tb_block32_chunk& chunk = token[b / 8];
                int8_t q[32];
                for (int64_t i = 0; i < 32; ++i) {
                    q[i] = (&chunk.q[0][0])[tb_block32_position(b % 8 * 32 + i)];
                }
                const auto sum = static_cast<float>(Bug::sum(row->v.data() + 32 * b, q));
                const float d = row->d[static_cast<size_t>(b)] * chunk.scale[b % 8];
                lanes[b % 8] = std::fma(d, sum, lanes[b % 8]);
            }
            for (int width = 4; width >= 1; width /= 2) {
                for (int i = 0; i < width; ++i) lanes[i] += lanes[i + width];
            }
            p->y[m * p->ldy + n] = lanes[0];
        }
    }
}

// ik_llama.cpp#141, #427: the weights made unsigned by adding 128, which is taken off again with
// the sum of the activations; two products of up to 255 * 127 are more than 16 bits hold.
struct FullRangeBytes {
    static int32_t sum(const int32_t* v, const int8_t* q) {
        int32_t total = 0;
        for (int i = 0; i < 32; i += 2) {
            total += multiply_add(v[i] + 128, q[i], v[i + 1] + 128, q[i + 1]);
            total -= 128 * (q[i] + q[i + 1]);
        }
        return total;
    }
};

// The magnitude of the weight times the activation with the sign of the weight: within 16 bits, but
// wrong for -128.
struct SignOfActivation {
    static int32_t sum(const int32_t* v, const int8_t* q) {
        int32_t total = 0;
        for (int i = 0; i < 32; i += 2) {
            total += multiply_add(std::abs(v[i]), sign_byte(q[i], v[i]), std::abs(v[i + 1]),
                                  sign_byte(q[i + 1], v[i + 1]));
        }
        return total;
    }
};

// The same without either: so that a test can tell the frame around the bugs from the bugs.
struct PlainBytes {
    static int32_t sum(const int32_t* v, const int8_t* q) {
        int32_t total = 0;
        for (int i = 0; i < 32; ++i) total += v[i] * q[i];
        return total;
    }
};

// B1.3, TL1: sums of pairs, as a table holds them, added in 16 bits over BK columns, whatever BK.
struct WordsOfPairs {
    static constexpr const char* kBase = "tl1_scalar";
    static int32_t sum(const tb_product& p, const int8_t* t, const int8_t* q) {
        const int64_t bk = p.tile->value[2], k = p.shape.k;
        int32_t total = 0;
        for (int64_t from = 0; from < k; from += bk) {
            int16_t block = 0;
            for (int64_t i = from; i < std::min(k, from + bk); i += 2) {
                const int second = i + 1 < k ? t[i + 1] * q[i + 1] : 0;
                block = wrap16(block + t[i] * q[i] + second);
            }
            total += block;
        }
        return total;
    }
};

// B1.3, TL2: the same with triples, then pairs in blocks of 32 columns for what BK leaves.
struct WordsOfTriples {
    static constexpr const char* kBase = "tl2_scalar";
    static int32_t sum(const tb_product& p, const int8_t* t, const int8_t* q) {
        const int64_t bk = p.tile->value[2], k = p.shape.k, k3 = k / bk * bk;
        int32_t total = 0;
        for (int64_t from = 0; from < k3; from += bk) {
            int16_t block = 0;
            for (int64_t i = from; i < from + bk; i += 3) {
                block = wrap16(block + t[i] * q[i] + t[i + 1] * q[i + 1] + t[i + 2] * q[i + 2]);
            }
            total += block;
        }
        for (int64_t from = k3; from < k; from += 32) {
            int16_t block = 0;
            for (int64_t i = from; i < std::min(k, from + 32); ++i) {
                block = wrap16(block + t[i] * q[i]);
            }
            total += block;
        }
        return total;
    }
};

// B1.4: the dot product hands the sum of code * q back as a float, and the caller subtracts the sum
// of q from it. The scales are applied as here, so that only this differs.
inline void multiply_float_return(const tb_product* p) {
    const Operands o(*find_kernel("i2s_scalar"), *p);
    each_element(*p, [&](int64_t m, int64_t n) {
        int32_t codes = 0, activations = 0;
        for (int64_t i = 0; i < o.k; ++i) {
            codes += (o.row(n)[i] + 1) * o.token(m)[i];
            activations += o.token(m)[i];
        }
        const float returned = static_cast<float>(codes);
        const float scale = o.x.scale[m] * o.scale;
        p->y[m * p->ldy + n] = (returned - static_cast<float>(activations)) * scale;
    });
}

// B1.5, ik_llama.cpp#168: the sum of the activations added up in floats, of dequantised values.
inline void multiply_float_sums(const tb_product* p) {
    const Operands o(*find_kernel("i2s_scalar"), *p);
    each_element(*p, [&](int64_t m, int64_t n) {
        int32_t codes = 0;
        float activations = 0;
        for (int64_t i = 0; i < o.k; ++i) {
            codes += (o.row(n)[i] + 1) * o.token(m)[i];
            activations += static_cast<float>(o.token(m)[i]) * o.x.scale[m];
        }
        const float scale = o.x.scale[m] * o.scale;
        p->y[m * p->ldy + n] = (static_cast<float>(codes) - activations / o.x.scale[m]) * scale;
    });
}

// B1.5, microsoft/BitNet#600: the codes are already -1, 0, +1, and the caller subtracts as before.
struct SubtractedAllTheSame {
    static constexpr const char* kBase = "i2s_scalar";
    static int32_t sum(const tb_product& p, const int8_t* t, const int8_t* q) {
        int32_t total = 0;
        for (int64_t i = 0; i < p.shape.k; ++i) total += t[i] * q[i] - q[i];
        return total;
    }
};

// The other way round: codes 0, 1, 2 and nothing subtracted.
struct NeverSubtracted {
    static constexpr const char* kBase = "i2s_scalar";
    static int32_t sum(const tb_product& p, const int8_t* t, const int8_t* q) {
        int32_t total = 0;
        for (int64_t i = 0; i < p.shape.k; ++i) total += (t[i] + 1) * q[i];
        return total;
    }
};

// B1.6: s = 127 / max|x| without a floor, q = x * s. Of a row of zeros s is infinite, x * s not a
// number, and what x86 makes of that, INT_MIN, is -128 as a saturated byte.
inline tb_status prepare_without_floor(const tb_shape* s, const tb_tile* tile,
                                       const tb_activations* act, int64_t m_begin, int64_t m_end,
                                       int64_t k_begin, int64_t k_end, void* prepared) {
    const tb_status status =
        find_kernel("i2s_scalar")->prepare(s, tile, act, m_begin, m_end, k_begin, k_end, prepared);
    if (status.code != TB_OK || act->x == nullptr) return status;
    const tb_int8_batch x = tb_int8_open(s, prepared, act->m);
    for (int64_t m = m_begin; m < m_end; ++m) {
        const float inverse = 127.0F / act->absmax[m];
        for (int64_t k = k_begin; k < k_end; ++k) {
            const float scaled = act->x[m * act->ld + k] * inverse;
            const float rounded = std::isnan(scaled) ? -128.0F : std::nearbyint(scaled);
            const_cast<int8_t*>(x.q)[m * x.kp + k] = static_cast<int8_t>(rounded);
        }
        const_cast<float*>(x.scale)[m] = 1 / inverse;
    }
    return status;
}

// B1.7 and half of B2.18: sums added to whatever the output held, which nobody set to zero.
inline void multiply_onto_output(const tb_product* p) {
    const Operands o(*find_kernel("i2s_scalar"), *p);
    each_element(*p, [&](int64_t m, int64_t n) {
        const int32_t sum = reference::dot(o.row(n), o.token(m), o.k);
        const int64_t at = m * p->ldy + n;
        if (p->acc != nullptr) {
            p->acc[at] = static_cast<int32_t>(static_cast<uint32_t>(p->acc[at]) +
                                              static_cast<uint32_t>(sum));
        }
        if (p->y != nullptr) p->y[at] += reference::exact_output(sum, o.x.scale[m], o.scale);
    });
}

// B1.8, microsoft/BitNet#547, #580: four tokens at a time have a path of their own, whose body is
// empty on this machine.
inline void multiply_but_fours(const tb_product* p) {
    const Operands o(*find_kernel("i2s_scalar"), *p);
    each_element(*p, [&](int64_t m, int64_t n) {
        if (m < p->m / 4 * 4) return;
        store(*p, o, m, n, reference::dot(o.row(n), o.token(m), o.k));
    });
}

// ... or every path is.
inline void multiply_not_at_all(const tb_product*) {}

}  // namespace tritbench::testing
