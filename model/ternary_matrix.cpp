#include "model/ternary_matrix.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <cmath>

#include "kernels/api/error.h"
#include "model/first_error.h"
#include "model/gguf_verify.h"
#include "model/printable.h"

namespace tritbench {
namespace {

// Weights that a worker reads at a time.
constexpr int64_t kReadElements = 256 * 1024;
constexpr int64_t kCheckElements = 16 * kReadElements;

[[noreturn]] void fail(const StoredMatrix& m, std::string_view problem) {
    throw Error(fmt::format("{}: tensor {}: {}", printable(m.file().path().string(), 300),
                            printable(m.tensor().name), problem));
}

[[noreturn]] void refuse_magnitudes(const StoredMatrix& m, float one, float other) {
    fail(m, fmt::format("{} weights of the magnitudes {} and {}; expected ternary weights: 0 and "
                        "one magnitude ('tritbench convert' makes master weights ternary)",
                        ggml_type_name(m.tensor().type), one, other));
}

// The magnitude of the weights that are not 0, or 0 if all are.
float magnitude_of(const StoredMatrix& m, const float* values, int64_t count, uint64_t* zeros) {
    float magnitude = 0.0F;
    for (int64_t i = 0; i < count; ++i) {
        const float found = std::fabs(values[i]);
        if (found == 0) {
            ++*zeros;
        } else if (found != magnitude) {
            if (!std::isfinite(found)) fail(m, fmt::format("holds {}", values[i]));
            if (magnitude != 0) refuse_magnitudes(m, magnitude, found);
            magnitude = found;
        }
    }
    return magnitude;
}

[[noreturn]] void refuse_scale(const StoredMatrix& m, float scale) {
    fail(m, fmt::format("scale {}; expected a positive finite number", scale));
}

bool positive(float scale) {
    return std::isfinite(scale) && scale > 0;
}

}  // namespace

// Reads with the buffers of one worker.
class TernaryMatrix::Reader {
  public:
    Reader(const StoredMatrix& stored, int64_t rows) : stored_(stored) {
        const auto elements = static_cast<size_t>(rows * stored.shape().k);
        if (stored.ternary()) {
            trits_.resize(elements);
        } else {
            values_.resize(elements);
        }
    }

    // The scales of the rows, of which those of zeros may be 0, and how many weights are 0.
    uint64_t scales(int64_t begin, int64_t end, float* scales) {
        const int64_t count = (end - begin) * stored_.shape().k;
        uint64_t zeros = 0;
        if (!stored_.ternary()) {
            stored_.values(begin, end, values_.data());
            std::fill_n(scales, end - begin, magnitude_of(stored_, values_.data(), count, &zeros));
            return zeros;
        }
        if (!read_trits(stored_, begin, end, trits_.data(), scales)) codes_are_trits_ = false;
        const bool of_rows = stored_.format().codec->scale_granularity != TB_SCALE_TENSOR;
        for (int64_t r = 0; r < end - begin; ++r) {
            if (positive(scales[r]) || (scales[r] == 0 && of_rows)) continue;
            refuse_scale(stored_, scales[r]);
        }
        return static_cast<uint64_t>(std::count(trits_.data(), trits_.data() + count, int8_t{0}));
    }

    bool codes_are_trits() const { return codes_are_trits_; }

    // A row whose scale is 0 is a row of zeros, whatever its codes are (kernels/iq1_bn/layout.h).
    // False if they are others.
    static bool read_trits(const StoredMatrix& stored, int64_t begin, int64_t end, int8_t* trits,
                           float* scales) {
        stored.trits(begin, end, trits, scales);
        const int64_t k = stored.shape().k;
        bool same = true;
        for (int64_t r = 0; r < end - begin; ++r) {
            if (scales[r] != 0) continue;
            int8_t* row = trits + r * k;
            same = same && std::all_of(row, row + k, [](int8_t trit) { return trit == 0; });
            std::fill_n(row, k, int8_t{0});
        }
        return same;
    }

