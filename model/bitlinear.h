// The only door from a model, or a benchmark, to the kernels: pack, prepare once, multiply often.
//
// All three split their work over a ThreadPool; none allocates once its buffers have grown to the
// largest batch. y[m, n] = x[m, k] . W[n, k]^T.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>

#include "kernels/api/kernel.h"
#include "model/aligned_buffer.h"
#include "model/thread_pool.h"
#include "model/work_shares.h"

namespace tritbench {

// One weight tensor in the layout of a kernel: bytes that it owns, or that someone else maps.
struct PackedWeights {
    const tb_kernel* kernel = nullptr;  // any kernel of the layout
    tb_tile tile{};
    tb_shape shape{};
    std::span<const std::byte> bytes;  // packed_size bytes
    AlignedBuffer storage;             // behind `bytes` when owned
};

// Gives canonical rows [row_begin, row_end) of a tensor. Called from several threads at once, each
// with buffers of its own: fills trits (ternary) or values, [rows][k] without gaps, and scales.
// For a ternary kernel whose weights came as values, or the reverse, the provider converts.
// Exactly one of trits and values is non-null. A provider that knows one scale for the tensor sets
// scales[0] only, whatever the kernel's granularity. May throw Error.
using RowProvider = std::function<void(int64_t row_begin, int64_t row_end, int8_t* trits,
                                       float* values, float* scales)>;

// Packs a tensor in parallel. Memory beyond the result: a few rows per thread.
// Throws Error (kernel, shape, reason) if the kernel refuses shape, tile or a weight.
PackedWeights pack_weights(ThreadPool& pool, const tb_kernel& kernel, const tb_tile& tile,
                           tb_shape shape, const RowProvider& rows);

// Takes bytes as they are. Throws Error if their number is not packed_size or they are misaligned.
PackedWeights view_packed(const tb_kernel& kernel, const tb_tile& tile, tb_shape shape,
                          std::span<const std::byte> bytes);

// A batch of activations prepared for all kernels that share `kernel`'s prepare tag and tile.
class PreparedBatch {
  public:
    // Grows the buffer so that m tokens of K = shape.k fit without allocation later.
    void reserve(const tb_kernel& kernel, const tb_tile& tile, tb_shape shape, int64_t m);
    // Prepares m float rows, ld floats apart. Throws Error if a value is not finite. A caller who
    // knows max |x| of each row (norm_scale of ops.h finds it, NaN and infinity included) saves a
    // pass over x with `absmax`, [m].
    void prepare(ThreadPool& pool, const tb_kernel& kernel, const tb_tile& tile, tb_shape shape,
                 const float* x, int64_t m, int64_t ld, const float* absmax = nullptr);
    // Prepares m int8 rows with their dequantisation scales.
    void prepare_int8(ThreadPool& pool, const tb_kernel& kernel, const tb_tile& tile,
                      tb_shape shape, const int8_t* q, const float* q_scale, int64_t m, int64_t ld);
    const void* data() const;
    int64_t m() const;

  private:
    void split(ThreadPool& pool, const tb_kernel& kernel, const tb_tile& tile, tb_shape shape,
               const tb_activations& act);
    AlignedBuffer buffer_;
    AlignedBuffer absmax_;
    int64_t m_ = 0;
};

// Scratch for products, one slice per worker, and who does what; grows, never shrinks.
class ProductScratch {
  public:
    void reserve(const tb_kernel& kernel, const tb_tile& tile, tb_shape shape, int64_t m,
                 int workers);
    void* of(int worker) const;
    WorkShares& shares() { return shares_; }

  private:
    AlignedBuffer buffer_;
    size_t stride_ = 0;
    WorkShares shares_;
};

// y = x . W^T with a kernel of the packed layout (gemv when x.m() == 1, gemm above).
// Rows of W are split over the workers in pieces of whole row_steps; y[m * ldy + n].
// `tile`: null for that of call_tile.
void multiply(ThreadPool& pool, const tb_kernel& kernel, const PackedWeights& weights,
              const PreparedBatch& x, ProductScratch& scratch, float* y, int64_t ldy,
              const tb_tile* tile = nullptr);

// One of several products of the same prepared batch.
struct Product {
    const PackedWeights* weights;
    float* y;
    int64_t ldy;
};
// All of them in one fork and join: q, k, v; gate and up.
void multiply_all(ThreadPool& pool, const tb_kernel& kernel, std::span<const Product> products,
                  const PreparedBatch& x, ProductScratch& scratch, const tb_tile* tile = nullptr);

// The tile to call `kernel` with: that of the weights if it packed them itself; if another kernel
// of the layout did, its defaults, but what affects the packed bytes as the weights have it.
tb_tile call_tile(const tb_kernel& kernel, const PackedWeights& weights);
// `wanted`, but what affects the packed bytes as the weights have it.
tb_tile call_tile(const tb_kernel& kernel, const tb_tile& wanted, const PackedWeights& weights);

// The raw int32 sums of an exact kernel, split in the same way.
void accumulate(ThreadPool& pool, const tb_kernel& kernel, const PackedWeights& weights,
                const PreparedBatch& x, ProductScratch& scratch, int32_t* acc, int64_t ldy,
                const tb_tile* tile = nullptr);

}  // namespace tritbench
