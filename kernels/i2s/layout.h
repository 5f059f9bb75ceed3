/* The layout `i2s`: 2-bit codes exactly as bitnet.cpp stores GGUF type I2_S (id 36) on x86.
 *
 * Source: microsoft/BitNet src/ggml-bitnet-mad.cpp (quantize_i2_s); arXiv:2502.11880.
 *
 * The whole tensor is one row-major stream e = n*K + k, cut in blocks of 128 weights, 32 bytes
 * each:
 *
 *            bits 7:6        5:4          3:2          1:0
 *   byte j   e = j           j + 32       j + 64       j + 96        j = 0..31
 *
 *   codes 0 -> -1, 1 -> 0, 2 -> +1; 3 is invalid. After the last block: one float32 scale for the
 *   tensor, then 28 bytes of zero.
 *
 * When K % 128 != 0 a row begins inside a block, and rows share blocks and even bytes; every kernel
 * here honours that (the original reads such a file wrongly). When N*K % 128 != 0 the last block is
 * filled with zero weights: a padding that GGUF files cannot hold, only buffers packed here.
 * 2 bits per weight + 32 bytes per tensor. */
#ifndef TRITBENCH_KERNELS_I2S_LAYOUT_H
#define TRITBENCH_KERNELS_I2S_LAYOUT_H

#include <string.h>

#include "kernels/api/kernel.h"
#include "kernels/api/prepared_int8.h"
#include "kernels/api/shape_limits.h"

