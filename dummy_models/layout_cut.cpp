#include "dummy_models/layout_cut.h"

#include <algorithm>
#include <array>
#include <string_view>

namespace tritbench {
namespace {

// One plane of rows, and nothing behind it but the trailer.
constexpr std::array<std::string_view, 16> kRowLayouts{
    "i2s",    "i2r",       "t3r", "t5r", "tl1",  "tq1_0", "tq2_0", "iq1_bn",
    "iq2_bn", "iq2_bn_r4", "f32", "f16", "bf16", "q8_0",  "q6_k",  "q4_0"};

bool of_rows(std::string_view layout) {
    return std::find(kRowLayouts.begin(), kRowLayouts.end(), layout) != kRowLayouts.end();
}

int64_t tile_value(const MatrixFormat& format, std::string_view name) {
    for (int32_t i = 0; i < format.codec->tile_param_count; ++i) {
        if (format.codec->tile_params[i].name == name) return format.tile.value[i];
    }
    return 1;
}

int64_t round_up(int64_t value, int64_t step) {
    return (value + step - 1) / step * step;
}

uint64_t u(int64_t value) {
    return static_cast<uint64_t>(value);
}

// kernels/tl2/layout.h: triples, their signs, pairs.
std::vector<PackedPlane> tl2_planes(const MatrixFormat& format, tb_shape s) {
    const int64_t n = round_up(s.n, tile_value(format, "BM"));
    const int64_t bk = tile_value(format, "BK");
    const int64_t k3 = s.k / bk * bk, k2 = round_up(s.k - k3, 32);
    const uint64_t index = u(n * k3 / 6), sign = u(n * k3 / 24), pair = u(n * k2 / 4);
    return {{0, index}, {index, sign}, {index + sign, pair}};
}

}  // namespace

LayoutCut layout_cut(const MatrixFormat& format, tb_shape shape) {
    using Along = LayoutCut::Along;
    const tb_kernel& codec = *format.codec;
    const std::string_view layout = codec.layout;
    const auto trailer = u(codec.overhead_bytes_tensor);
    const int64_t step = codec.pack_row_step(&shape, &format.tile);
    if (layout == "i2c") return {Along::Columns, 128, trailer};
    // The rows of a tile share its columns; pack is content with fewer.
    if (layout == "tl1") return {Along::Rows, tile_value(format, "BM"), trailer};
    if (layout == "tl2" || layout == "int8" || layout == "q8_row" || of_rows(layout)) {
        return {Along::Rows, step, trailer};
    }
    return {Along::Nothing, 1, 0};
}

std::vector<PackedPlane> packed_planes(const MatrixFormat& format, tb_shape s) {
    const tb_kernel& codec = *format.codec;
    const std::string_view layout = codec.layout;
    if (layout == "tl2") return tl2_planes(format, s);
    if (layout == "int8") return {{0, u(s.n * s.k)}};
    if (layout == "q8_row") return {{0, u(s.n * s.k)}, {u(round_up(s.n * s.k, 4)), u(4 * s.n)}};
    const auto size = static_cast<uint64_t>(codec.packed_size(&s, &format.tile));
    if (layout_cut(format, s).along == LayoutCut::Along::Nothing) return {{0, s.n > 0 ? size : 0}};
    return {{0, size - u(codec.overhead_bytes_tensor)}};
}

}  // namespace tritbench
