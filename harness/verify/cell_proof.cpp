#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include "harness/verify/code_rows.h"
#include "harness/verify/proof.h"
#include "harness/verify/random_data.h"
#include "harness/verify/scaled_activations.h"
#include "kernels/reference/oracle.h"

namespace tritbench {

namespace {

constexpr int64_t kSampledRows = 12;
constexpr int64_t kChunkRows = 32;

bool is_ternary(const tb_kernel& kernel) {
    return kernel.weight_kind == TB_WEIGHT_TERNARY;
}

bool is_exact(const tb_kernel& kernel) {
    return kernel.exactness == TB_EXACT;
}

// Rows as the kernel stores them: packed and unpacked by the kernel itself as a small tensor, so
// that what rounding to its format costs is known apart from what its arithmetic costs. Returns
// the packed bytes.
AlignedBuffer store_and_reload(const tb_kernel& kernel, const tb_tile& tile, int64_t rows,
                               int64_t k, const float* values, float* stored) {
    const tb_shape shape{rows, k};
    AlignedBuffer packed(kernel.packed_size(&shape, &tile) +
                         static_cast<size_t>(kernel.packed_overread));
    const tb_weights in{nullptr, values, k, nullptr};
    const tb_weights_out out{nullptr, stored, k, nullptr};
    kernel.pack(&shape, &tile, &in, 0, rows, packed.data());
    kernel.unpack(&shape, &tile, packed.data(), 0, rows, &out);
    return packed;
}

// The canonical scale as a layout stores it.
float stored_scale(const tb_kernel& kernel, float scale) {
    return kernel.scale_type == TB_SCALE_F16 ? reference::nearest_half(scale) : scale;
}

// Canonical scales, as many as a provider may set for a number of rows, and that of one of them.
class RowScales {
  public:
    RowScales(const tb_kernel& kernel, int64_t k, int64_t rows)
        : kernel_(kernel),
          each_(kernel.scale_granularity == TB_SCALE_BLOCK
                    ? (k + kernel.scale_block - 1) / kernel.scale_block
                    : 1),
          scales_(static_cast<size_t>(rows * each_)) {}

    // To be set by a provider: one that knows a single scale sets the first only.
    float* fresh() {
        std::fill(scales_.begin(), scales_.end(), std::nanf(""));
        return scales_.data();
    }
    float stored(int64_t row) const {
        const float own = scales_[static_cast<size_t>(row * each_)];
        return stored_scale(kernel_, std::isnan(own) ? scales_.front() : own);
    }

  private:
    const tb_kernel& kernel_;
    int64_t each_;
    std::vector<float> scales_;
};

// The rows whose results are compared one by one: the first, the last, and random ones.
std::vector<int64_t> sample_rows(int64_t n, RandomStream& random) {
    std::vector<int64_t> rows{0, n - 1};
    while (static_cast<int64_t>(rows.size()) < std::min(kSampledRows, n)) {
        rows.push_back(random.below(n));
    }
    std::sort(rows.begin(), rows.end());
    rows.erase(std::unique(rows.begin(), rows.end()), rows.end());
    return rows;
}

}  // namespace

std::string_view proof_name(Proof proof) {
    switch (proof) {
        case Proof::BitExact:
            return "bitexact";
        case Proof::Bounded:
            return "bounded";
        case Proof::No:
            return "no";
    }
    return "no";
}

struct CellProof::Impl {
    const tb_kernel* kernel;
    tb_tile tile;
    tb_shape shape;
    std::vector<float> scales;                        // ternary, exact: of each row, as stored
    std::vector<uint64_t> r;                          // one multiplier a row
    std::vector<uint64_t> c;                          // exact: r^T W modulo 2^64
    std::vector<double> c_float;                      // not exact: sum_n +-w
    std::vector<int64_t> sampled;                     // rows, ascending
    std::vector<int8_t> sampled_trits;                // [sampled][K]: or integers, code_rows.h
    std::vector<float> sampled_values;                // canonical, and ...
    std::vector<float> sampled_stored;                // ... as the format holds them
    std::vector<reference::BlockRow> sampled_blocks;  // block kernels: ... as the oracle reads it

