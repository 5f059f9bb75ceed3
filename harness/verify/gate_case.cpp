#include "harness/verify/gate_case.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include "harness/verify/code_rows.h"
#include "harness/verify/gate_data.h"
#include "harness/verify/random_data.h"
#include "harness/verify/scaled_activations.h"
#include "kernels/reference/oracle.h"

namespace tritbench {

namespace {

// A quiet NaN with a mark of its own: an output element that nobody wrote is found by its bits.
constexpr uint32_t kPoison = 0x7fc0dead;
constexpr int64_t kExtraColumns = 3;  // y rows are this much longer than N: must stay untouched

// One run of a case: buffers, and the checks in order. Each check returns what went wrong.
class GateRun {
  public:
    GateRun(const tb_kernel& kernel, const tb_tile& tile, const GateCase& c)
        : kernel_(kernel),
          tile_(tile),
          case_(c),
          data_(make_gate_data(kernel, c)),
          packed_(kernel.packed_size(&c.shape, &tile) + static_cast<size_t>(kernel.packed_overread),
                  static_cast<size_t>(kernel.packed_align), c.place, 0xcd),
          prepared_(kernel.prepared_size(&c.shape, &tile, c.m) +
                        static_cast<size_t>(kernel.prepared_overread),
                    static_cast<size_t>(kernel.prepared_align), c.place, 0xcd),
          scratch_(kernel.scratch_size(&c.shape, &tile, c.m), 64, c.place, 0xcd),
          y_(static_cast<size_t>(c.m * ldy()) * 4, 4, c.place, 0) {}

    std::string run() {
        std::string wrong = check_pack();
        if (wrong.empty()) wrong = prepare();
        if (wrong.empty() && kernel_.exactness == TB_EXACT) wrong = check_accumulate();
        if (wrong.empty()) wrong = check_product(kernel_.gemm, "gemm", 0, case_.shape.n);
        if (wrong.empty() && case_.m == 1) {
            wrong = check_product(kernel_.gemv, "gemv", 0, case_.shape.n);
        }
        if (wrong.empty()) wrong = check_row_splits();
        return wrong;
    }

  private:
    int64_t ldy() const { return case_.shape.n + kExtraColumns; }

    std::string failed(const char* operation, const tb_status& status) const {
        return fmt::format("{} refused: {}", operation,
                           status.reason != nullptr ? status.reason : "no reason given");
    }

    // Packs in two ranges, last first, then unpacks; and once more whole into other garbage: the
    // bytes must not depend on either.
    std::string check_pack() {
        const tb_shape& shape = case_.shape;
        const int64_t step = kernel_.pack_row_step(&shape, &tile_);
        if (step < 1) return fmt::format("pack_row_step is {}", step);
        const int64_t middle = shape.n / 2 / step * step;
        const bool ternary = kernel_.weight_kind == TB_WEIGHT_TERNARY;
        const auto pack = [&](int64_t begin, int64_t end, void* into) {
            const int64_t per_row = scales_per_row(kernel_, shape.k);
            std::vector<float> scales;
            for (int64_t n = begin; n < end; ++n) {
                scales.insert(scales.end(), static_cast<size_t>(per_row),
                              data_.scales[static_cast<size_t>(n)]);
            }
            const tb_weights w{ternary ? data_.trits.data() + begin * shape.k : nullptr,
                               ternary ? nullptr : data_.values.data() + begin * shape.k, shape.k,
                               scales.data()};
            return kernel_.pack(&shape, &tile_, &w, begin, end, into);
        };
        for (const auto& [begin, end] :
             {std::pair{middle, shape.n}, std::pair{int64_t{0}, middle}}) {
            if (begin == end) continue;
            const tb_status status = pack(begin, end, packed_.as<void>());
            if (status.code != TB_OK) return failed("pack", status);
        }
        const size_t bytes = kernel_.packed_size(&shape, &tile_);
        std::vector<uint8_t> whole(bytes + 64, 0x32);
        auto* aligned = whole.data() + (64 - reinterpret_cast<uintptr_t>(whole.data()) % 64) % 64;
        const tb_status status = pack(0, shape.n, aligned);
        if (status.code != TB_OK) return failed("pack", status);
        if (std::memcmp(aligned, packed_.as<void>(), bytes) != 0) {
            return "packed bytes depend on the row split, or some are never written";
        }
        if (ternary && kernel_.exactness != TB_EXACT && !has_scaled_activations(kernel_)) {
            return "the oracle has no such arithmetic for ternary weights";
        }
        if (ternary) return check_unpacked_trits();
        if (has_code_rows(kernel_)) return check_codes();
        return has_scaled_activations(kernel_) ? check_blocks() : check_unpacked_values();
    }

