// Packing: canonical rows to the bytes of a kernel's layout.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "kernels/api/error.h"
#include "kernels/api/registry.h"
#include "model/bitlinear.h"
#include "model/bitlinear_messages.h"
#include "model/first_error.h"

namespace tritbench {

namespace {

// Canonical weights handed to pack at a time, per thread: large enough to amortise the call, small
// enough that packing a 100B model needs no memory to speak of.
constexpr int64_t kPackElements = 256 * 1024;

int64_t scale_count(const tb_kernel& kernel, int64_t rows, int64_t k) {
    switch (kernel.scale_granularity) {
        case TB_SCALE_NONE:
        case TB_SCALE_TENSOR:
            return 1;
        case TB_SCALE_ROW:
            return rows;
        case TB_SCALE_BLOCK:
            return rows * ((k + kernel.scale_block - 1) / kernel.scale_block);
    }
    return 1;
}

// Buffers for a few canonical rows, one set per worker.
class RowPacker {
  public:
    RowPacker(const tb_kernel& kernel, const tb_tile& tile, tb_shape shape, int64_t chunk_rows)
        : kernel_(kernel), tile_(tile), shape_(shape) {
        const auto elements = static_cast<size_t>(chunk_rows * shape.k);
        if (kernel.weight_kind == TB_WEIGHT_TERNARY) {
            trits_.resize(elements);
        } else {
            values_.resize(elements);
        }
        scales_.resize(static_cast<size_t>(scale_count(kernel, chunk_rows, shape.k)));
    }

    void pack(const RowProvider& rows, int64_t begin, int64_t end, std::byte* packed) {
        // NaN marks what the provider left alone: one that knows a single scale sets scales[0].
        std::fill(scales_.begin(), scales_.end(), std::numeric_limits<float>::quiet_NaN());
        int8_t* trits = trits_.empty() ? nullptr : trits_.data();
        float* values = values_.empty() ? nullptr : values_.data();
        rows(begin, end, trits, values, scales_.data());
        if (scales_.size() > 1 && std::isnan(scales_[1]) && !std::isnan(scales_[0])) {
            std::fill(scales_.begin() + 1, scales_.end(), scales_[0]);
        }
        const tb_weights view{trits, values, shape_.k, scales_.data()};
        const tb_status status = kernel_.pack(&shape_, &tile_, &view, begin, end, packed);
        if (status.code != TB_OK) {
            throw Error(fmt::format("{}: cannot pack rows {} to {}: {}",
                                    describe(kernel_, shape_, tile_), begin, end,
                                    reason_of(status)));
        }
    }

  private:
    const tb_kernel& kernel_;
    const tb_tile& tile_;
    tb_shape shape_;
    std::vector<int8_t> trits_;
    std::vector<float> values_;
    std::vector<float> scales_;
};

}  // namespace

PackedWeights pack_weights(ThreadPool& pool, const tb_kernel& kernel, const tb_tile& tile,
                           tb_shape shape, const RowProvider& rows) {
    require_accepts(kernel, shape, tile);
    PackedWeights out;
    out.kernel = &kernel;
    out.tile = tile;
    out.shape = shape;
    const size_t bytes = kernel.packed_size(&shape, &tile);
    out.storage = AlignedBuffer(bytes + static_cast<size_t>(kernel.packed_overread));
    out.bytes = out.storage.span().first(bytes);

    const int64_t step = std::max<int64_t>(1, kernel.pack_row_step(&shape, &tile));
    const int64_t wanted = std::max<int64_t>(1, kPackElements / shape.k);
    const int64_t chunk =
        std::min(std::max(step, wanted / step * step), (shape.n + step - 1) / step * step);
    for_chunks(pool, shape.n, chunk, [&](auto&& next) {
        RowPacker packer(kernel, tile, shape, std::min(chunk, shape.n));
        int64_t begin = 0, end = 0;
        while (next(&begin, &end)) packer.pack(rows, begin, end, out.storage.data());
    });
    return out;
}

PackedWeights view_packed(const tb_kernel& kernel, const tb_tile& tile, tb_shape shape,
                          std::span<const std::byte> bytes) {
    require_accepts(kernel, shape, tile);
    const size_t expected = kernel.packed_size(&shape, &tile);
    if (bytes.size() != expected) {
        throw Error(fmt::format("{}: packed weights of {} bytes; expected {}",
                                describe(kernel, shape, tile), bytes.size(), expected));
    }
    if (reinterpret_cast<uintptr_t>(bytes.data()) % static_cast<size_t>(kernel.packed_align) != 0) {
        throw Error(fmt::format("{}: packed weights are not aligned to {} bytes",
                                describe(kernel, shape, tile), kernel.packed_align));
    }
    PackedWeights out;
    out.kernel = &kernel;
    out.tile = tile;
    out.shape = shape;
    out.bytes = bytes;
    return out;
}

}  // namespace tritbench
