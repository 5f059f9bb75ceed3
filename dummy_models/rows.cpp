#include "dummy_models/rows.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "kernels/api/error.h"

namespace tritbench {

DummyMatrix::DummyMatrix(const DummyOptions& options, const DummyTensor& tensor)
    : seed_(options.seed),
      index_(tensor.index),
      shape_{tensor.ne.size() > 1 ? tensor.ne[1] : 1, tensor.ne[0]},
      ternary_(tensor.kind == DummyTensor::Kind::Ternary) {
    if (!ternary_) return;
    shares_ = trit_shares(options.zeros, options.positive);
    scale_ = dummy_scale(seed_, index_, shape_.k, options.zeros, options.scale_spread);
    if (options.ffn_zeros && tensor.name.ends_with(".ffn_gate.weight")) {
        silent_ = silent_share(*options.ffn_zeros, options.config.ffn);
    }
}

void DummyMatrix::trits(int64_t row_begin, int64_t row_end, int64_t column_begin,
                        int64_t column_end, int8_t* to) const {
    if (!ternary_) throw Error("the embedding of a dummy model has no ternary weights");
    const auto columns = static_cast<size_t>(column_end - column_begin);
    const auto stream = [&](int64_t row, int64_t column, int8_t* out, size_t count) {
        const auto begin = static_cast<uint64_t>(row * shape_.k + column);
        dummy_trit_stream(seed_, index_, shares_, begin, {out, count});
    };
    if (column_end - column_begin == shape_.k) {
        stream(row_begin, 0, to, static_cast<size_t>(row_end - row_begin) * columns);
    } else {
        int8_t* out = to;
        for (int64_t row = row_begin; row < row_end; ++row, out += columns) {
            stream(row, column_begin, out, columns);
        }
    }
    if (silent_ <= 0) return;
    for (int64_t row = row_begin; row < row_end; ++row, to += columns) {
        if (dummy_silent(seed_, index_, static_cast<uint64_t>(row), silent_)) {
            std::fill_n(to, columns, int8_t{0});
        }
    }
}

void DummyMatrix::values(int64_t row_begin, int64_t row_end, float* to) const {
    if (!ternary_) {
        dummy_embedding(seed_, index_, static_cast<uint64_t>(row_begin * shape_.k),
                        {to, static_cast<size_t>((row_end - row_begin) * shape_.k)});
        return;
    }
    constexpr int64_t most = 1024;
    std::array<int8_t, most> trits_of_part;
    for (int64_t row = row_begin; row < row_end; ++row) {
        for (int64_t column = 0; column < shape_.k; column += most) {
            const int64_t count = std::min(most, shape_.k - column);
            trits(row, row + 1, column, column + count, trits_of_part.data());
            for (int64_t i = 0; i < count; ++i) {
                *to++ = static_cast<float>(trits_of_part[static_cast<size_t>(i)]) * scale_;
            }
        }
    }
}

RowProvider dummy_rows(const DummyOptions& options, const DummyTensor& tensor) {
    if (tensor.kind == DummyTensor::Kind::Norm) {
        throw Error(fmt::format("tensor {}: a norm has no rows", tensor.name));
    }
    return [matrix = DummyMatrix(options, tensor)](int64_t begin, int64_t end, int8_t* trits,
                                                   float* values, float* scales) {
        if (trits != nullptr) {
            matrix.trits(begin, end, 0, matrix.shape().k, trits);
            scales[0] = matrix.scale();
        } else {
            matrix.values(begin, end, values);
            scales[0] = 1.0F;
        }
    };
}

}  // namespace tritbench
