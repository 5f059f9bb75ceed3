// The bytes of one tensor of a dummy model, in pieces that workers make on their own, in any order.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "dummy_models/generator.h"

namespace tritbench {

// Of one worker; they grow to what the largest piece needs.
struct PieceBuffers {
    std::vector<int8_t> trits;
    std::vector<float> values, scales;
    std::vector<std::byte> bytes;
};

class TensorPieces {
  public:
    // Takes bytes and where in the tensor they belong.
    using Put = std::function<void(uint64_t offset, std::span<const std::byte> bytes)>;

    TensorPieces() = default;
    TensorPieces(const TensorPieces&) = delete;
    TensorPieces& operator=(const TensorPieces&) = delete;
    virtual ~TensorPieces() = default;

    virtual uint64_t count() const = 0;
    virtual uint64_t buffer_bytes() const = 0;  // that a worker needs for one
    // Each byte of the tensor is put once by one of the pieces. Throws Error.
    virtual void make(uint64_t piece, PieceBuffers& buffers, const Put& put) const = 0;
};

// `options` must live as long as the result.
std::unique_ptr<TensorPieces> tensor_pieces(const DummyOptions& options, const DummyTensor& tensor);

// Packed by the layout's codec (layout_cut.h).
std::unique_ptr<TensorPieces> packed_pieces(const DummyOptions& options, const DummyTensor& tensor,
                                            const MatrixFormat& format);

}  // namespace tritbench
