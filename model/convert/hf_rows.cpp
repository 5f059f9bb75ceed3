#include "model/convert/hf_rows.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include "kernels/api/error.h"
#include "kernels/api/half.h"
#include "model/first_error.h"

namespace tritbench {
namespace {

constexpr int64_t kRowsAtATime = 16;  // of the pass over master weights
constexpr float kSmallestMean = 1e-5F;

// The file's bytes are aligned to nothing.
template <class T>
T load(const std::byte* from) {
    T value;
    std::memcpy(&value, from, sizeof value);
    return value;
}

float bf16_to_float(uint16_t bits) {
    const uint32_t wide = static_cast<uint32_t>(bits) << 16;
    float value = 0;
    std::memcpy(&value, &wide, sizeof value);
    return value;
}

// clamp(round-half-even(x), -1, 1): the ties +-0.5 go to 0.
int8_t rounded_trit(float x) {
    return static_cast<int8_t>((x > 0.5F) - (x < -0.5F));
}

}  // namespace

void read_floats(const SafetensorsTensor& tensor, int64_t begin, std::span<float> out) {
    const auto count = static_cast<int64_t>(out.size());
    bool finite = true;
    const auto convert = [&](int64_t size, auto&& element) {
        const std::byte* from = tensor.data + begin * size;
        for (int64_t i = 0; i < count; ++i) {
            const float value = element(from + i * size);
            out[static_cast<size_t>(i)] = value;
            finite = finite && std::isfinite(value);
        }
    };
    switch (tensor.dtype) {
        case TensorDtype::BF16:
            convert(2, [](const std::byte* at) { return bf16_to_float(load<uint16_t>(at)); });
            break;
        case TensorDtype::F16:
            convert(2, [](const std::byte* at) { return tb_half_to_float(load<uint16_t>(at)); });
            break;
        case TensorDtype::F32:
            convert(4, [](const std::byte* at) { return load<float>(at); });
            break;
        default:
            throw Error(fmt::format("{}: is of dtype {}, expected BF16, F16 or F32",
                                    describe(tensor), dtype_name(tensor.dtype)));
    }
    if (finite) return;
    const auto wrong =
        std::find_if(out.begin(), out.end(), [](float value) { return !std::isfinite(value); });
    throw Error(fmt::format("{}: element {} is {}; expected finite numbers", describe(tensor),
                            begin + (wrong - out.begin()), *wrong));
}

float stored_weight_scale(const HfTensor& tensor) {
    float scale = 0;
    read_floats(*tensor.weight_scale, 0, {&scale, 1});
    if (!(scale > 0) || !std::isfinite(1.0F / scale)) {
        throw Error(fmt::format("{}: is {}, expected a positive number",
                                describe(*tensor.weight_scale), scale));
    }
    return scale;
}

HfLinear::HfLinear(ThreadPool& pool, const HfTensor& tensor, WeightScale way) : tensor_(tensor) {
    if (tensor.weight_scale != nullptr) {
        const float stored = stored_weight_scale(tensor);
        scale_ = way == WeightScale::Direct ? stored : 1.0F / stored;
        return;
    }
    std::vector<double> sums(static_cast<size_t>(tensor.rows));
    for_chunks(pool, tensor.rows, kRowsAtATime, [&](auto&& next) {
        std::vector<float> row(static_cast<size_t>(tensor.columns));
        for (int64_t begin = 0, end = 0; next(&begin, &end);) {
            for (int64_t r = begin; r < end; ++r) {
                read_floats(*tensor.source, r * tensor.columns, row);
                double sum = 0;
                for (const float value : row) sum += std::abs(static_cast<double>(value));
                sums[static_cast<size_t>(r)] = sum;
            }
        }
    });
    double sum = 0;
    for (const double row : sums) sum += row;
    const double count = static_cast<double>(tensor.rows) * static_cast<double>(tensor.columns);
    scale_ = std::max(static_cast<float>(sum / count), kSmallestMean);
}

void HfLinear::trits_of_row(int64_t row, std::span<float> buffer, int8_t* trits) const {
    const int64_t columns = tensor_.columns;
    const int64_t from = tensor_.permuted_heads == 0
                             ? row
                             : permuted_row(row, tensor_.rows / tensor_.permuted_heads);
    if (tensor_.weight_scale == nullptr) {
        read_floats(*tensor_.source, from * columns, buffer);
        const float inverse = 1.0F / scale_;
        for (int64_t i = 0; i < columns; ++i) {
            trits[i] = rounded_trit(buffer[static_cast<size_t>(i)] * inverse);
        }
        return;
    }
    const int64_t packed_rows = (tensor_.rows + 3) / 4;
    const auto shift = static_cast<int>(2 * (from / packed_rows));
    const auto* bytes =
        reinterpret_cast<const uint8_t*>(tensor_.source->data) + from % packed_rows * columns;
    int wrong = 0;
    for (int64_t i = 0; i < columns; ++i) {
        const int code = bytes[i] >> shift & 3;
        wrong |= code == 3;
        trits[i] = static_cast<int8_t>(code - 1);
    }
    if (wrong != 0) {
        throw Error(fmt::format("{}: row {} holds code 3, expected 0, 1 or 2",
                                describe(*tensor_.source), from));
    }
}

RowProvider HfLinear::rows() const {
    return [this](int64_t begin, int64_t end, int8_t* trits, float* values, float* scales) {
        scales[0] = scale_;
        const int64_t columns = tensor_.columns;
        const auto width = static_cast<size_t>(columns);
        std::vector<float> buffer(tensor_.weight_scale == nullptr ? width : 0);
        std::vector<int8_t> row(trits == nullptr ? width : 0);
        for (int64_t r = begin; r < end; ++r) {
            int8_t* to = trits != nullptr ? trits + (r - begin) * columns : row.data();
            trits_of_row(r, buffer, to);
            if (values == nullptr) continue;
            for (int64_t i = 0; i < columns; ++i) {
                values[(r - begin) * columns + i] = static_cast<float>(to[i]) * scale_;
            }
        }
    };
}

RowProvider float_rows(const HfTensor& tensor) {
    return [&tensor](int64_t begin, int64_t end, int8_t*, float* values, float* scales) {
        scales[0] = 1.0F;
        const auto count = static_cast<size_t>((end - begin) * tensor.columns);
        read_floats(*tensor.source, begin * tensor.columns, {values, count});
    };
}

WeightScale choose_weight_scale(const HfConfig& config, const std::vector<HfTensor>& tensors,
                                std::optional<WeightScale> forced, std::string* note) {
    double logarithms = 0;
    int packed = 0;
    const HfTensor* first = nullptr;
    for (const HfTensor& tensor : tensors) {
        if (tensor.weight_scale == nullptr) continue;
        if (first == nullptr) first = &tensor;
        logarithms += std::log(static_cast<double>(stored_weight_scale(tensor)));
        ++packed;
    }
    if (packed == 0) return WeightScale::Direct;
    if (forced) return *forced;
    const double typical = std::exp(logarithms / packed);
    constexpr double kBeyondDoubt = 8;  // near 1, a number and its inverse look alike
    const bool surely_inverse = typical > kBeyondDoubt, surely_direct = typical < 1 / kBeyondDoubt;
    const std::string found = fmt::format("{}: weight_scale is {:.4g} on (geometric) average",
                                          describe(*first->weight_scale), typical);
    if (config.weight_scale) {
        const bool direct = *config.weight_scale == WeightScale::Direct;
        if (direct ? surely_inverse : surely_direct) {
            throw Error(
                fmt::format("{}, but linear_class '{}' means {}; expected {}: say "
                            "--weight-scale direct or inverse",
                            found, config.linear_class, direct ? "the scale itself" : "its inverse",
                            direct ? "below 8" : "above 0.125"));
        }
        return *config.weight_scale;
    }
    if (!surely_inverse && !surely_direct) {
        throw Error(
            fmt::format("{}, and quantization_config has no linear_class: it may be the "
                        "scale or its inverse; say --weight-scale direct or inverse",
                        found));
    }
    if (note != nullptr) {
        *note = fmt::format("{}, and quantization_config has no linear_class: taken as {}", found,
                            surely_inverse ? "the inverse of the scale" : "the scale itself");
    }
    return surely_inverse ? WeightScale::Inverse : WeightScale::Direct;
}

}  // namespace tritbench
