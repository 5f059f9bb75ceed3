// Products: rows of the packed weights over the workers.
#include "model/bitlinear.h"

#include <fmt/format.h>

#include <algorithm>
#include <string_view>

#include "kernels/api/error.h"
#include "kernels/api/registry.h"
#include "model/bitlinear_messages.h"

namespace tritbench {

namespace {

// Scratch of different workers begins on cache lines of its own.
constexpr int64_t kLineBytes = 64;

int64_t round_up(int64_t value, int64_t step) {
    return (value + step - 1) / step * step;
}

}  // namespace

void ProductScratch::reserve(const tb_kernel& kernel, const tb_tile& tile, tb_shape shape,
                             int64_t m, int workers) {
    const size_t wanted = static_cast<size_t>(
        round_up(static_cast<int64_t>(kernel.scratch_size(&shape, &tile, m)), kLineBytes));
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
