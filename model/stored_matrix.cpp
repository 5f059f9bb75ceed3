// StoredMatrix: what a tensor of a file is packed as, and its rows.
#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <vector>

#include "kernels/api/error.h"
#include "kernels/api/registry.h"
#include "model/i2s_tensor.h"
#include "model/printable.h"
#include "model/tensor_types.h"

namespace tritbench {
namespace {

[[noreturn]] void fail(const GgufFile& file, const GgufTensor& tensor, std::string_view problem) {
    throw Error(fmt::format("{}: tensor {}: {}", printable(file.path().string(), 300),
                            printable(tensor.name), problem));
}

std::string key_of(const GgufTensor& tensor, std::string_view what) {
    return fmt::format("tritbench.tensor.{}.{}", tensor.name, what);
}

// The tile that TL1 and TL2 bytes were packed with: in a key, or in a kernel_config.ini.
std::string find_tile(const GgufFile& file, const GgufTensor& tensor, tb_shape shape,
                      const LoadOptions& options) {
    const std::string key = key_of(tensor, "tile");
    if (file.find(key) != nullptr) return file.text(key);
    for (const TlTile& tile : options.tl_tiles) {
        if (tile.n != shape.n || tile.k != shape.k) continue;
        const std::string both = fmt::format("BM={},BK={}", tile.BM, tile.BK);
        return tensor.type == GgmlType::TL1 ? fmt::format("{},bm={}", both, tile.bm) : both;
    }
    fail(file, tensor,
         fmt::format("{} of {} x {}: the file does not say its tile; expected the key '{}', or a "
                     "kernel_config.ini (--kernel-config) with a section m = {}, k = {}",
                     ggml_type_name(tensor.type), shape.n, shape.k, printable(key), shape.n,
                     shape.k));
}

tb_tile tile_from(const GgufFile& file, const GgufTensor& tensor, const tb_kernel& codec,
                  const std::string& text) {
    try {
        return parse_tile(codec, text);
    } catch (const Error& e) {
        fail(file, tensor, e.what());
    }
}

// Rows and columns of a tensor that is a matrix, whatever extents of 1 follow.
tb_shape matrix_shape(const GgufFile& file, const GgufTensor& tensor) {
    const bool flat = std::all_of(tensor.ne.begin() + std::min<ptrdiff_t>(2, std::ssize(tensor.ne)),
                                  tensor.ne.end(), [](int64_t extent) { return extent == 1; });
    if (!flat) {
        fail(file, tensor,
             fmt::format("has the extents {}; expected a matrix", extents_text(tensor.ne)));
    }
    return {tensor.ne.size() > 1 ? tensor.ne[1] : 1, tensor.ne[0]};
}

}  // namespace

StoredMatrix::StoredMatrix(const GgufFile& file, const GgufTensor& tensor,
                           const LoadOptions& options)
    : file_(&file), tensor_(&tensor), i2s_(options.i2s) {
    format_.type = tensor.type;
    const std::string layout_key = key_of(tensor, "layout");
    if (tensor.type == GgmlType::I8 && file.find(layout_key) != nullptr) {
        const std::string layout = file.text(layout_key);
        format_.codec = find_kernel(layout + "_scalar");
        if (format_.codec == nullptr || type_of_layout(layout)) {
            fail(file, tensor,
                 fmt::format("key '{}' is '{}'; expected a layout of this program "
                             "('tritbench kernels' lists them)",
                             printable(layout_key), printable(layout, 40)));
        }
        shape_ = {file.integer(key_of(tensor, "n")), file.integer(key_of(tensor, "k"))};
        const std::string tile = key_of(tensor, "tile");
        format_.tile = tile_from(file, tensor, *format_.codec, file.text(tile, ""));
    } else {
        format_.codec = codec_of(tensor.type);
        if (format_.codec == nullptr) {
            fail(file, tensor,
                 fmt::format("has the type {}, which is not read here",
                             ggml_type_name(tensor.type)));
        }
        shape_ = matrix_shape(file, tensor);
        const bool tiled = tensor.type == GgmlType::TL1 || tensor.type == GgmlType::TL2;
        format_.tile = tiled ? tile_from(file, tensor, *format_.codec,
                                         find_tile(file, tensor, shape_, options))
                             : default_tile(*format_.codec);
    }
    std::string why = tensor.data == nullptr ? "its size is not known" : "";
    if (why.empty()) why = why_not_stored(format_, shape_);
    if (why.empty() && format_.type == GgmlType::I8) {
        const uint64_t expected = format_.codec->packed_size(&shape_, &format_.tile);
        if (tensor.bytes != expected) {
            why = fmt::format("{} bytes; expected {}", tensor.bytes, expected);
        }
    }
    if (why.empty() && tensor.type == GgmlType::I2_S && i2s_ == I2sLayout::Row4 &&
        shape_.n % 4 != 0) {
        why = "four rows share a byte (--i2s-layout row4)";
    }
    PackedWeights as_stored;
    as_stored.kernel = format_.codec;
    as_stored.tile = format_.tile;
    reader_ = best_kernel_of_layout(format_.codec->layout);  // there is one for every CPU
    reader_tile_ = call_tile(*reader_, as_stored);
    if (!why.empty()) {
        fail(file, tensor,
             fmt::format("{} x {} (rows x columns) as {}: {}", shape_.n, shape_.k,
                         format_name(format_), why));
    }
}

std::span<const std::byte> StoredMatrix::packed() const {
    if (tensor_->type == GgmlType::I2_S && i2s_ != I2sLayout::X86) return {};
    return {tensor_->data, tensor_->bytes};
}

void StoredMatrix::unpack(int64_t begin, int64_t end, const tb_weights_out& to) const {
    const tb_status status =
        reader_->unpack(&shape_, &reader_tile_, tensor_->data, begin, end, &to);
    if (status.code == TB_OK) return;
    fail(*file_, *tensor_,
         fmt::format("rows {} to {}: {}", begin, end - 1,
                     status.reason != nullptr ? status.reason : "refused"));
}

void StoredMatrix::check(int64_t begin, int64_t end) const {
    unpack(begin, end, {nullptr, nullptr, shape_.k, nullptr});
}

void StoredMatrix::values(int64_t begin, int64_t end, float* to) const {
    if (!packed().empty()) {
        unpack(begin, end, {nullptr, to, shape_.k, nullptr});
        return;
    }
    std::vector<int8_t> codes(static_cast<size_t>((end - begin) * shape_.k));
    float scale = 0.0F;
    trits(begin, end, codes.data(), nullptr);
    trits(begin, begin + 1, nullptr, &scale);
    for (const int8_t trit : codes) *to++ = static_cast<float>(trit) * scale;
}

void StoredMatrix::trits(int64_t begin, int64_t end, int8_t* to, float* row_scales) const {
    const tb_kernel& codec = *format_.codec;
    const int64_t rows = end - begin;
    if (!packed().empty()) {
        const int64_t blocks = codec.scale_granularity == TB_SCALE_BLOCK
                                   ? (shape_.k + codec.scale_block - 1) / codec.scale_block
                                   : 1;
        if (row_scales == nullptr || blocks == 1) {
            unpack(begin, end, {to, nullptr, shape_.k, row_scales});
        } else {
            std::vector<float> scales(static_cast<size_t>(rows * blocks));
            unpack(begin, end, {to, nullptr, shape_.k, scales.data()});
            // Blocks of a row that differ have been refused.
            for (int64_t r = 0; r < rows; ++r)
                row_scales[r] = scales[static_cast<size_t>(r * blocks)];
        }
    } else {
        if (to != nullptr &&
            !i2s_decode(i2s_, shape_, {tensor_->data, tensor_->bytes}, begin, end, to)) {
            fail(*file_, *tensor_,
                 fmt::format("rows {} to {}: code 3, which no I2_S packer writes", begin, end - 1));
        }
        if (row_scales != nullptr) {
            std::memcpy(row_scales, tensor_->data + shape_.n * shape_.k / 4, sizeof(float));
        }
    }
    if (row_scales != nullptr && codec.scale_granularity == TB_SCALE_TENSOR) {
        std::fill_n(row_scales, rows, row_scales[0]);
    }
}

}  // namespace tritbench
