#include "dummy_models/formats.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <numeric>
#include <set>
#include <tuple>

#include "dummy_models/generator.h"
#include "kernels/api/error.h"
#include "kernels/api/registry.h"
#include "model/convert/tensor_output.h"
#include "model/linear_shapes.h"
#include "model/printable.h"

namespace tritbench {
namespace {

tb_shape shape_of(const DummyTensor& tensor) {
    return {tensor.ne.size() > 1 ? tensor.ne[1] : 1, tensor.ne[0]};
}

// "ffn_down" of "blk.7.ffn_down.weight".
std::string_view role_of(std::string_view name) {
    name.remove_suffix(std::min(name.size(), std::string_view(".weight").size()));
    return name.substr(name.rfind('.') + 1);
}

// Without the tile.
std::string plain_name(const MatrixFormat& format) {
    return format.type == GgmlType::I8 ? format.codec->layout : ggml_type_name(format.type);
}

// The pieces between commas, of which a tile's own ("BK=96") stay with their format.
std::vector<std::string> split_formats(std::string_view text) {
    std::vector<std::string> parts;
    for (size_t at = 0; at <= text.size();) {
        const size_t comma = std::min(text.find(',', at), text.size());
        const std::string_view part = text.substr(at, comma - at);
        const bool of_tile = !parts.empty() && parts.back().find(':') != std::string::npos &&
                             !is_linear_role(part.substr(0, part.find('=')));
        if (of_tile) {
            parts.back() += fmt::format(",{}", part);
        } else {
            parts.emplace_back(part);
        }
        at = comma + 1;
    }
    return parts;
}

bool is_plain_embedding(const MatrixFormat& format, bool ternary) {
    return !ternary && format.type == GgmlType::F16;
}

std::string why_not(const MatrixFormat& format, tb_shape s, bool ternary) {
    // Rows of the embedding are read one by one: the most that kernels sum up is no limit to it.
    if (is_plain_embedding(format, ternary)) return "";
    if (format.type != GgmlType::I2_S || s.n * s.k % 128 == 0) return why_not_stored(format, s);
    const int64_t step = 128 / std::gcd(s.n, int64_t{128});
    const int64_t below = s.k / step * step;
    return fmt::format("N * K must be a multiple of 128 for i2_s; with this N, K = {}{} would do",
                       below > 0 ? fmt::format("{} or ", below) : "", below + step);
}

// Formats of which every tensor in `shapes` could be.
std::string formats_for(const std::set<std::pair<int64_t, int64_t>>& shapes, bool ternary) {
    std::vector<std::string> names;
    const char* last = "";
    for (const tb_kernel* kernel : all_kernels()) {
        const bool floats = kernel->weight_kind == TB_WEIGHT_FLOAT;
        const bool fits = ternary ? floats || kernel->weight_kind == TB_WEIGHT_TERNARY
                                  : kernel->weight_kind != TB_WEIGHT_TERNARY;
        if (!fits || std::string_view(last) == kernel->layout) continue;
        last = kernel->layout;
        const MatrixFormat format = parse_format(kernel->layout);
        const bool holds = std::all_of(shapes.begin(), shapes.end(), [&](const auto& nk) {
            const tb_shape shape{nk.first, nk.second};
            return why_not_stored(fit_tile(format, shape), shape).empty();
        });
        if (holds) names.push_back(plain_name(format));
    }
    return fmt::format("{}", fmt::join(names, ", "));
}

}  // namespace

void parse_linear_formats(std::string_view text, DummyFormats& formats) {
    bool first = true;
    for (const std::string& part : split_formats(text)) {
        const std::string_view role = std::string_view(part).substr(0, part.find('='));
        const bool known = is_linear_role(role);
        if (first && !known) {
            formats.linear = parse_format(part);
        } else if (known && role.size() < part.size()) {
            formats.roles.emplace_back(role, parse_format(part.substr(role.size() + 1)));
        } else {
            throw Error(
                fmt::format("format '{}': expected ROLE=FORMAT after the first, ROLE one of {}",
                            printable(part, 40), fmt::join(kLinearRoles, ", ")));
        }
        first = false;
    }
}

MatrixFormat format_of(const DummyFormats& formats, const DummyTensor& tensor) {
    if (tensor.kind == DummyTensor::Kind::Embedding) {
        const auto& wanted = tensor.name == "output.weight" ? formats.head : formats.embedding;
        return wanted ? *wanted : parse_format("f16");
    }
    const std::string_view role = role_of(tensor.name);
    for (const auto& [of, format] : formats.roles) {
        if (of == role) return fit_tile(format, shape_of(tensor));
    }
    return fit_tile(formats.linear ? *formats.linear : parse_format("i2_s"), shape_of(tensor));
}

std::string linear_formats_name(const DummyFormats& formats) {
    std::string name = formats.linear ? plain_name(*formats.linear) : "i2_s";
    for (const auto& [role, format] : formats.roles) {
        name += fmt::format(",{}={}", role, plain_name(format));
    }
    return name;
}

void check_formats(const DummyOptions& options) {
    const std::vector<DummyTensor> tensors = dummy_tensors(options);
    std::set<std::tuple<std::string_view, int64_t, int64_t>> seen;  // layers repeat
    for (const DummyTensor& tensor : tensors) {
        if (tensor.kind == DummyTensor::Kind::Norm) continue;
        const tb_shape shape = shape_of(tensor);
        if (!seen.emplace(role_of(tensor.name), shape.n, shape.k).second) continue;
        const bool ternary = tensor.kind == DummyTensor::Kind::Ternary;
        const MatrixFormat format = format_of(options.formats, tensor);
        if (!ternary) {
            require_matrix_format(
                format, tensor.name == "output.weight" ? "--head-type" : "--embedding-type");
        }
        const std::string why = why_not(format, shape, ternary);
        if (why.empty()) continue;
        std::set<std::pair<int64_t, int64_t>> shapes;  // of all that would be in this format
        for (const DummyTensor& other : tensors) {
            if (other.kind != tensor.kind) continue;
            if (plain_name(format_of(options.formats, other)) != plain_name(format)) continue;
            shapes.emplace(shape_of(other).n, shape_of(other).k);
        }
        throw Error(fmt::format(
            "{} is {} x {} (N x K): {}; formats that hold it: {}", role_of(tensor.name), shape.n,
            shape.k,
            format.type == GgmlType::I2_S ? why : fmt::format("{}: {}", format_name(format), why),
            formats_for(shapes, ternary)));
    }
}

}  // namespace tritbench
