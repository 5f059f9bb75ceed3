// Tensors that the codec of a layout packs, rows or columns at a time.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "dummy_models/layout_cut.h"
#include "dummy_models/pieces.h"
#include "dummy_models/rows.h"
#include "kernels/api/error.h"
#include "kernels/api/registry.h"
#include "model/bitlinear.h"

namespace tritbench {
namespace {

// Weights of a piece, where the layout leaves a choice: few enough for a core's own cache.
constexpr int64_t kPieceWeights = int64_t{1} << 19;

template <class Cell>
void put_cells(const std::array<std::byte, 12>& of_trits, std::span<const int8_t> trits,
               std::byte* to) {
    std::array<Cell, 3> cells;
    std::memcpy(cells.data(), of_trits.data(), sizeof(cells));
    for (size_t i = 0; i < trits.size(); ++i) {
        const Cell cell = cells[static_cast<size_t>(trits[i] + 1)];
        std::memcpy(to + i * sizeof(Cell), &cell, sizeof(Cell));
    }
}

class PackedPieces : public TensorPieces {
  public:
    PackedPieces(const DummyOptions& options, const DummyTensor& tensor, const MatrixFormat& format)
        : name_(tensor.name),
          matrix_(options, tensor),
          format_(format),
          cut_(layout_cut(format, matrix_.shape())) {
        // All kernels of a layout pack the same bytes; those of this CPU do it faster.
        PackedWeights as_stored;
        as_stored.kernel = format.codec;
        as_stored.tile = format.tile;
        const tb_kernel* best = best_kernel_of_layout(format.codec->layout);
        packer_ = best != nullptr ? best : format.codec;
        packer_tile_ = call_tile(*packer_, as_stored);
        const auto [n, k] = matrix_.shape();
        columns_ = cut_.along == LayoutCut::Along::Columns;
        extent_ = columns_ ? k : n;
        const int64_t wanted = std::max<int64_t>(1, kPieceWeights / (columns_ ? n : k));
        length_ = std::max(cut_.step, wanted / cut_.step * cut_.step);
        if (cut_.along == LayoutCut::Along::Nothing) length_ = extent_;
        length_ = std::min(length_, extent_);
    }

    uint64_t count() const override {
        return static_cast<uint64_t>((extent_ + length_ - 1) / length_);
    }

    uint64_t buffer_bytes() const override {
        const tb_shape piece = part(0, length_);
        const auto weights = static_cast<uint64_t>(piece.n * piece.k);
        return weights * (reads_trits() ? 1 : sizeof(float)) + packed_bytes(piece);
    }

    void make(uint64_t index, PieceBuffers& buffers, const Put& put) const override {
        const int64_t begin = static_cast<int64_t>(index) * length_;
        const int64_t end = std::min(begin + length_, extent_);
        const tb_shape piece = part(begin, end);
        buffers.bytes.resize(std::max<size_t>(buffers.bytes.size(), packed_bytes(piece)));
        pack(begin, end, piece, buffers);
        const std::span<const std::byte> packed(buffers.bytes.data(), packed_bytes(piece));
        const std::vector<PackedPlane> from = packed_planes(format_, piece);
        const std::vector<PackedPlane> before = packed_planes(format_, part(0, begin));
        const std::vector<PackedPlane> whole = packed_planes(format_, matrix_.shape());
        for (size_t i = 0; i < whole.size(); ++i) {
            put(whole[i].begin + before[i].bytes, packed.subspan(from[i].begin, from[i].bytes));
        }
        if (end == extent_) put_gaps(whole, packed.last(cut_.trailer), put);
    }

  private:
    tb_shape part(int64_t begin, int64_t end) const {
        const auto [n, k] = matrix_.shape();
        return columns_ ? tb_shape{n, end - begin} : tb_shape{end - begin, k};
    }
    size_t packed_bytes(tb_shape piece) const {
        return format_.codec->packed_size(&piece, &format_.tile);
    }
    // Of ternary weights a float format has three different cells.
    bool by_cells() const {
        return matrix_.ternary() && format_.codec->weight_kind == TB_WEIGHT_FLOAT;
    }
    bool reads_trits() const {
        return by_cells() || format_.codec->weight_kind == TB_WEIGHT_TERNARY;
    }

