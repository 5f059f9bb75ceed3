// Matrices in GGUF files through the kernels: a kernel of a layout packs and unpacks the bytes of
// the GGUF type that is stored in that layout, so that it is the type's encoder and decoder.
//
// A layout that GGUF has no type for (i2r, t3r, t5r, int8, ...) is stored as a one-dimensional I8
// tensor of the packed bytes, with keys that say what they are:
//
//   tritbench.tensor.<name>.layout   text   "i2r", ...
//   tritbench.tensor.<name>.n, .k    u32    rows and columns of W
//   tritbench.tensor.<name>.tile     text   "BM=256,BK=96": only if the layout has a tile that its
//                                           bytes depend on; TL1 and TL2 tensors have this key too
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "kernels/api/kernel.h"
#include "model/bitlinear.h"
#include "model/gguf.h"
#include "model/load_options.h"

namespace tritbench {

// The scalar kernel whose packed bytes are those of a GGUF type; null if there is none.
const tb_kernel* codec_of(GgmlType type);
// The GGUF type that stores a layout's packed bytes; empty for layouts of our own.
std::optional<GgmlType> type_of_layout(std::string_view layout);

// How a matrix is stored, or is to be.
struct MatrixFormat {
    GgmlType type = GgmlType::F32;  // I8 for a layout that GGUF has no type for
    const tb_kernel* codec = nullptr;
    tb_tile tile{};
};

// "f16", "i2_s", "tl2:BM=256,BK=96", "i2r", ...: the name of a GGUF type or of a layout, and its
// tile. Throws Error, with the names that there are, on anything else.
MatrixFormat parse_format(std::string_view text);
// The same text back; the tile only where bytes depend on it.
std::string format_name(const MatrixFormat& format);

// "BM=256,BK=96": the tile parameters that packed bytes depend on; "" for a layout without any.
std::string packed_tile_name(const tb_kernel& kernel, const tb_tile& tile);

// Empty if a GGUF tensor of this format can hold the shape, else why not.
std::string why_not_stored(const MatrixFormat& format, tb_shape shape);

// Declares the tensor, and the keys that its format needs. Throws Error, naming tensor and format,
// if the format cannot hold the shape.
void add_matrix(GgufWriter& writer, const std::string& name, const MatrixFormat& format,
                tb_shape shape);
// The bytes that add_matrix declared, packed in parallel from canonical rows.
PackedWeights encode_tensor(ThreadPool& pool, const MatrixFormat& format, tb_shape shape,
                            const RowProvider& rows);

// One matrix of a file, as its format says. Keeps references to file and tensor.
class StoredMatrix {
  public:
    // Throws Error, naming file and tensor, if the type has no codec, its tile is not known, or
    // keys, extents and bytes contradict each other. The values are not looked at.
    StoredMatrix(const GgufFile& file, const GgufTensor& tensor, const LoadOptions& options = {});

    const GgufFile& file() const { return *file_; }
    const GgufTensor& tensor() const { return *tensor_; }
    const MatrixFormat& format() const { return format_; }
    tb_shape shape() const { return shape_; }
    // The packed bytes of format().codec; empty for I2_S as Arm and Row4 have it.
    std::span<const std::byte> packed() const;
    bool ternary() const { return format_.codec->weight_kind == TB_WEIGHT_TERNARY; }

    // Rows [begin, end) as float32, [rows][k]; any range. Throws Error, naming file and tensor, on
    // codes and scales that no packer writes. Allocates nothing where the format stores row by row.
    void values(int64_t begin, int64_t end, float* to) const;
    // Throws the Error that values would; of I2_S only as X86 has it.
    void check(int64_t begin, int64_t end) const;
    // Of ternary formats: trits [rows][k] and the scale of each row. Either pointer may be null.
    void trits(int64_t begin, int64_t end, int8_t* to, float* row_scales) const;

  private:
    void unpack(int64_t begin, int64_t end, const tb_weights_out& to) const;

    const GgufFile* file_;
    const GgufTensor* tensor_;
    MatrixFormat format_;
    const tb_kernel* reader_ = nullptr;  // the fastest of the layout: it unpacks
    tb_tile reader_tile_{};
    tb_shape shape_{};
    I2sLayout i2s_;
};

// Rows of a matrix as float32: StoredMatrix::values in one call.
void decode_rows(const GgufFile& file, const GgufTensor& tensor, const LoadOptions& options,
                 int64_t row_begin, int64_t row_end, float* values);

}  // namespace tritbench
