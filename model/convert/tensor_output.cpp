#include "model/convert/tensor_output.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "kernels/api/error.h"
#include "kernels/api/half.h"
#include "kernels/api/registry.h"
#include "model/printable.h"

namespace tritbench {
namespace {

bool is_ternary(const MatrixFormat& format) {
    return format.codec->weight_kind == TB_WEIGHT_TERNARY;
}

// The next choice of values of the tile parameters that packed bytes depend on; false after the
// last.
bool next_tile(const tb_kernel& codec, tb_tile& tile) {
    for (int32_t i = 0; i < codec.tile_param_count; ++i) {
        const tb_tile_param& param = codec.tile_params[i];
        if ((param.affects & TB_TILE_AFFECTS_PACK) == 0) continue;
        const int32_t* end = param.values + param.value_count;
        const int32_t* at = std::find(param.values, end, tile.value[i]);
        if (at != end && at + 1 != end) {
            tile.value[i] = at[1];
            return true;
        }
        tile.value[i] = param.values[0];
    }
    return false;
}

// Whether the format holds the shape without padding, and for TL1 and TL2 in whole tiles:
// bitnet.cpp reads no others (utils/convert-hf-to-gguf-bitnet.py).
bool divides(const MatrixFormat& format, tb_shape shape) {
    if (!why_not_stored(format, shape).empty()) return false;
    if (format.type != GgmlType::TL1 && format.type != GgmlType::TL2) return true;
    bool whole = true;
    for (int32_t i = 0; i < format.codec->tile_param_count; ++i) {
        const std::string_view name = format.codec->tile_params[i].name;
        if (name == "BM") whole = whole && shape.n % format.tile.value[i] == 0;
        if (name != "BK") continue;
        const int64_t left = shape.k % format.tile.value[i];
        whole = whole && (format.type == GgmlType::TL1 ? left : left % 32) == 0;
    }
    return whole;
}

}  // namespace

bool write_tensors(GgufWriter& writer, ThreadPool& pool, const std::vector<TensorOutput>& tensors,
                   const ConvertProgress& progress) {
    uint64_t total = 0, done = 0;
    for (const TensorOutput& tensor : tensors) {
        tensor.declare(writer);
        total += tensor.elements;
    }
    writer.begin();
    for (const TensorOutput& tensor : tensors) {
        if (progress && !progress(done, total)) return false;
        tensor.write(writer, pool);
        done += tensor.elements;
    }
    if (progress && !progress(done, total)) return false;
    writer.finish();
    return true;
}

float scale_as_stored(const MatrixFormat& format, float scale) {
    const bool half = is_ternary(format) ? format.codec->scale_type == TB_SCALE_F16
                                         : format.type == GgmlType::F16;
    if (half) return tb_half_to_float(tb_float_to_half(scale));
    if (format.type != GgmlType::BF16) return scale;
    // One value through the codec, which knows how to round.
    const tb_shape shape{1, 1};
    const tb_weights in{nullptr, &scale, 1, nullptr};
    uint16_t packed = 0;
    float stored = 0;
    const tb_weights_out out{nullptr, &stored, 1, nullptr};
    format.codec->pack(&shape, &format.tile, &in, 0, 1, &packed);
    format.codec->unpack(&shape, &format.tile, &packed, 0, 1, &out);
    return stored;
}

void ScaleRounding::add(const std::string& tensor, const MatrixFormat& format, float scale) {
    const float stored = scale_as_stored(format, scale);
    if (!(stored > 0) || !std::isfinite(stored)) {
        throw Error(
            fmt::format("tensor {}: its scale {} is {} as {}; expected a format that can "
                        "hold it",
                        printable(tensor), scale, stored, format_name(format)));
    }
    format_ = format.codec->layout;
    ++scales_;
    if (stored == scale) return;
    ++rounded_;
    largest_ = std::max(largest_, std::abs(static_cast<double>(stored) / scale - 1));
}

std::string ScaleRounding::note() const {
    if (rounded_ == 0) return "";
    return fmt::format("{} keeps scales in fewer bits: {} of {} are rounded, by at most {:.2g} %",
                       format_, rounded_, scales_, largest_ * 100);
}

void require_linear_format(const MatrixFormat& format) {
    if (is_ternary(format) || format.codec->weight_kind == TB_WEIGHT_FLOAT) return;
    throw Error(
        fmt::format("--type {}: would round ternary weights; expected a ternary format, "
                    "f16, bf16 or f32",
                    format_name(format)));
}

void require_matrix_format(const MatrixFormat& format, std::string_view what) {
    if (!is_ternary(format)) return;
    throw Error(
        fmt::format("{} {}: would make ternary what is not; expected f16, bf16, f32, q8_0, "
                    "q6_k or q4_0",
                    what, format_name(format)));
}

MatrixFormat fit_tile(const MatrixFormat& format, tb_shape shape) {
    const tb_kernel& codec = *format.codec;
    const MatrixFormat standard{format.type, &codec, default_tile(codec)};
    const bool chosen = format_name(format) != format_name(standard);
    if (chosen || divides(format, shape)) return format;
    MatrixFormat other = format;
    for (int32_t i = 0; i < codec.tile_param_count; ++i) {
        if ((codec.tile_params[i].affects & TB_TILE_AFFECTS_PACK) != 0) {
            other.tile.value[i] = codec.tile_params[i].values[0];
        }
    }
    MatrixFormat best = format;
    // The last has the largest tiles.
    do {
        if (divides(other, shape)) best = other;
    } while (next_tile(codec, other.tile));
    return best;
}

int64_t file_type_of(const MatrixFormat& format) {
    switch (format.type) {
        case GgmlType::F32:
            return 0;
        case GgmlType::F16:
            return 1;
        case GgmlType::BF16:
            return 32;
        case GgmlType::TQ1_0:
            return 36;
        case GgmlType::TQ2_0:
            return 37;
        case GgmlType::TL1:
            return 38;
        case GgmlType::TL2:
            return 39;
        case GgmlType::I2_S:
            return 40;
        default:
            return -1;
    }
}

}  // namespace tritbench