    double sign(int64_t n) const { return (r[static_cast<size_t>(n)] >> 63) != 0 ? -1.0 : 1.0; }
    void project(ThreadPool& pool, const RowProvider& rows);
    ProofResult check_exact(const PackedWeights& weights, const PreparedBatch& prepared,
                            const TestActivations& x, ThreadPool& pool,
                            ProductScratch& scratch) const;
    ProofResult check_float(const TestActivations& x, const float* y) const;
    ProofResult check_blocks(const TestActivations& x, const float* y) const;
    ProofResult check_ternary(const TestActivations& x, const float* y) const;
    ProofResult check_signed_sum(int64_t m, int64_t tokens, const float* x, const float* y,
                                 double slack) const;
    ProofResult wrong_value(int64_t n, int64_t m, int64_t tokens, float found,
                            float expected) const;
};

// c = r^T W, each worker over its rows, then added up.
void CellProof::Impl::project(ThreadPool& pool, const RowProvider& rows) {
    const int64_t k = shape.k;
    const auto width = static_cast<size_t>(k);
    const bool exact = is_exact(*kernel), ternary = is_ternary(*kernel);
    std::vector<std::vector<uint64_t>> parts(static_cast<size_t>(pool.threads()));
    std::vector<std::vector<double>> float_parts(parts.size());
    pool.for_each_worker([&](int worker, int workers) {
        auto& sum = parts[static_cast<size_t>(worker)];
        auto& float_sum = float_parts[static_cast<size_t>(worker)];
        exact ? sum.assign(width, 0) : float_sum.assign(width, 0);
        const auto add = [&](int64_t n, const auto* row) {
            if (exact) {
                const uint64_t factor = r[static_cast<size_t>(n)];
                for (size_t j = 0; j < width; ++j) {
                    sum[j] += factor * static_cast<uint64_t>(static_cast<int64_t>(row[j]));
                }
            } else {
                const double scale = ternary ? scales[static_cast<size_t>(n)] : 1.0F;
                const double factor = sign(n) * scale;
                for (size_t j = 0; j < width; ++j) {
                    float_sum[j] += factor * static_cast<double>(row[j]);
                }
            }
        };
        std::vector<int8_t> trits(ternary || exact ? width * kChunkRows : 0);
        std::vector<float> values(ternary ? 0 : width * kChunkRows), stored(values.size());
        RowScales given(*kernel, k, kChunkRows);
        const auto [begin, end] = split_range(shape.n, 1, worker, workers);
        for (int64_t n = begin; n < end; n += kChunkRows) {
            const int64_t count = std::min(kChunkRows, end - n);
            rows(n, n + count, ternary ? trits.data() : nullptr, ternary ? nullptr : values.data(),
                 given.fresh());
            for (int64_t i = 0; i < count; ++i)
                scales[static_cast<size_t>(n + i)] = given.stored(i);
            if (!ternary) {
                const AlignedBuffer packed =
                    store_and_reload(*kernel, tile, count, k, values.data(), stored.data());
                if (exact) {
                    read_code_rows(*kernel, {count, k}, packed.data(), trits.data(),
                                   scales.data() + n);
                }
            }
            for (int64_t i = 0; i < count; ++i) {
                ternary || exact ? add(n + i, trits.data() + i * k)
                                 : add(n + i, stored.data() + i * k);
            }
        }
    });
    c.assign(exact ? width : 0, 0);
    c_float.assign(exact ? 0 : width, 0);
    for (const auto& part : parts) {
        for (size_t j = 0; j < part.size(); ++j) c[j] += part[j];
    }
    for (const auto& part : float_parts) {
        for (size_t j = 0; j < part.size(); ++j) c_float[j] += part[j];
    }
}

CellProof::CellProof(ThreadPool& pool, const tb_kernel& kernel, const tb_tile& tile, tb_shape shape,
                     const RowProvider& canonical_rows, uint64_t seed)
    : impl_(std::make_unique<Impl>()) {
    RandomStream random(seed);
    impl_->kernel = &kernel;
    impl_->tile = tile;
    impl_->shape = shape;
    impl_->r.resize(static_cast<size_t>(shape.n));
    for (uint64_t& value : impl_->r) value = random.next() | 1;
    impl_->scales.resize(static_cast<size_t>(shape.n));
    impl_->project(pool, canonical_rows);

    impl_->sampled = sample_rows(shape.n, random);
    const auto width = static_cast<size_t>(shape.k);
    const size_t count = impl_->sampled.size();
    const bool ternary = is_ternary(kernel);
    impl_->sampled_trits.resize(ternary || is_exact(kernel) ? count * width : 0);
    impl_->sampled_values.resize(ternary ? 0 : count * width);
    impl_->sampled_stored.resize(ternary ? 0 : count * width);
    RowScales ignored(kernel, shape.k, 1);
    for (size_t i = 0; i < count; ++i) {
        const int64_t n = impl_->sampled[i];
        canonical_rows(n, n + 1, ternary ? impl_->sampled_trits.data() + i * width : nullptr,
                       ternary ? nullptr : impl_->sampled_values.data() + i * width,
                       ignored.fresh());
    }
    if (ternary) return;
    const AlignedBuffer packed =
        store_and_reload(kernel, tile, static_cast<int64_t>(count), shape.k,
                         impl_->sampled_values.data(), impl_->sampled_stored.data());
    const tb_shape sampled_shape{static_cast<int64_t>(count), shape.k};
    if (has_code_rows(kernel)) {
        std::vector<float> scales(count);
        read_code_rows(kernel, sampled_shape, packed.data(), impl_->sampled_trits.data(),
                       scales.data());
    }
    if (!has_scaled_activations(kernel)) return;
    const size_t row_bytes = kernel.packed_size(&sampled_shape, &tile) / count;
    for (size_t i = 0; i < count; ++i) {
        auto row =
            reference::read_blocks(kernel.layout, packed.as<uint8_t>() + i * row_bytes, shape.k);
        if (row) impl_->sampled_blocks.push_back(std::move(*row));
    }
}

CellProof::~CellProof() = default;
CellProof::CellProof(CellProof&&) noexcept = default;

ProofResult CellProof::Impl::wrong_value(int64_t n, int64_t m, int64_t tokens, float found,
                                         float expected) const {
    return {Proof::No, fmt::format("N={} K={} M={}: y of row {}, token {} is {:a}, expected {:a}",
                                   shape.n, shape.k, tokens, n, m, found, expected)};
}

ProofResult CellProof::Impl::check_exact(const PackedWeights& weights,
                                         const PreparedBatch& prepared, const TestActivations& x,
                                         ThreadPool& pool, ProductScratch& scratch) const {
    const auto n = static_cast<size_t>(shape.n);
    std::vector<int32_t> acc(n * static_cast<size_t>(x.m), INT32_MIN);
    accumulate(pool, *kernel, weights, prepared, scratch, acc.data(), shape.n, &tile);
    std::vector<float> y(acc.size(), std::nanf(""));
    multiply(pool, *kernel, weights, prepared, scratch, y.data(), shape.n, &tile);
    for (int64_t m = 0; m < x.m; ++m) {
        const int8_t* q = x.q.data() + m * x.k;
        const float dx = x.q_scale[static_cast<size_t>(m)];
        const int32_t* sums = acc.data() + static_cast<size_t>(m) * n;
        uint64_t left = 0, right = 0;
        for (size_t i = 0; i < n; ++i) left += r[i] * static_cast<uint64_t>(int64_t{sums[i]});
        for (int64_t j = 0; j < shape.k; ++j) {
            right += c[static_cast<size_t>(j)] * static_cast<uint64_t>(int64_t{q[j]});
        }
        // Sampled rows first: when something is wrong they name it.
        for (size_t i = 0; i < sampled.size(); ++i) {
            const int32_t expected =
                reference::dot(sampled_trits.data() + i * static_cast<size_t>(shape.k), q, shape.k);
            const int32_t found = sums[sampled[i]];
            if (found != expected) {
                return {Proof::No,
                        fmt::format("N={} K={} M={}: sum of row {}, token {} is {}, expected {}",
                                    shape.n, shape.k, x.m, sampled[i], m, found, expected)};
            }
        }
        if (left != right) {
            return {Proof::No,
                    fmt::format("N={} K={} M={}: the weighted sum over all rows of token {} is "
                                "wrong (Freivalds check)",
                                shape.n, shape.k, x.m, m)};
        }
        for (size_t i = 0; i < n; ++i) {
            const float found = y[static_cast<size_t>(m) * n + i];
            const float expected = reference::exact_output(sums[i], dx, scales[i]);
            if (std::memcmp(&found, &expected, sizeof found) == 0) continue;
            return wrong_value(static_cast<int64_t>(i), m, x.m, found, expected);
        }
    }
    return {Proof::BitExact, ""};
}

ProofResult CellProof::Impl::check_float(const TestActivations& x, const float* y) const {
    const auto width = static_cast<size_t>(shape.k);
    // Roundings of one sum of K/16 terms a lane, its tree, and the last store.
    const double rounding = (static_cast<double>(shape.k) / 16 + 8) * 0x1p-24;
    const double bound = kernel->bound;
    for (int64_t m = 0; m < x.m; ++m) {
        const float* row_x = x.x.data() + m * x.k;
        const float* row_y = y + m * shape.n;
        double largest = 0;
        for (size_t i = 0; i < sampled.size(); ++i) {
            const auto expected =
                reference::dot_double(sampled_stored.data() + i * width, row_x, shape.k);
            const auto canonical =
                reference::dot_double(sampled_values.data() + i * width, row_x, shape.k);
            const double found = row_y[sampled[i]];
            largest = std::max(largest, expected.magnitude);
            if (!(std::fabs(found - expected.value) <= rounding * expected.magnitude) ||
                !(std::fabs(found - canonical.value) <= bound * canonical.magnitude)) {
                return {Proof::No,
                        fmt::format("N={} K={} M={}: y of row {}, token {} is {}, expected {}",
                                    shape.n, shape.k, x.m, sampled[i], m, found, expected.value)};
            }
        }
        const double slack = rounding * largest * std::sqrt(static_cast<double>(shape.n)) * 2;
        ProofResult all = check_signed_sum(m, x.m, row_x, row_y, slack);
        if (!all.ok()) return all;
    }
    return {Proof::Bounded, ""};
}

// Int8 per block: y of the sampled rows is the oracle's, bit for bit, from blocks that it read and
// activations that it quantised; and so is the signed sum over all rows, within rounding.
ProofResult CellProof::Impl::check_blocks(const TestActivations& x, const float* y) const {
    if (sampled_blocks.size() != sampled.size()) {
        return {Proof::No, fmt::format("the oracle cannot read the layout {}", kernel->layout)};
    }
    ScaledActivations scaled;
    const std::string wrong = scaled.make(*kernel, x, true);
    if (!wrong.empty()) return {Proof::No, wrong};
    // Roundings of one sum of K/256 terms a lane, its tree, and those of scales and stored weights.
    const double rounding = (static_cast<double>(shape.k) / 256 + 8) * 0x1p-24;
    for (int64_t m = 0; m < x.m; ++m) {
        const float* row_y = y + m * shape.n;
        const int8_t* q = scaled.q.data() + m * shape.k;
        const float* dx = scaled.scale.data() + m * scaled.per_token;
        const float* row_x = scaled.x.data() + m * shape.k;
        double largest = 0;
        for (size_t i = 0; i < sampled.size(); ++i) {
            const float expected = reference::dot_blocks(sampled_blocks[i], q, dx, shape.k);
            const float found = row_y[sampled[i]];
            if (std::memcmp(&found, &expected, sizeof found) != 0) {
                return wrong_value(sampled[i], m, x.m, found, expected);
            }
            const float* stored = sampled_stored.data() + i * static_cast<size_t>(shape.k);
            largest = std::max(largest, reference::dot_double(stored, row_x, shape.k).magnitude);
        }
        const double slack = rounding * largest * std::sqrt(static_cast<double>(shape.n)) * 2;
        ProofResult all = check_signed_sum(m, x.m, row_x, row_y, slack);
        if (!all.ok()) return all;
    }
    return {Proof::Bounded, ""};
}

// Ternary rows with several scales a token: the same, from canonical trits and the scale of the
// row as stored.
ProofResult CellProof::Impl::check_ternary(const TestActivations& x, const float* y) const {
    ScaledActivations scaled;
    const std::string wrong = scaled.make(*kernel, x, true);
    if (!wrong.empty()) return {Proof::No, wrong};
    const auto size = static_cast<double>(*std::max_element(scales.begin(), scales.end()));
    // Of a chain of K/256 (or four) terms, of scales and of the products with them.
    const double rounding = (static_cast<double>(shape.k) / 256 + 8) * 0x1p-24;
    for (int64_t m = 0; m < x.m; ++m) {
        const float* row_y = y + m * shape.n;
        const int8_t* q = scaled.q.data() + m * shape.k;
        const float* dx = scaled.scale.data() + m * scaled.per_token;
        const float* row_x = scaled.x.data() + m * shape.k;
        for (size_t i = 0; i < sampled.size(); ++i) {
            const int8_t* trits = sampled_trits.data() + i * static_cast<size_t>(shape.k);
            const float sw = scales[static_cast<size_t>(sampled[i])];
            const float expected = ternary_product(*kernel, trits, sw, q, dx, shape.k);
            const float found = row_y[sampled[i]];
            if (std::memcmp(&found, &expected, sizeof found) != 0) {
                return wrong_value(sampled[i], m, x.m, found, expected);
            }
        }
        double magnitude = 0;
        for (int64_t j = 0; j < shape.k; ++j) magnitude += std::fabs(static_cast<double>(row_x[j]));
        const double slack =
            rounding * magnitude * size * std::sqrt(static_cast<double>(shape.n)) * 2;
        ProofResult all = check_signed_sum(m, x.m, row_x, row_y, slack);
        if (!all.ok()) return all;
    }
    return {Proof::Bounded, ""};
}

// sum_n +-y[n] against (sum_n +-w[n]) . x.
ProofResult CellProof::Impl::check_signed_sum(int64_t m, int64_t tokens, const float* x,
                                              const float* y, double slack) const {
    double left = 0, right = 0;
    for (int64_t n = 0; n < shape.n; ++n) left += sign(n) * static_cast<double>(y[n]);
    for (size_t j = 0; j < c_float.size(); ++j) right += c_float[j] * static_cast<double>(x[j]);
    if (std::fabs(left - right) <= slack) return {Proof::Bounded, ""};
    return {Proof::No, fmt::format("N={} K={} M={}: the signed sum over all rows of token {} is "
                                   "{}, expected {} within {}",
                                   shape.n, shape.k, tokens, m, left, right, slack)};
}

ProofResult CellProof::check(ThreadPool& pool, const PackedWeights& weights,
                             const PreparedBatch& prepared, const TestActivations& x,
                             ProductScratch& scratch) const {
    const tb_kernel& kernel = *impl_->kernel;
    scratch.reserve(kernel, impl_->tile, impl_->shape, prepared.m(), pool.threads());
    if (is_exact(kernel)) return impl_->check_exact(weights, prepared, x, pool, scratch);
    std::vector<float> y(static_cast<size_t>(impl_->shape.n * x.m), std::nanf(""));
    multiply(pool, kernel, weights, prepared, scratch, y.data(), impl_->shape.n, &impl_->tile);
    if (!has_scaled_activations(kernel)) return impl_->check_float(x, y.data());
    return is_ternary(kernel) ? impl_->check_ternary(x, y.data())
                              : impl_->check_blocks(x, y.data());
}

}  // namespace tritbench