    // The integers that the oracle finds in the bytes are what is multiplied from here on.
    std::string check_codes() {
        stored_scales_.resize(static_cast<size_t>(case_.shape.n));
        const std::string wrong = read_code_rows(kernel_, case_.shape, packed_.as<void>(),
                                                 data_.trits.data(), stored_scales_.data());
        if (!wrong.empty()) return wrong;
        return check_code_rows(kernel_, tile_, case_.shape, packed_.as<void>(), data_.values.data(),
                               data_.trits.data(), stored_scales_.data());
    }

    // The bytes as the oracle reads them: near the weights they were made of, and what unpack says.
    std::string check_blocks() {
        const tb_shape& shape = case_.shape;
        const auto row_bytes = static_cast<int64_t>(kernel_.packed_size(&shape, &tile_)) / shape.n;
        for (int64_t n = 0; n < shape.n; ++n) {
            auto row = reference::read_blocks(kernel_.layout, packed_.as<uint8_t>() + n * row_bytes,
                                              shape.k);
            if (!row) return fmt::format("the oracle cannot read the layout {}", kernel_.layout);
            blocks_.push_back(std::move(*row));
        }
        return check_unpacked_values();
    }

    std::string check_unpacked_trits() {
        const tb_shape& shape = case_.shape;
        const int64_t per_row = scales_per_row(kernel_, shape.k);
        const int64_t count = has_own_scales(kernel_) ? shape.n * per_row : 1;
        std::vector<int8_t> trits(data_.trits.size(), 77);
        std::vector<float> scales(static_cast<size_t>(count), std::nanf(""));
        const tb_weights_out out{trits.data(), nullptr, shape.k, scales.data()};
        const tb_status status =
            kernel_.unpack(&shape, &tile_, packed_.as<void>(), 0, shape.n, &out);
        if (status.code != TB_OK) return failed("unpack", status);
        for (size_t i = 0; i < trits.size(); ++i) {
            if (trits[i] == data_.trits[i]) continue;
            const auto at = static_cast<int64_t>(i);
            return fmt::format("unpack: weight [{}, {}] is {}, packed was {}", at / shape.k,
                               at % shape.k, trits[i], data_.trits[i]);
        }
        for (int64_t n = 0; n < shape.n; ++n) {
            const float* row = scales.data() + (has_own_scales(kernel_) ? n * per_row : 0);
            for (int64_t b = 0; b < per_row; ++b) {
                if (row[b] == row[0] && may_be_stored(n, row[b])) continue;
                return fmt::format("unpack: scale {} of row {} is {}, packed was {}", b, n, row[b],
                                   data_.scales[static_cast<size_t>(n)]);
            }
            stored_scales_.push_back(row[0]);
        }
        return "";
    }

    // A scale is stored as it is, or as the half nearest to it where the kernel says so; of a row
    // of zeros that has its own, there is none worth keeping.
    bool may_be_stored(int64_t n, float scale) const {
        const float given = data_.scales[static_cast<size_t>(n)];
        const bool half = kernel_.scale_type == TB_SCALE_F16;
        if (scale == (half ? reference::nearest_half(given) : given)) return true;
        if (!has_own_scales(kernel_)) return false;
        const int8_t* row = data_.trits.data() + n * case_.shape.k;
        return scale == 0 && std::all_of(row, row + case_.shape.k, [](int8_t t) { return t == 0; });
    }

