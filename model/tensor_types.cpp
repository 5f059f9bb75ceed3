#include "model/tensor_types.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <set>

#include "kernels/api/error.h"
#include "kernels/api/registry.h"
#include "model/printable.h"

namespace tritbench {
namespace {

struct TypeLayout {
    GgmlType type;
    std::string_view layout;
};

constexpr std::array<TypeLayout, 14> kTypeLayouts{{{GgmlType::F32, "f32"},
                                                   {GgmlType::F16, "f16"},
                                                   {GgmlType::BF16, "bf16"},
                                                   {GgmlType::Q8_0, "q8_0"},
                                                   {GgmlType::Q6_K, "q6_k"},
                                                   {GgmlType::Q4_0, "q4_0"},
                                                   {GgmlType::I2_S, "i2s"},
                                                   {GgmlType::TL1, "tl1"},
                                                   {GgmlType::TL2, "tl2"},
                                                   {GgmlType::TQ1_0, "tq1_0"},
                                                   {GgmlType::TQ2_0, "tq2_0"},
                                                   {GgmlType::IQ1_BN, "iq1_bn"},
                                                   {GgmlType::IQ2_BN, "iq2_bn"},
                                                   {GgmlType::IQ2_BN_R4, "iq2_bn_r4"}}};

// The first registered kernel of a layout is the portable one.
const tb_kernel* scalar_of(std::string_view layout) {
    return find_kernel(fmt::format("{}_scalar", layout));
}

std::string known_formats() {
    std::set<std::string_view> names;
    for (const tb_kernel* kernel : all_kernels()) names.insert(kernel->layout);
    return fmt::format("{}", fmt::join(names, ", "));
}

}  // namespace

const tb_kernel* codec_of(GgmlType type) {
    for (const TypeLayout& known : kTypeLayouts) {
        if (known.type == type) return scalar_of(known.layout);
    }
    return nullptr;
}

std::optional<GgmlType> type_of_layout(std::string_view layout) {
    for (const TypeLayout& known : kTypeLayouts) {
        if (known.layout == layout) return known.type;
    }
    return std::nullopt;
}

std::string packed_tile_name(const tb_kernel& kernel, const tb_tile& tile) {
    std::string name;
    for (int32_t i = 0; i < kernel.tile_param_count; ++i) {
        const tb_tile_param& param = kernel.tile_params[i];
        if ((param.affects & TB_TILE_AFFECTS_PACK) == 0) continue;
        name += fmt::format("{}{}={}", name.empty() ? "" : ",", param.name, tile.value[i]);
    }
    return name;
}

MatrixFormat parse_format(std::string_view text) {
    const size_t colon = text.find(':');
    std::string_view name = text.substr(0, colon);
    if (name == "i2_s") name = "i2s";  // the one layout whose name is not that of its type
    MatrixFormat format;
    format.codec = scalar_of(name);
    if (format.codec == nullptr) {
        throw Error(
            fmt::format("format '{}': expected one of {}", printable(name, 40), known_formats()));
    }
    format.type = type_of_layout(name).value_or(GgmlType::I8);
    format.tile =
        parse_tile(*format.codec, colon == std::string_view::npos ? "" : text.substr(colon + 1));
    return format;
}

std::string format_name(const MatrixFormat& format) {
    const std::string tile = packed_tile_name(*format.codec, format.tile);
    const std::string name =
        format.type == GgmlType::I8 ? format.codec->layout : ggml_type_name(format.type);
    return tile.empty() ? name : name + ":" + tile;
}

std::string why_not_stored(const MatrixFormat& format, tb_shape shape) {
    const tb_kernel& codec = *format.codec;
    const tb_status status = codec.accepts(&shape, &format.tile);
    if (status.code != TB_OK) return status.reason != nullptr ? status.reason : "refused";
    if (format.type == GgmlType::I8) return "";
    const int64_t ne[] = {shape.k, shape.n};
    const auto bytes = ggml_tensor_bytes(format.type, ne);
    if (bytes == codec.packed_size(&shape, &format.tile)) return "";
    return "needs padding, which the files of this type have no place for";
}

void add_matrix(GgufWriter& writer, const std::string& name, const MatrixFormat& format,
                tb_shape shape) {
    if (const std::string why = why_not_stored(format, shape); !why.empty()) {
        throw Error(fmt::format("tensor {}: {} x {} (rows x columns) cannot be stored as {}: {}",
                                printable(name), shape.n, shape.k, format_name(format), why));
    }
    const std::string keys = "tritbench.tensor." + name;
    const std::string tile = packed_tile_name(*format.codec, format.tile);
    if (!tile.empty()) writer.set_text(keys + ".tile", tile);
    if (format.type != GgmlType::I8) {
        writer.add_tensor(name, format.type, {shape.k, shape.n});
        return;
    }
    writer.set_text(keys + ".layout", format.codec->layout);
    writer.set_u32(keys + ".n", static_cast<uint32_t>(shape.n));
    writer.set_u32(keys + ".k", static_cast<uint32_t>(shape.k));
    writer.add_tensor(name, GgmlType::I8,
                      {static_cast<int64_t>(format.codec->packed_size(&shape, &format.tile))});
}

PackedWeights encode_tensor(ThreadPool& pool, const MatrixFormat& format, tb_shape shape,
                            const RowProvider& rows) {
    return pack_weights(pool, *format.codec, format.tile, shape, rows);
}

void decode_rows(const GgufFile& file, const GgufTensor& tensor, const LoadOptions& options,
                 int64_t row_begin, int64_t row_end, float* values) {
    StoredMatrix(file, tensor, options).values(row_begin, row_end, values);
}

}  // namespace tritbench