namespace {

constexpr int64_t kBlock = 128;  // weights
constexpr int64_t kBlockBytes = 32;
constexpr int64_t kTrailer = 32;             // scale and padding
constexpr int64_t kMaxK = int64_t{1} << 22;  // in-place fields: 256 * K < 2^31, see avx512vnni.cpp

inline int64_t code_bytes(const tb_shape& s) {
    return (s.n * s.k + kBlock - 1) / kBlock * kBlockBytes;
}

inline float tensor_scale(const tb_shape& s, const void* packed) {
    float scale;
    memcpy(&scale, static_cast<const uint8_t*>(packed) + code_bytes(s), sizeof scale);
    return scale;
}

tb_status i2s_accepts(const tb_shape* s, const tb_tile*) {
    return tb_check_shape(s, kMaxK);
}

size_t i2s_packed_size(const tb_shape* s, const tb_tile*) {
    return static_cast<size_t>(code_bytes(*s) + kTrailer);
}

// Rows after which a row begins on a block again: 128 / gcd(K, 128).
int64_t i2s_pack_row_step(const tb_shape* s, const tb_tile*) {
    int64_t step = kBlock;
    for (int64_t k = s->k; step > 1 && k % 2 == 0; k /= 2) step /= 2;
    return step;
}

// The common case of a block that belongs to the range as a whole.
inline bool pack_block(const int8_t* t, uint8_t* bytes) {
    int bad = 0;
    for (int64_t j = 0; j < kBlockBytes; ++j) {
        const uint8_t a = static_cast<uint8_t>(t[j] + 1), b = static_cast<uint8_t>(t[j + 32] + 1);
        const uint8_t c = static_cast<uint8_t>(t[j + 64] + 1),
                      d = static_cast<uint8_t>(t[j + 96] + 1);
        bad |= (a > 2) | (b > 2) | (c > 2) | (d > 2);
        bytes[j] = static_cast<uint8_t>(a << 6 | b << 4 | c << 2 | d);
    }
    return bad == 0;
}

inline void unpack_block(const uint8_t* bytes, uint8_t* codes) {
    for (int64_t j = 0; j < kBlockBytes; ++j) {
        codes[j] = bytes[j] >> 6;
        codes[j + 32] = bytes[j] >> 4 & 3;
        codes[j + 64] = bytes[j] >> 2 & 3;
        codes[j + 96] = bytes[j] & 3;
    }
}

// `count` codes of the stream from e on, in order.
inline void unpack_stream(const uint8_t* bytes, int64_t e, int64_t count, uint8_t* codes) {
    while (count > 0) {
        const int64_t offset = e % kBlock;
        const uint8_t* block = bytes + e / kBlock * kBlockBytes;
        int64_t take = kBlock;
        if (offset == 0 && count >= kBlock) {
            unpack_block(block, codes);
        } else {
            uint8_t whole[kBlock];
            unpack_block(block, whole);
            take = count < kBlock - offset ? count : kBlock - offset;
            memcpy(codes, whole + offset, static_cast<size_t>(take));
        }
        codes += take;
        e += take;
        count -= take;
    }
}

tb_status i2s_pack(const tb_shape* s, const tb_tile*, const tb_weights* w, int64_t row_begin,
                   int64_t row_end, void* packed) {
    const int64_t step = i2s_pack_row_step(s, nullptr);
    if (row_begin % step != 0 || (row_end % step != 0 && row_end != s->n)) {
        return {TB_BAD_RANGE, "rows must begin and end on the pack row step (or end on N)"};
    }
    if (w->trits == nullptr || w->scales == nullptr)
        return {TB_BAD_INPUT, "needs trits and a scale"};
    auto* bytes = static_cast<uint8_t*>(packed);
    const int64_t end = row_end * s->k;  // in the stream
    // Gathers 128 weights at a time through the row structure; the range begins on a block.
    int64_t row = 0, column = 0;
    for (int64_t e = row_begin * s->k; e < end; e += kBlock) {
        int8_t t[kBlock] = {0};  // what the last block lacks is packed as zero weights
        const int64_t count = end - e < kBlock ? end - e : kBlock;
        for (int64_t filled = 0; filled < count;) {
            const int64_t left = s->k - column;
            const int64_t take = left < count - filled ? left : count - filled;
            memcpy(t + filled, w->trits + row * w->ld + column, static_cast<size_t>(take));
            filled += take;
            column += take;
            if (column == s->k) {
                column = 0;
                ++row;
            }
        }
        if (!pack_block(t, bytes + e / kBlock * kBlockBytes)) {
            return {TB_BAD_WEIGHT, "a weight is not -1, 0 or +1"};
        }
    }
    if (row_end == s->n) {
        uint8_t* trailer = bytes + code_bytes(*s);
        memset(trailer, 0, kTrailer);
        memcpy(trailer, w->scales, sizeof(float));
    }
    return {TB_OK, nullptr};
}

tb_status i2s_unpack(const tb_shape* s, const tb_tile*, const void* packed, int64_t row_begin,
                     int64_t row_end, const tb_weights_out* w) {
    const auto* bytes = static_cast<const uint8_t*>(packed);
    const float scale = tensor_scale(*s, packed);
    if (w->scales != nullptr) *w->scales = scale;
    if (w->trits == nullptr && w->values == nullptr && w->scales != nullptr)
        return {TB_OK, nullptr};
    for (int64_t row = row_begin; row < row_end; ++row) {
        for (int64_t column = 0; column < s->k; column += kBlock) {
            uint8_t codes[kBlock];
            const int64_t count = s->k - column < kBlock ? s->k - column : kBlock;
            unpack_stream(bytes, row * s->k + column, count, codes);
            int bad = 0;
            for (int64_t i = 0; i < count; ++i) bad |= codes[i] == 3;
            if (bad != 0) return {TB_BAD_WEIGHT, "code 3, which no I2_S packer writes"};
            const int64_t at = (row - row_begin) * w->ld + column;
            if (w->trits != nullptr) {  // a loop for each, which compilers vectorise
                int8_t* trits = w->trits + at;
                for (int64_t i = 0; i < count; ++i) trits[i] = static_cast<int8_t>(codes[i] - 1);
            }
            if (w->values != nullptr) {
                float* values = w->values + at;
                for (int64_t i = 0; i < count; ++i) {
                    values[i] = static_cast<float>(codes[i] - 1) * scale;
                }
            }
        }
    }
    return {TB_OK, nullptr};
}

void i2s_work(const tb_shape* s, const tb_tile*, int64_t m, tb_work* out) {
    const double n = static_cast<double>(s->n), k = static_cast<double>(s->k);
    const double tokens = static_cast<double>(m);
    *out = {
        static_cast<double>(code_bytes(*s) + 4), k * tokens, 0, n * tokens * 4, n * k * tokens, 0};
}

using Product = void (*)(const tb_product*);
using ScratchSize = size_t (*)(const tb_shape*, const tb_tile*, int64_t);

constexpr tb_kernel i2s_descriptor(const char* id, const char* isa, tb_features features,
                                   const char* description, int64_t row_step,
                                   ScratchSize scratch_size, Product gemv, Product gemm,
                                   Product accumulate) {
    tb_kernel d{};
    d.id = id;
    d.layout = "i2s";
    d.isa = isa;
    d.description = description;
    d.source = "microsoft/BitNet (I2_S), arXiv:2502.11880";
    d.weight_kind = TB_WEIGHT_TERNARY;
    d.scale_granularity = TB_SCALE_TENSOR;
    d.activation_kind = TB_ACT_INT8_TOKEN;
    d.exactness = TB_EXACT;
    d.features = features;
    d.bits_num = 2;
    d.bits_den = 1;
    d.overhead_bytes_tensor = kTrailer;
    d.k_multiple = 1;
    d.row_step = row_step;
    d.max_k = kMaxK;
    d.min_m = 1;
    d.packed_align = 1;
    d.prepared_align = 64;
    d.prepare_k_step = TB_INT8_K_STEP;
    d.prepare_tag = TB_INT8_PREPARE_TAG;
    d.accepts = i2s_accepts;
    d.packed_size = i2s_packed_size;
    d.pack_row_step = i2s_pack_row_step;
    d.pack = i2s_pack;
    d.unpack = i2s_unpack;
    d.prepared_size = tb_int8_prepared_size;
    d.row_absmax = tb_int8_row_absmax;
    d.prepare = tb_int8_prepare;
    d.scratch_size = scratch_size;
    d.gemv = gemv;
    d.gemm = gemm;
    d.accumulate = accumulate;
    d.work = i2s_work;
    return d;
}

}  // namespace

#endif