    std::string check_unpacked_values() {
        const tb_shape& shape = case_.shape;
        stored_.assign(data_.values.size(), 77);
        const tb_weights_out out{nullptr, stored_.data(), shape.k, nullptr};
        const tb_status status =
            kernel_.unpack(&shape, &tile_, packed_.as<void>(), 0, shape.n, &out);
        if (status.code != TB_OK) return failed("unpack", status);
        for (int64_t n = 0; n < shape.n; ++n) {
            for (int64_t k = 0; k < shape.k; ++k) {
                const auto i = static_cast<size_t>(n * shape.k + k);
                if (has_scaled_activations(kernel_) &&
                    !(stored_[i] == blocks_[static_cast<size_t>(n)].weight(k))) {
                    return fmt::format("unpack: weight [{}, {}] is {}, the packed bytes say {}", n,
                                       k, stored_[i], blocks_[static_cast<size_t>(n)].weight(k));
                }
                if (std::fabs(stored_[i] - data_.values[i]) <= unpack_slack(n, k)) continue;
                return fmt::format("unpack: weight [{}, {}] is {}, packed was {}", n, k, stored_[i],
                                   data_.values[i]);
            }
        }
        return "";
    }

    // How far a stored weight may be from the packed one: a rounding of it, or a step of its block.
    float unpack_slack(int64_t n, int64_t k) const {
        if (has_scaled_activations(kernel_)) {
            return blocks_[static_cast<size_t>(n)].step[static_cast<size_t>(k / 32)];
        }
        const float weight = data_.values[static_cast<size_t>(n * case_.shape.k + k)];
        return static_cast<float>(kernel_.bound) * std::fabs(weight) + 1e-7F;
    }

    // Prepares in pieces of columns and tokens, in reverse order.
    std::string prepare() {
        const tb_shape& shape = case_.shape;
        if (has_scaled_activations(kernel_)) {
            const std::string wrong = scaled_x_.make(kernel_, data_.x, case_.float_input);
            if (!wrong.empty()) return wrong;
        }
        std::vector<float> absmax(static_cast<size_t>(case_.m), 0);
        for (int64_t m = 0; m < case_.m; ++m) {
            for (int64_t k = 0; k < shape.k; k += 100) {
                const float part = kernel_.row_absmax(data_.x.x.data() + m * shape.k + k,
                                                      std::min<int64_t>(100, shape.k - k));
                absmax[static_cast<size_t>(m)] = std::max(absmax[static_cast<size_t>(m)], part);
            }
        }
        tb_activations act{};
        act.m = case_.m;
        act.ld = shape.k;
        if (case_.float_input) {
            act.x = data_.x.x.data();
            act.absmax = absmax.data();
        } else {
            act.q = data_.x.q.data();
            act.q_scale = data_.x.q_scale.data();
        }
        const int64_t step = kernel_.prepare_k_step;
        for (int64_t k = (shape.k - 1) / step * step; k >= 0; k -= step) {
            for (int64_t m = case_.m - 1; m >= 0; --m) {
                const tb_status status =
                    kernel_.prepare(&shape, &tile_, &act, m, m + 1, k, std::min(k + step, shape.k),
                                    prepared_.as<void>());
                if (status.code != TB_OK) return failed("prepare", status);
            }
        }
        return "";
    }

    tb_product product(int64_t begin, int64_t end) {
        tb_product p{};
        p.shape = case_.shape;
        p.tile = &tile_;
        p.packed = packed_.as<void>();
        p.prepared = prepared_.as<void>();
        p.m = case_.m;
        p.n_begin = begin;
        p.n_end = end;
        p.ldy = ldy();
        p.scratch = scratch_.size() > 0 ? scratch_.as<void>() : nullptr;
        return p;
    }

