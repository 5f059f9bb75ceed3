#include "model/bitlinear.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <string_view>

#include "kernels/api/error.h"
#include "kernels/api/registry.h"
#include "model/bitlinear_messages.h"

namespace tritbench {

namespace {

// Below this, preparing on one thread is faster than a fork and a join (some 2 to 5 us).
constexpr int64_t kSerialPrepareElements = 32 * 1024;
// Partial maxima of different workers lie at least a cache line apart.
constexpr int64_t kLineFloats = 16;

int64_t round_up(int64_t value, int64_t step) {
    return (value + step - 1) / step * step;
}

// The first bad status of any worker; no allocation, for the timed path.
class FirstStatus {
  public:
    void keep(tb_status status) {
        if (status.code == TB_OK) return;
        bool expected = false;
        if (taken_.compare_exchange_strong(expected, true)) status_ = status;
    }
    // Only after the workers are done.
    tb_status get() const { return status_; }

  private:
    std::atomic<bool> taken_{false};
    tb_status status_{TB_OK, nullptr};
};

}  // namespace

void PreparedBatch::reserve(const tb_kernel& kernel, const tb_tile& tile, tb_shape shape,
                            int64_t m) {
    const size_t bytes =
        kernel.prepared_size(&shape, &tile, m) + static_cast<size_t>(kernel.prepared_overread);
    if (buffer_.size() < bytes) buffer_ = AlignedBuffer(bytes);
}

const void* PreparedBatch::data() const {
    return buffer_.data();
}

int64_t PreparedBatch::m() const {
    return m_;
}

void PreparedBatch::prepare_int8(ThreadPool& pool, const tb_kernel& kernel, const tb_tile& tile,
                                 tb_shape shape, const int8_t* q, const float* q_scale, int64_t m,
                                 int64_t ld) {
    tb_activations act{};
    act.m = m;
    act.ld = ld;
    act.q = q;
    act.q_scale = q_scale;
    split(pool, kernel, tile, shape, act);
}

namespace {

// max |x| of a row; a row that is not finite is refused, it would make silent nonsense.
tb_status take_maximum(float value, float* out) {
    *out = value;
    if (std::isfinite(value)) return {TB_OK, nullptr};
    return {TB_BAD_INPUT, "an activation is infinite or not a number"};
}

[[noreturn]] void refuse(const tb_kernel& kernel, const tb_shape& shape, const tb_tile& tile,
                         int64_t m, tb_status status) {
    throw Error(fmt::format("{}: cannot prepare {} tokens: {}", describe(kernel, shape, tile), m,
                            reason_of(status)));
}

// Both phases for the tokens [m_begin, m_end) on the calling thread; absmax is null where the
// maxima are known.
tb_status prepare_tokens(const tb_kernel& kernel, const tb_tile& tile, const tb_shape& shape,
                         const tb_activations& act, int64_t m_begin, int64_t m_end, float* absmax,
                         void* prepared) {
    if (m_begin == m_end) return {TB_OK, nullptr};
    if (absmax != nullptr) {
        for (int64_t m = m_begin; m < m_end; ++m) {
            const tb_status status =
                take_maximum(kernel.row_absmax(act.x + m * act.ld, shape.k), absmax + m);
            if (status.code != TB_OK) return status;
        }
    }
    return kernel.prepare(&shape, &tile, &act, m_begin, m_end, 0, shape.k, prepared);
}

}  // namespace

void PreparedBatch::prepare(ThreadPool& pool, const tb_kernel& kernel, const tb_tile& tile,
                            tb_shape shape, const float* x, int64_t m, int64_t ld,
                            const float* absmax) {
    for (int64_t row = 0; absmax != nullptr && row < m; ++row) {
        float ignored = 0.0F;
        const tb_status status = take_maximum(absmax[row], &ignored);
        if (status.code != TB_OK) refuse(kernel, shape, tile, m, status);
    }
    tb_activations act{};
    act.m = m;
    act.ld = ld;
    act.x = x;
    act.absmax = absmax;
    split(pool, kernel, tile, shape, act);
}

void PreparedBatch::split(ThreadPool& pool, const tb_kernel& kernel, const tb_tile& tile,
                          tb_shape shape, const tb_activations& given) {
    reserve(kernel, tile, shape, given.m);
    const int64_t workers = pool.threads();
    // absmax_ holds the maxima of the tokens, then a block of partial maxima per worker.
    const int64_t block = round_up(given.m, kLineFloats);
    const auto floats = static_cast<size_t>(block * (workers + 1)) * sizeof(float);
    if (absmax_.size() < floats) absmax_ = AlignedBuffer(floats);
    tb_activations act = given;
    float* const absmax = act.x != nullptr && act.absmax == nullptr ? absmax_.as<float>() : nullptr;
    if (absmax != nullptr) act.absmax = absmax;
    m_ = given.m;

    FirstStatus status;
    if (workers == 1 || given.m * shape.k < kSerialPrepareElements) {
        status.keep(prepare_tokens(kernel, tile, shape, act, 0, act.m, absmax, buffer_.data()));
    } else if (given.m >= workers) {
        pool.for_each_worker([&](int worker, int count) {
            const auto [begin, end] = split_range(act.m, 1, worker, count);
            status.keep(
                prepare_tokens(kernel, tile, shape, act, begin, end, absmax, buffer_.data()));
        });
    } else {
        const int64_t step = std::max<int64_t>(1, kernel.prepare_k_step);
        if (absmax != nullptr) {
            pool.for_each_worker([&](int worker, int count) {
                const auto [begin, end] = split_range(shape.k, step, worker, count);
                float* partial = absmax + block * (worker + 1);
                for (int64_t m = 0; m < act.m; ++m) {
                    partial[m] = kernel.row_absmax(act.x + m * act.ld + begin, end - begin);
                }
            });
            for (int64_t m = 0; m < act.m; ++m) {
                float most = 0.0F;
                for (int64_t worker = 0; worker < workers; ++worker) {
                    // Not std::max: a NaN must survive to be refused.
                    const float partial = absmax[block * (worker + 1) + m];
                    if (!(partial <= most)) most = partial;
                    if (std::isnan(most)) break;
                }
                status.keep(take_maximum(most, absmax + m));
            }
        }
        if (status.get().code == TB_OK) {
            pool.for_each_worker([&](int worker, int count) {
                const auto [begin, end] = split_range(shape.k, step, worker, count);
                if (begin == end) return;
                status.keep(
                    kernel.prepare(&shape, &tile, &act, 0, act.m, begin, end, buffer_.data()));
            });
        }
    }
    if (status.get().code != TB_OK) refuse(kernel, shape, tile, act.m, status.get());
}

void ProductScratch::reserve(const tb_kernel& kernel, const tb_tile& tile, tb_shape shape,
                             int64_t m, int workers) {
    const size_t wanted =
        static_cast<size_t>(round_up(static_cast<int64_t>(kernel.scratch_size(&shape, &tile, m)),
                                     kLineFloats * static_cast<int64_t>(sizeof(float))));
    const size_t stride = std::max(stride_, wanted);
    if (stride * static_cast<size_t>(workers) > buffer_.size()) {
        buffer_ = AlignedBuffer(stride * static_cast<size_t>(workers));
    }
    stride_ = stride;
    shares_.reserve(workers);
}

void* ProductScratch::of(int worker) const {
    if (stride_ == 0) return nullptr;
    return buffer_.data() + stride_ * static_cast<size_t>(worker);
}

namespace {

void check_product(const tb_kernel& kernel, const PackedWeights& weights, int64_t m) {
    if (std::string_view(kernel.layout) != weights.kernel->layout) {
        throw Error(fmt::format("kernel {}: reads layout {}, the weights are packed in {}",
                                kernel.id, kernel.layout, weights.kernel->layout));
    }
    if (m < 1 || (m > 1 && (m < kernel.min_m || (kernel.max_m > 0 && m > kernel.max_m)))) {
        throw Error(fmt::format("kernel {}: cannot multiply {} tokens at once; it takes {} to {}",
                                kernel.id, m, kernel.min_m,
                                kernel.max_m > 0 ? std::to_string(kernel.max_m) : "any"));
    }
}

// The rows of a product that belong to one worker.
void run_share(const tb_kernel& kernel, void (*call)(const tb_product*), tb_product p, int worker,
               int workers) {
    const auto [begin, end] =
        split_range(p.shape.n, std::max<int64_t>(1, kernel.row_step), worker, workers);
    if (begin == end) return;
    p.n_begin = begin;
    p.n_end = end;
    call(&p);
}

// p.tile points to `tile`.
tb_product describe_product(const PackedWeights& weights, const tb_tile& tile,
                            const PreparedBatch& x) {
    tb_product p{};
    p.shape = weights.shape;
    p.tile = &tile;
    p.packed = weights.bytes.data();
    p.prepared = x.data();
    p.m = x.m();
    return p;
}

// Pieces that workers take of a product. Each is a stream that memory has to catch up with first,
// so that small ones cost bandwidth; but a worker that is done waits for the last one of another.
constexpr int64_t kPiecesPerWorker = 4;
constexpr int64_t kLeastPieceBytes = 128 * 1024;
constexpr int64_t kMostPieceBytes = 1024 * 1024;
// Of several tokens: a multiple of every kernel's row panel.
constexpr int64_t kPanelRows = 256;

int64_t rows_of_piece(const tb_kernel& kernel, const PackedWeights& weights, int64_t m,
                      int workers) {
    const int64_t n = weights.shape.n;
    const int64_t row_bytes =
        std::max<int64_t>(1, static_cast<int64_t>(weights.bytes.size()) / std::max<int64_t>(1, n));
    const int64_t fair = n / (kPiecesPerWorker * workers);
    const int64_t rows = std::clamp(fair, kLeastPieceBytes / row_bytes,
                                    std::max<int64_t>(1, kMostPieceBytes / row_bytes));
    // At least a piece for every worker.
    const int64_t most = (n + workers - 1) / workers;
    const int64_t step = std::max<int64_t>(1, kernel.row_step);
    const int64_t panel =
        m > 1 && n >= kPanelRows * kPiecesPerWorker * workers ? round_up(kPanelRows, step) : step;
    return round_up(std::clamp<int64_t>(rows, 1, most), panel);
}

}  // namespace

tb_tile call_tile(const tb_kernel& kernel, const PackedWeights& weights) {
    if (weights.kernel == &kernel) return weights.tile;
    return call_tile(kernel, default_tile(kernel), weights);
}

tb_tile call_tile(const tb_kernel& kernel, const tb_tile& wanted, const PackedWeights& weights) {
    tb_tile tile = wanted;
    const tb_kernel& packer = *weights.kernel;
    for (int i = 0; i < kernel.tile_param_count; ++i) {
        if ((kernel.tile_params[i].affects & TB_TILE_AFFECTS_PACK) == 0) continue;
        for (int j = 0; j < packer.tile_param_count; ++j) {
            if (std::string_view(kernel.tile_params[i].name) == packer.tile_params[j].name) {
                tile.value[i] = weights.tile.value[j];
            }
        }
    }
    return tile;
}

void multiply_all(ThreadPool& pool, const tb_kernel& kernel, std::span<const Product> products,
                  const PreparedBatch& x, ProductScratch& scratch, const tb_tile* tile) {
    for (const Product& product : products) {
        check_product(kernel, *product.weights, x.m());
        scratch.reserve(kernel, tile != nullptr ? *tile : call_tile(kernel, *product.weights),
                        product.weights->shape, x.m(), pool.threads());
    }
    void (*const call)(const tb_product*) = x.m() == 1 ? kernel.gemv : kernel.gemm;
    const auto multiply_rows = [&](const Product& product, int worker, int64_t begin, int64_t end) {
        const tb_tile own = tile != nullptr ? *tile : call_tile(kernel, *product.weights);
        tb_product p = describe_product(*product.weights, own, x);
        p.y = product.y;
        p.ldy = product.ldy;
        p.scratch = scratch.of(worker);
        p.n_begin = begin;
        p.n_end = end;
        call(&p);
    };
    const int workers = pool.threads();
    if (workers == 1) {
        pool.for_each_worker([&](int, int) {
            for (const Product& product : products) {
                multiply_rows(product, 0, 0, product.weights->shape.n);
            }
        });
        return;
    }
    int64_t pieces = 0;
    for (const Product& product : products) {
        const int64_t rows = rows_of_piece(kernel, *product.weights, x.m(), workers);
        pieces += (product.weights->shape.n + rows - 1) / rows;
    }
    scratch.shares().begin(pieces, workers);
    pool.for_each_worker([&](int worker, int) {
        scratch.shares().run(worker, workers, [&](int64_t piece) {
            for (const Product& product : products) {
                const int64_t n = product.weights->shape.n;
                const int64_t rows = rows_of_piece(kernel, *product.weights, x.m(), workers);
                const int64_t count = (n + rows - 1) / rows;
                if (piece < count) {
                    const int64_t begin = piece * rows;
                    multiply_rows(product, worker, begin, std::min(begin + rows, n));
                    return;
                }
                piece -= count;
            }
        });
    });
}

void multiply(ThreadPool& pool, const tb_kernel& kernel, const PackedWeights& weights,
              const PreparedBatch& x, ProductScratch& scratch, float* y, int64_t ldy,
              const tb_tile* tile) {
    const Product product{&weights, y, ldy};
    multiply_all(pool, kernel, {&product, 1}, x, scratch, tile);
}

void accumulate(ThreadPool& pool, const tb_kernel& kernel, const PackedWeights& weights,
                const PreparedBatch& x, ProductScratch& scratch, int32_t* acc, int64_t ldy,
                const tb_tile* tile) {
    if (kernel.accumulate == nullptr) {
        throw Error(fmt::format("kernel {}: has no integer sums; it is of class {}, not exact",
                                kernel.id, exactness_name(kernel.exactness)));
    }
    check_product(kernel, weights, x.m());
    const tb_tile own = tile != nullptr ? *tile : call_tile(kernel, weights);
    scratch.reserve(kernel, own, weights.shape, x.m(), pool.threads());
    pool.for_each_worker([&](int worker, int workers) {
        tb_product p = describe_product(weights, own, x);
        p.acc = acc;
        p.ldy = ldy;
        p.scratch = scratch.of(worker);
        run_share(kernel, kernel.accumulate, p, worker, workers);
    });
}

}  // namespace tritbench
