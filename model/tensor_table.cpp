#include "model/tensor_table.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>

#include "kernels/api/error.h"
#include "model/printable.h"

namespace tritbench {

void TensorTable::fail(const std::string& name, std::string_view found,
                       std::string_view expected) const {
    throw Error(fmt::format("{}: tensor {}: {}; expected {}", printable(file_.path().string(), 300),
                            name, found, expected));
}

const GgufTensor& TensorTable::find(const std::string& name, std::string_view expected) {
    const GgufTensor* tensor = file_.find_tensor(name);
    if (tensor == nullptr) fail(name, "missing", expected);
    used_.insert(name);
    return *tensor;
}

StoredMatrix TensorTable::matrix(const std::string& name, tb_shape shape) {
    const std::string expected =
        fmt::format("a matrix of shape [{}, {}] (columns, rows)", shape.k, shape.n);
    const GgufTensor& tensor = find(name, expected);
    StoredMatrix stored(file_, tensor, options_);
    if (stored.shape().n != shape.n || stored.shape().k != shape.k) {
        fail(name, fmt::format("has the shape [{}, {}]", stored.shape().k, stored.shape().n),
             expected);
    }
    return stored;
}

StoredMatrix TensorTable::rows(const std::string& name, tb_shape shape) {
    StoredMatrix stored = matrix(name, shape);
    if (stored.ternary()) {
        fail(name, "has the type " + format_name(stored.format()),
             "f32, f16, bf16, q8_0, q6_k, q4_0 or q8_row");
    }
    return stored;
}

std::vector<float> TensorTable::vector(const std::string& name, int64_t size) {
    const std::string expected = fmt::format("{} numbers of type f32, f16 or bf16", size);
    const GgufTensor& tensor = find(name, expected);
    const auto types = {GgmlType::F32, GgmlType::F16, GgmlType::BF16};
    if (std::find(types.begin(), types.end(), tensor.type) == types.end()) {
        fail(name, "has the type " + ggml_type_name(tensor.type), expected);
    }
    if (tensor.elements() != size || tensor.ne[0] != size) {
        fail(name, fmt::format("has the shape [{}]", fmt::join(tensor.ne, ", ")), expected);
    }
    std::vector<float> values(static_cast<size_t>(size));
    decode_rows(file_, tensor, options_, 0, 1, values.data());
    for (size_t i = 0; i < values.size(); ++i) {
        if (std::isfinite(values[i])) continue;
        fail(name, fmt::format("element {} is {}", i, values[i]), "finite numbers");
    }
    return values;
}

std::vector<float> TensorTable::factors(const std::string& name, int64_t size) {
    std::vector<float> values = vector(name, size);
    for (size_t i = 0; i < values.size(); ++i) {
        if (values[i] > 0) continue;
        fail(name, fmt::format("element {} is {}", i, values[i]), "positive numbers");
    }
    return values;
}

float TensorTable::scale(const std::string& name) {
    return has(name) ? factors(name, 1)[0] : 1.0F;
}

void TensorTable::refuse_unused(std::string_view architecture) const {
    for (const GgufTensor& tensor : file_.tensors()) {
        if (used_.contains(tensor.name)) continue;
        throw Error(fmt::format(
            "{}: tensor '{}': the graph of this architecture has no place for "
            "it; expected only the tensors of {}",
            printable(file_.path().string(), 300), printable(tensor.name), architecture));
    }
}

}  // namespace tritbench