    void poison() { std::fill_n(y_.as<uint32_t>(), y_.size() / 4, kPoison); }

    // Every element outside the rows asked for must still be poison.
    std::string check_untouched(const char* operation, int64_t begin, int64_t end) const {
        for (int64_t m = 0; m < case_.m; ++m) {
            for (int64_t n = 0; n < ldy(); ++n) {
                if (n >= begin && n < end) continue;
                if (y_.as<uint32_t>()[m * ldy() + n] != kPoison) {
                    return fmt::format("{} of rows [{}, {}) wrote row {}, token {}", operation,
                                       begin, end, n, m);
                }
            }
        }
        return "";
    }

    int32_t oracle_sum(int64_t m, int64_t n) const {
        return reference::dot(data_.trits.data() + n * case_.shape.k,
                              data_.x.q.data() + m * case_.shape.k, case_.shape.k);
    }

    std::string check_accumulate() {
        poison();
        tb_product p = product(0, case_.shape.n);
        p.acc = y_.as<int32_t>();
        kernel_.accumulate(&p);
        sums_.resize(static_cast<size_t>(case_.m * case_.shape.n));
        for (int64_t m = 0; m < case_.m; ++m) {
            for (int64_t n = 0; n < case_.shape.n; ++n) {
                const int32_t expected = oracle_sum(m, n);
                const int32_t found = p.acc[m * ldy() + n];
                sums_[static_cast<size_t>(m * case_.shape.n + n)] = expected;
                if (found == expected) continue;
                return fmt::format("accumulate: row {}, token {} is {}, expected {}", n, m, found,
                                   expected);
            }
        }
        return check_untouched("accumulate", 0, case_.shape.n);
    }

    std::string check_product(void (*operation)(const tb_product*), const char* name, int64_t begin,
                              int64_t end) {
        poison();
        tb_product p = product(begin, end);
        p.y = y_.as<float>();
        operation(&p);
        for (int64_t m = 0; m < case_.m; ++m) {
            for (int64_t n = begin; n < end; ++n) {
                const std::string wrong = check_value(m, n, p.y[m * ldy() + n]);
                if (!wrong.empty()) {
                    return fmt::format("{} of rows [{}, {}): row {}, token {} is {}", name, begin,
                                       end, n, m, wrong);
                }
            }
        }
        return check_untouched(name, begin, end);
    }

    std::string check_value(int64_t m, int64_t n, float found) const {
        const int64_t k = case_.shape.k;
        if (kernel_.exactness == TB_EXACT) {
            const float expected = reference::exact_output(
                sums_[static_cast<size_t>(m * case_.shape.n + n)],
                data_.x.q_scale[static_cast<size_t>(m)], stored_scales_[static_cast<size_t>(n)]);
            if (std::memcmp(&found, &expected, sizeof found) == 0) return "";
            return fmt::format("{:a}, expected {:a}", found, expected);
        }
        if (has_scaled_activations(kernel_)) return check_scaled_value(m, n, found);
        const float* x = data_.x.x.data() + m * k;
        if (kernel_.weight_kind == TB_WEIGHT_FLOAT && kernel_.activation_kind == TB_ACT_FLOAT) {
            const float expected = reference::dot_16_lanes(stored_.data() + n * k, x, k);
            if (found == expected) return "";
            return fmt::format("{:a}, expected {:a} (16 lanes and their tree)", found, expected);
        }
        const auto exact = reference::dot_double(data_.values.data() + n * k, x, k);
        if (std::fabs(static_cast<double>(found) - exact.value) <=
            kernel_.bound * exact.magnitude) {
            return "";
        }
        return fmt::format("{}, expected {} within {} of {}", found, exact.value, kernel_.bound,
                           exact.magnitude);
    }

