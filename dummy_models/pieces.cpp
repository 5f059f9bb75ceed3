// Tensors whose bytes follow directly from their random words: norms, embeddings in F16, I2_S.
#include "dummy_models/pieces.h"

#include <algorithm>

namespace tritbench {
namespace {

constexpr uint64_t kPieceBytes = uint64_t{1} << 20;
constexpr uint64_t kI2sTail = 32;  // the scale and its padding
constexpr std::byte kZeroCodes{0x55};

class DirectPieces : public TensorPieces {
  public:
    DirectPieces(const DummyOptions& options, const DummyTensor& tensor)
        : options_(options), tensor_(tensor) {
        bytes_ = ggml_tensor_bytes(tensor.type(), tensor.ne).value_or(0);  // the writer will see
    }

    uint64_t count() const override { return (bytes_ + kPieceBytes - 1) / kPieceBytes; }
    uint64_t buffer_bytes() const override { return kPieceBytes; }

    void make(uint64_t piece, PieceBuffers& buffers, const Put& put) const override {
        const uint64_t begin = piece * kPieceBytes;
        buffers.bytes.resize(std::max<size_t>(buffers.bytes.size(), kPieceBytes));
        const std::span<std::byte> out(buffers.bytes.data(), std::min(kPieceBytes, bytes_ - begin));
        switch (tensor_.kind) {
            case DummyTensor::Kind::Norm:
                dummy_norm(options_.seed, tensor_.index, begin / sizeof(float),
                           {reinterpret_cast<float*>(out.data()), out.size() / sizeof(float)});
                break;
            case DummyTensor::Kind::Embedding:
                dummy_f16(options_.seed, tensor_.index, begin / sizeof(uint16_t),
                          {reinterpret_cast<uint16_t*>(out.data()), out.size() / sizeof(uint16_t)});
                break;
            case DummyTensor::Kind::Ternary:
                i2s(begin, out);
                break;
        }
        put(begin, out);
    }

  private:
    void i2s(uint64_t begin, std::span<std::byte> out) const {
        const uint64_t packed = bytes_ - kI2sTail;
        const uint64_t codes = std::min<uint64_t>(out.size(), packed - std::min(packed, begin));
        dummy_i2s(options_.seed, tensor_.index, options_.zeros, begin, out.first(codes));
        if (options_.ffn_zeros && tensor_.name.ends_with(".ffn_gate.weight")) {
            silence(begin, out.first(codes));
        }
        if (codes == out.size()) return;
        // Pieces are multiples of 32 bytes, so the tail is never cut in two.
        const float scale = dummy_scale(options_.seed, tensor_.index, tensor_.ne[0], options_.zeros,
                                        options_.scale_spread);
        std::fill(out.begin() + static_cast<ptrdiff_t>(codes), out.end(), std::byte{0});
        std::copy_n(reinterpret_cast<const std::byte*>(&scale), sizeof(scale), &out[codes]);
    }

    // Silences rows of a gate: `codes` are bytes from `begin` on, of rows of whole bytes.
    void silence(uint64_t begin, std::span<std::byte> codes) const {
        const double share = silent_share(*options_.ffn_zeros, options_.config.ffn);
        const auto row_bytes = static_cast<uint64_t>(tensor_.ne[0]) / 4;
        for (uint64_t at = 0; at < codes.size();) {
            const uint64_t row = (begin + at) / row_bytes;
            const uint64_t end = std::min<uint64_t>((row + 1) * row_bytes - begin, codes.size());
            if (dummy_silent(options_.seed, tensor_.index, row, share)) {
                std::fill(codes.begin() + static_cast<ptrdiff_t>(at),
                          codes.begin() + static_cast<ptrdiff_t>(end), kZeroCodes);
            }
            at = end;
        }
    }

    const DummyOptions& options_;
    DummyTensor tensor_;
    uint64_t bytes_ = 0;
};

}  // namespace

std::unique_ptr<TensorPieces> tensor_pieces(const DummyOptions& options,
                                            const DummyTensor& tensor) {
    if (tensor.kind == DummyTensor::Kind::Norm) {
        return std::make_unique<DirectPieces>(options, tensor);
    }
    const MatrixFormat format = format_of(options.formats, tensor);
    const bool even_signs = trit_shares(options.zeros, options.positive).plus == 0;
    if (format.type == tensor.type() &&
        (tensor.kind == DummyTensor::Kind::Embedding || even_signs)) {
        return std::make_unique<DirectPieces>(options, tensor);
    }
    return packed_pieces(options, tensor, format);
}

}  // namespace tritbench