  private:
    const StoredMatrix& stored_;
    std::vector<int8_t> trits_;
    std::vector<float> values_;
    bool codes_are_trits_ = true;
};

TernaryMatrix::TernaryMatrix(ThreadPool& pool, StoredMatrix stored, Read read)
    : stored_(std::move(stored)) {
    const bool tensor_scale =
        stored_.ternary() && stored_.format().codec->scale_granularity == TB_SCALE_TENSOR;
    if (tensor_scale && read == Read::Scales) {
        stored_.trits(0, 1, nullptr, &scale_);
        if (!positive(scale_)) refuse_scale(stored_, scale_);
        return;
    }
    if (stored_.tensor().type == GgmlType::I2_S) {  // at the speed of memory, in every layout
        const TensorCheck check = check_tensor(stored_.tensor(), pool);
        if (!check.problem.empty()) fail(stored_, check.problem);
        scale_ = check.scale;
        zeros_ = check.zeros;
        return;
    }
    const auto [n, k] = shape();
    if (tensor_scale && read == Read::Codes && !stored_.packed().empty()) {
        stored_.trits(0, 1, nullptr, &scale_);
        if (!positive(scale_)) refuse_scale(stored_, scale_);
        // Whole panels are looked at whatever rows are asked for.
        const int64_t many = std::clamp<int64_t>(kCheckElements / k, 1, n);
        for_chunks(pool, n, many, [&](auto&& next) {
            int64_t begin = 0, end = 0;
            while (next(&begin, &end)) stored_.check(begin, end);
        });
        return;
    }
    const int64_t chunk = std::clamp<int64_t>(kReadElements / k, 1, n);
    std::vector<float> scales(static_cast<size_t>(n));
    std::atomic<uint64_t> zeros{0};
    std::atomic<bool> codes_are_trits{true};
    for_chunks(pool, n, chunk, [&](auto&& next) {
        Reader reader(stored_, chunk);
        int64_t begin = 0, end = 0;
        while (next(&begin, &end)) zeros += reader.scales(begin, end, scales.data() + begin);
        if (!reader.codes_are_trits()) codes_are_trits = false;
    });
    zeros_ = zeros;
    codes_are_trits_ = codes_are_trits;
    const auto set = [](float scale) { return scale != 0; };
    const auto first = std::find_if(scales.begin(), scales.end(), set);
    if (first == scales.end()) {
        fail(stored_, "all weights are 0; expected ternary weights and their scale");
    }
    scale_ = *first;
    const auto other = std::find_if(first, scales.end(),
                                    [&](float scale) { return set(scale) && scale != scale_; });
    if (other == scales.end()) return;
    if (!stored_.ternary()) refuse_magnitudes(stored_, scale_, *other);
    row_scales_ = std::move(scales);
}

void TernaryMatrix::read_trits(int64_t begin, int64_t end, int8_t* trits) const {
    const auto rows = static_cast<size_t>(end - begin);
    if (stored_.ternary()) {
        std::vector<float> scales(rows);
        Reader::read_trits(stored_, begin, end, trits, scales.data());
        return;
    }
    std::vector<float> values(rows * static_cast<size_t>(shape().k));
    stored_.values(begin, end, values.data());
    for (const float value : values) *trits++ = static_cast<int8_t>((value > 0) - (value < 0));
}

RowProvider TernaryMatrix::rows_for(const tb_kernel& kernel) const {
    const bool ternary = kernel.weight_kind == TB_WEIGHT_TERNARY;
    if (ternary && !one_scale() && kernel.scale_granularity == TB_SCALE_TENSOR) {
        fail(stored_, fmt::format("its rows have scales of their own, but layout {} holds one; "
                                  "expected a kernel of tq1_0, tq2_0, iq1_bn, iq2_bn or iq2_bn_r4",
                                  kernel.layout));
    }
    const int64_t each = kernel.scale_granularity == TB_SCALE_BLOCK
                             ? (shape().k + kernel.scale_block - 1) / kernel.scale_block
                             : 1;
    return [this, each](int64_t begin, int64_t end, int8_t* trits, float* values, float* scales) {
        if (values != nullptr) {
            scales[0] = 1.0F;
            stored_.values(begin, end, values);
            return;
        }
        read_trits(begin, end, trits);
        if (one_scale()) {
            scales[0] = scale_;
            return;
        }
        for (int64_t r = begin; r < end; ++r) {
            std::fill_n(scales + (r - begin) * each, each, row_scales_[static_cast<size_t>(r)]);
        }
    };
}

}  // namespace tritbench