    // Int8 with several scales a token: the oracle's bits, and within the bound of the product in
    // double of weights as unpacked and activations as quantised.
    std::string check_scaled_value(int64_t m, int64_t n, float found) const {
        const int64_t k = case_.shape.k;
        const int8_t* q = scaled_x_.q.data() + m * k;
        const float* dx = scaled_x_.scale.data() + m * scaled_x_.per_token;
        const auto row = static_cast<size_t>(n);
        const bool ternary = kernel_.weight_kind == TB_WEIGHT_TERNARY;
        const int8_t* trits = data_.trits.data() + n * k;
        const float expected = ternary
                                   ? ternary_product(kernel_, trits, stored_scales_[row], q, dx, k)
                                   : reference::dot_blocks(blocks_[row], q, dx, k);
        if (std::memcmp(&found, &expected, sizeof found) != 0) {
            return fmt::format("{:a}, expected {:a} (in the order of the contract)", found,
                               expected);
        }
        std::vector<float> w(static_cast<size_t>(ternary ? k : 0));
        for (size_t i = 0; i < w.size(); ++i) {
            w[i] = static_cast<float>(trits[i]) * stored_scales_[row];
        }
        const auto exact = reference::dot_double(ternary ? w.data() : stored_.data() + n * k,
                                                 scaled_x_.x.data() + m * k, k);
        if (std::fabs(static_cast<double>(found) - exact.value) <=
            kernel_.bound * exact.magnitude) {
            return "";
        }
        return fmt::format("{}, expected {} within {} of {}", found, exact.value, kernel_.bound,
                           exact.magnitude);
    }

    // Ranges that begin and end off the row step, and an empty one.
    std::string check_row_splits() {
        const int64_t n = case_.shape.n;
        RandomStream random(case_.seed + 1);
        const int64_t cut = random.below(n + 1);
        const auto ranges = {std::pair{int64_t{0}, cut}, std::pair{cut, n}, std::pair{cut, cut},
                             std::pair{n - 1, n}};
        for (const auto& [begin, end] : ranges) {
            const bool gemv = case_.m == 1;
            const std::string wrong = check_product(gemv ? kernel_.gemv : kernel_.gemm,
                                                    gemv ? "gemv" : "gemm", begin, end);
            if (!wrong.empty()) return wrong;
        }
        return "";
    }

    const tb_kernel& kernel_;
    const tb_tile& tile_;
    const GateCase& case_;
    GateData data_;
    GuardedBuffer packed_, prepared_, scratch_, y_;
    std::vector<float> stored_;                // float and block kernels: weights as unpacked
    std::vector<reference::BlockRow> blocks_;  // block kernels: rows as the oracle reads them,
    ScaledActivations scaled_x_;               // several scales a token: as the oracle has them
    std::vector<int32_t> sums_;                // exact kernels: the oracle's
    std::vector<float> stored_scales_;         // exact and ternary kernels: of each row, as stored
};

const char* pattern_name(WeightPattern pattern) {
    switch (pattern) {
        case WeightPattern::Mixed:
            return "mixed weights";
        case WeightPattern::AllPlus:
            return "all weights +1";
        case WeightPattern::AllMinus:
            return "all weights -1";
        case WeightPattern::AllZero:
            return "all weights 0";
    }
    return "";
}

}  // namespace

std::string describe(const GateCase& c) {
    return fmt::format("N={} K={} M={}, {}, {} activations, seed {}", c.shape.n, c.shape.k, c.m,
                       pattern_name(c.weights), c.float_input ? "float" : "int8", c.seed);
}

std::string run_gate_case(const tb_kernel& kernel, const tb_tile& tile, const GateCase& c) {
    const tb_status status = kernel.accepts(&c.shape, &tile);
    if (status.code != TB_OK) return fmt::format("accepts refused: {}", status.reason);
    return GateRun(kernel, tile, c).run();
}

}  // namespace tritbench
