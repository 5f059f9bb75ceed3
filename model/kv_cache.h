// Keys and values of one sequence, float32: [layer][k or v][kv head][position][row].
//
// Positions of a KV head are contiguous, so that decoding streams memory in order. A row is
// head_dim floats and zeros up to a multiple of 16: the attention op needs no tails (ops.h).
#pragma once

#include <algorithm>
#include <cstdint>

#include "model/aligned_buffer.h"

namespace tritbench {

class KvCache {
  public:
    KvCache(int64_t layers, int64_t kv_heads, int64_t head_dim, int64_t context)
        : kv_heads_(kv_heads),
          head_dim_(head_dim),
          layers_(layers),
          row_stride_((head_dim + 15) / 16 * 16),
          head_stride_((context + 15) / 16 * 16 * row_stride_),
          buffer_(static_cast<size_t>(2 * layers * kv_heads * head_stride_) * sizeof(float)) {}

    int64_t row_stride() const { return row_stride_; }
    int64_t head_stride() const { return head_stride_; }
    float* keys(int64_t layer) const { return plane(2 * layer); }
    float* values(int64_t layer) const { return plane(2 * layer + 1); }

    // Keeps k and v, [kv_heads][head_dim] each, as `position` of a layer.
    void store(int64_t layer, int64_t position, const float* k, const float* v) {
        float* to_k = keys(layer) + position * row_stride_;
        float* to_v = values(layer) + position * row_stride_;
        for (int64_t head = 0; head < kv_heads_; ++head) {
            std::copy_n(k + head * head_dim_, head_dim_, to_k + head * head_stride_);
            std::copy_n(v + head * head_dim_, head_dim_, to_v + head * head_stride_);
        }
    }

    uint64_t bytes_per_token() const {
        return static_cast<uint64_t>(2 * layers_ * kv_heads_ * row_stride_) * sizeof(float);
    }

  private:
    float* plane(int64_t index) const {
        return buffer_.as<float>() + index * kv_heads_ * head_stride_;
    }

    int64_t kv_heads_, head_dim_, layers_, row_stride_, head_stride_;
    AlignedBuffer buffer_;
};

}  // namespace tritbench