    void pack(int64_t begin, int64_t end, tb_shape piece, PieceBuffers& buffers) const {
        const auto weights = static_cast<size_t>(piece.n * piece.k);
        if (reads_trits()) {
            buffers.trits.resize(std::max(buffers.trits.size(), weights));
            if (columns_) {
                matrix_.trits(0, piece.n, begin, end, buffers.trits.data());
            } else {
                matrix_.trits(begin, end, 0, piece.k, buffers.trits.data());
            }
        } else {
            buffers.values.resize(std::max(buffers.values.size(), weights));
            matrix_.values(begin, end, buffers.values.data());
        }
        if (by_cells()) {
            pack_cells({buffers.trits.data(), weights}, buffers.bytes.data());
            return;
        }
        const tb_kernel& codec = *format_.codec;
        const auto scales = static_cast<size_t>(
            codec.scale_granularity == TB_SCALE_BLOCK
                ? piece.n * ((piece.k + codec.scale_block - 1) / codec.scale_block)
                : piece.n);
        buffers.scales.assign(scales, matrix_.scale());
        call_pack(piece,
                  {reads_trits() ? buffers.trits.data() : nullptr,
                   reads_trits() ? nullptr : buffers.values.data(), piece.k, buffers.scales.data()},
                  buffers.bytes.data());
    }

    void pack_cells(std::span<const int8_t> trits, std::byte* to) const {
        const std::array<float, 3> values{-matrix_.scale(), 0.0F, matrix_.scale()};
        std::array<std::byte, 12> cells;
        const float scale = matrix_.scale();
        call_pack({1, 3}, {nullptr, values.data(), 3, &scale}, cells.data());
        if (format_.codec->bits_num == 16) {
            put_cells<uint16_t>(cells, trits, to);
        } else {
            put_cells<uint32_t>(cells, trits, to);
        }
    }

    void call_pack(tb_shape shape, const tb_weights& weights, std::byte* to) const {
        const tb_status status = packer_->pack(&shape, &packer_tile_, &weights, 0, shape.n, to);
        if (status.code == TB_OK) return;
        throw Error(fmt::format("tensor {}: cannot be packed as {}: {}", name_,
                                format_name(format_),
                                status.reason != nullptr ? status.reason : "refused"));
    }

    // What lies between and behind the planes of the whole tensor: zeros, and `trailer` at the end.
    void put_gaps(const std::vector<PackedPlane>& planes, std::span<const std::byte> trailer,
                  const Put& put) const {
        const uint64_t total = packed_bytes(matrix_.shape());
        for (size_t i = 0; i < planes.size(); ++i) {
            const uint64_t begin = planes[i].begin + planes[i].bytes;
            const uint64_t end = i + 1 < planes.size() ? planes[i + 1].begin : total;
            if (begin == end) continue;
            std::vector<std::byte> gap(end - begin, std::byte{0});
            if (end == total)
                std::copy(trailer.begin(), trailer.end(),
                          gap.end() - static_cast<ptrdiff_t>(trailer.size()));
            put(begin, gap);
        }
    }

    std::string name_;
    DummyMatrix matrix_;
    MatrixFormat format_;
    LayoutCut cut_;
    const tb_kernel* packer_ = nullptr;
    tb_tile packer_tile_{};
    bool columns_ = false;
    int64_t extent_ = 0;  // rows, or columns
    int64_t length_ = 0;  // of a piece
};

}  // namespace

std::unique_ptr<TensorPieces> packed_pieces(const DummyOptions& options, const DummyTensor& tensor,
                                            const MatrixFormat& format) {
    return std::make_unique<PackedPieces>(options, tensor, format);
}

}  // namespace tritbench
