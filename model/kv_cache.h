// Keys and values of several sequences: [sequence][layer][k or v][kv head][position][row].
//
// Positions of a KV head are contiguous, so that decoding streams memory in order. A row is
// head_dim halves or floats and zeros up to a multiple of 16: the attention op needs no tails
// (ops.h). Halves are half the bytes that a token reads of its past, at 11 bits of precision.
#pragma once

#include <algorithm>
#include <cstdint>

#include "kernels/api/ops.h"
#include "model/aligned_buffer.h"

namespace tritbench {

enum class CacheType { F16, F32 };

class KvCache {
  public:
    KvCache(int64_t layers, int64_t kv_heads, int64_t head_dim, int64_t context, int64_t sequences,
            CacheType type)
        : type_(type),
          kv_heads_(kv_heads),
          head_dim_(head_dim),
          layers_(layers),
          row_stride_((head_dim + 15) / 16 * 16),
          head_stride_((context + 15) / 16 * 16 * row_stride_),
          buffer_(static_cast<size_t>(sequences * 2 * layers * kv_heads * head_stride_) *
                  element_bytes()) {}

    CacheType type() const { return type_; }
    // As the attention op has it.
    tb_cache_type op_type() const { return type_ == CacheType::F16 ? TB_CACHE_F16 : TB_CACHE_F32; }
    int64_t row_stride() const { return row_stride_; }    // in elements
    int64_t head_stride() const { return head_stride_; }  // in elements
    // [kv_heads][positions][row_stride] of type().
    void* keys(int64_t sequence, int64_t layer) const { return plane(sequence, 2 * layer); }
    void* values(int64_t sequence, int64_t layer) const { return plane(sequence, 2 * layer + 1); }

    // Keeps k and v, [kv_heads][head_dim] each, as `position` of a layer of a sequence. What halves
    // cannot hold: see store_f16 in ops.h.
    void store(const tb_ops& ops, int64_t sequence, int64_t layer, int64_t position, const float* k,
               const float* v) {
        store_plane(ops, keys(sequence, layer), position, k);
        store_plane(ops, values(sequence, layer), position, v);
    }

    // That one token adds, and that each later token of its sequence reads.
    uint64_t bytes_per_token() const {
        return static_cast<uint64_t>(2 * layers_ * kv_heads_ * row_stride_) * element_bytes();
    }

  private:
    size_t element_bytes() const {
        return type_ == CacheType::F16 ? sizeof(uint16_t) : sizeof(float);
    }

    void* plane(int64_t sequence, int64_t index) const {
        const int64_t at = (sequence * 2 * layers_ + index) * kv_heads_ * head_stride_;
        return buffer_.data() + static_cast<size_t>(at) * element_bytes();
    }

    void store_plane(const tb_ops& ops, void* to, int64_t position, const float* from) const {
        for (int64_t head = 0; head < kv_heads_; ++head) {
            const int64_t at = head * head_stride_ + position * row_stride_;
            const float* row = from + head * head_dim_;
            if (type_ == CacheType::F16) {
                ops.store_f16(row, head_dim_, static_cast<uint16_t*>(to) + at);
            } else {
                std::copy_n(row, head_dim_, static_cast<float*>(to) + at);
            }
        }
    }

    CacheType type_;
    int64_t kv_heads_, head_dim_, layers_, row_stride_, head_stride_;
    AlignedBuffer buffer_;
};

}  // namespace tritbench
