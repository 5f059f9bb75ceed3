// The same model in other formats: canonical weights of one file, stored anew.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "model/ternary_matrix.h"
#include "tests/model_fixture.h"

namespace tritbench::test {

// Keys of a file, written anew; arrays (vocabularies) are left out.
inline void copy_keys(const GgufFile& file, GgufWriter& writer) {
    for (const auto& [key, value] : file.metadata()) {
        if (key == "general.alignment") continue;
        if (const auto* u = std::get_if<uint64_t>(&value)) {
            writer.set_u32(key, static_cast<uint32_t>(*u));
        } else if (const auto* d = std::get_if<double>(&value)) {
            writer.set_f32(key, static_cast<float>(*d));
        } else if (const auto* b = std::get_if<bool>(&value)) {
            writer.set_bool(key, *b);
        } else if (const auto* t = std::get_if<std::string>(&value)) {
            writer.set_text(key, *t);
        }
    }
}

inline bool is_linear(const GgufTensor& tensor) {
    return tensor.type == GgmlType::I2_S;
}

// Copies an I2_S file with every tensor as `format_of` wants it; no format: as it is.
inline fs::path store_as(
    const fs::path& from, const fs::path& to,
    const std::function<std::optional<MatrixFormat>(const GgufTensor&)>& format_of) {
    ThreadPool pool(2);
    const GgufFile file(from);
    GgufWriter writer(to, 64);
    copy_keys(file, writer);
    std::vector<std::optional<MatrixFormat>> formats;
    for (const GgufTensor& t : file.tensors()) {
        formats.push_back(format_of(t));
        const tb_shape shape{t.ne.size() > 1 ? t.ne[1] : 1, t.ne[0]};
        if (formats.back()) {
            add_matrix(writer, t.name, *formats.back(), shape);
        } else {
            writer.add_tensor(t.name, t.type, t.ne);
        }
    }
    writer.begin();
    for (size_t i = 0; i < formats.size(); ++i) {
        const GgufTensor& t = file.tensors()[i];
        if (!formats[i]) {
            writer.write({t.data, t.bytes});
            continue;
        }
        const StoredMatrix stored(file, t);
        const auto values = [&](int64_t begin, int64_t end, int8_t*, float* to_values, float*) {
            stored.values(begin, end, to_values);
        };
        std::optional<TernaryMatrix> ternary;
        if (stored.ternary()) ternary.emplace(pool, stored);
        const RowProvider rows =
            ternary ? ternary->rows_for(*formats[i]->codec) : RowProvider(values);
        writer.write(encode_tensor(pool, *formats[i], stored.shape(), rows).bytes);
    }
    writer.finish();
    return to;
}

// All linear layers in one format: "tq2_0", "tl2:BM=128,BK=96", "i2r".
inline fs::path store_linears(const fs::path& from, const fs::path& to, std::string_view format) {
    const MatrixFormat wanted = parse_format(format);
    return store_as(from, to, [&](const GgufTensor& t) {
        return is_linear(t) ? std::optional(wanted) : std::nullopt;
    });
}

}  // namespace tritbench::test
