#include "harness/verify/gate.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "harness/verify/random_data.h"
#include "kernels/api/registry.h"

namespace tritbench {

namespace {

// Distinct values >= 1, ascending.
std::vector<int64_t> distinct(std::vector<int64_t> values) {
    std::sort(values.begin(), values.end());
    values.erase(std::unique(values.begin(), values.end()), values.end());
    values.erase(values.begin(), std::lower_bound(values.begin(), values.end(), 1));
    return values;
}

// Rounded up to what the kernel can hold.
std::vector<int64_t> allowed_columns(const tb_kernel& kernel, std::vector<int64_t> k) {
    const int64_t unit = std::max<int64_t>(1, kernel.k_multiple);
    for (int64_t& value : k) value = (value + unit - 1) / unit * unit;
    return distinct(k);
}

std::vector<int64_t> columns(const tb_kernel& kernel, GateDepth depth) {
    std::vector<int64_t> k = {1,   2,   3,   5,   16,  17,  31,  32,  33,  63,   64,   65,
                              96,  127, 128, 129, 160, 192, 224, 255, 256, 257,  288,  320,
                              384, 416, 448, 511, 512, 513, 544, 672, 960, 1056, 1088, 2080};
    if (depth == GateDepth::Full) {
        k.insert(k.end(), {48,   80,   97,   130,  200,  300,  640,  768,  1000, 1024, 1111, 1536,
                           2560, 2592, 2624, 3200, 4095, 4096, 4128, 4160, 6912, 8640, 14336});
    }
    return allowed_columns(kernel, std::move(k));
}

// 1, or what N must be a multiple of: only layouts that store some rows together and do not pad
// them (iq2_bn_r4) may refuse any N, and then pack in those rows too.
int64_t row_unit(const tb_kernel& kernel) {
    const tb_tile tile = default_tile(kernel);
    const tb_shape one{1, 64 * std::max<int64_t>(1, kernel.k_multiple)};
    if (kernel.accepts(&one, &tile).code == TB_OK) return 1;
    const int64_t step = kernel.pack_row_step(&one, &tile);
    const tb_shape group{step, one.k};
    return kernel.accepts(&group, &tile).code == TB_OK ? step : 1;
}

int64_t allowed_rows(const tb_kernel& kernel, int64_t n) {
    const int64_t unit = row_unit(kernel);
    return (n + unit - 1) / unit * unit;
}

std::vector<int64_t> rows(const tb_kernel& kernel) {
    const int64_t step = std::max<int64_t>(1, kernel.row_step);
    std::vector<int64_t> n = {1, 2, 3, 5, step - 1, step, step + 1, 2 * step + 1, 37};
    for (int64_t& value : n) value = allowed_rows(kernel, value);
    return distinct(n);
}

GateCase make_case(const tb_kernel& kernel, int64_t n, int64_t k, int64_t m, WeightPattern weights,
                   uint64_t index) {
    return {{allowed_rows(kernel, n), k},
            m,
            weights,
            index,
            index % 2 == 0 ? GuardedBuffer::Place::AtEnd : GuardedBuffer::Place::AtStart,
            index % 3 == 0};
}

// Batches around the sizes at which others changed their path or their scratch. The large ones on
// few rows, so that a scalar kernel takes its time for what they are about.
void add_wide_batches(const tb_kernel& kernel, GateDepth depth, std::vector<GateCase>& cases) {
    for (const int64_t m : {8, 9, 31, 33, 256, 257, 300, 513}) {
        if (kernel.max_m > 0 && m > kernel.max_m) continue;
        const bool quick = m > 64 && depth != GateDepth::Full;
        const auto k =
            quick ? std::vector<int64_t>{64, 160, 256} : std::vector<int64_t>{128, 160, 256, 320};
        for (const int64_t columns : allowed_columns(kernel, k)) {
            cases.push_back(
                make_case(kernel, quick ? 21 : 70, columns, m, WeightPattern::Mixed, cases.size()));
        }
    }
}

// Rows longer than what any kernel does at once, of mixed weights, so that a part of a row taken
// twice or not at all shows; few tokens, and as many as take the way of large batches.
void add_long_rows(const tb_kernel& kernel, std::vector<GateCase>& cases) {
    for (const int64_t k : allowed_columns(kernel, {6944, 8672})) {
        for (const int64_t m : {1, 5, 33}) {
            if (m < kernel.min_m || (kernel.max_m > 0 && m > kernel.max_m)) continue;
            cases.push_back(make_case(kernel, 9, k, m, WeightPattern::Mixed, cases.size()));
        }
    }
}

// Same-sign sums at sizes where a 16-bit accumulator has wrapped long ago.
void add_adversarial(const tb_kernel& kernel, GateDepth depth, std::vector<GateCase>& cases) {
    const int64_t unit = std::max<int64_t>(1, kernel.k_multiple);
    std::vector<int64_t> sizes = {4096, 6912, 8640, 16384 + 32};
    if (depth == GateDepth::Full) sizes.insert(sizes.end(), {2560, 14336, 45568, 1 << 17});
    for (int64_t k : sizes) {
        k = k / unit * unit;
        if (k > kernel.max_k) continue;
        for (const WeightPattern pattern :
             {WeightPattern::AllPlus, WeightPattern::AllMinus, WeightPattern::AllZero}) {
            for (uint64_t token = 0; token < 4; ++token) {  // +127, -127, -128 come with the seed
                cases.push_back(make_case(kernel, 5, k, 1, pattern, cases.size() * 6 + token));
                cases.back().float_input = false;
            }
            cases.push_back(make_case(kernel, 5, k, 6, pattern, cases.size()));
            cases.back().float_input = false;
        }
    }
}

// More rows than a tile that decides how weights are packed can be high, ragged and not.
void add_tile_edges(const tb_kernel& kernel, const tb_tile& tile, std::vector<GateCase>& cases) {
    int64_t largest = 0;
    for (int32_t i = 0; i < kernel.tile_param_count; ++i) {
        if ((kernel.tile_params[i].affects & TB_TILE_AFFECTS_PACK) == 0) continue;
        largest = std::max<int64_t>(largest, tile.value[i]);
    }
    if (largest == 0) return;
    for (const auto& [n, k] :
         {std::pair{2 * largest, int64_t{96}}, std::pair{largest + 1, int64_t{448}},
          std::pair{2 * largest + 37, int64_t{160}}}) {
        for (const int64_t m : {1, 3, 6}) {
            if (m < kernel.min_m || (kernel.max_m > 0 && m > kernel.max_m)) continue;
            cases.push_back(make_case(kernel, n, allowed_columns(kernel, {k}).front(), m,
                                      WeightPattern::Mixed, cases.size()));
        }
    }
}

// The product split over two threads equals the product of one, on a shape with a ragged split.
std::string threaded(const tb_kernel& kernel, const tb_tile& tile) {
    const int64_t unit = std::max<int64_t>(1, kernel.k_multiple);
    const tb_shape shape{allowed_rows(kernel, 131), (608 + unit - 1) / unit * unit};
    if (kernel.accepts(&shape, &tile).code != TB_OK) return "";
    const RowProvider weights = random_ternary_rows(shape, 11);
    for (const int threads : {1, 2}) {
        ThreadPool pool(threads, {}, false);
        for (const int64_t m : {int64_t{1}, int64_t{3}, int64_t{8}}) {
            const TestActivations x = random_activations(m, shape.k, 12);
            PackedWeights packed = pack_weights(pool, kernel, tile, shape, weights);
            PreparedBatch prepared;
            prepared.reserve(kernel, tile, shape, m);
            prepared.prepare(pool, kernel, tile, shape, x.x.data(), m, shape.k);
            ProductScratch scratch;
            const CellProof proof(pool, kernel, tile, shape, weights, 13);
            const ProofResult result = proof.check(pool, packed, prepared, x, scratch);
            if (!result.ok()) return fmt::format("{} threads: {}", threads, result.reason);
        }
    }
    return "";
}

}  // namespace

std::vector<GateCase> gate_cases(const tb_kernel& kernel, GateDepth depth) {
    std::vector<GateCase> cases;
    const std::vector<int64_t> batches =
        depth == GateDepth::Full ? std::vector<int64_t>{1, 2, 3, 4, 5, 7, 8, 9, 12, 31, 33}
                                 : std::vector<int64_t>{1, 2, 4, 7};
    for (const int64_t k : columns(kernel, depth)) {
        for (const int64_t n : rows(kernel)) {
            for (const int64_t m : batches) {
                if (m < kernel.min_m || (kernel.max_m > 0 && m > kernel.max_m)) continue;
                // The wide ones on few columns: the sum over K is what K tests.
                if (n > 8 && m > 1 && k > 700 && depth != GateDepth::Full) continue;
                cases.push_back(make_case(kernel, n, k, m, WeightPattern::Mixed, cases.size()));
            }
        }
    }
    add_wide_batches(kernel, depth, cases);
    add_long_rows(kernel, cases);
    add_adversarial(kernel, depth, cases);
    return cases;
}

std::vector<GateCase> gate_cases_of_tile(const tb_kernel& kernel, const tb_tile& tile,
                                         GateDepth depth, size_t place, size_t tiles) {
    std::vector<GateCase> cases = gate_cases(kernel, depth);
    if (place == 0) {
        add_tile_edges(kernel, tile, cases);
        return cases;
    }
    size_t stride = depth == GateDepth::Full ? tiles / 8 : std::max<size_t>(7, tiles - 1);
    // Neighbours are equal shapes with other batches: prime to their number, 4 or 11, and to 3.
    while (stride > 1 && (stride % 2 == 0 || stride % 3 == 0 || stride % 11 == 0)) ++stride;
    std::vector<GateCase> part;
    for (size_t i = 0; i < cases.size(); ++i) {
        const bool wraps = cases[i].weights == WeightPattern::AllPlus ||
                           cases[i].weights == WeightPattern::AllMinus;
        if (stride <= 1 || i % stride == place % stride || (wraps && cases[i].shape.k <= 4096)) {
            part.push_back(cases[i]);
        }
    }
    add_tile_edges(kernel, tile, part);
    return part;
}

ProofResult run_gate(const tb_kernel& kernel, const tb_tile& tile,
                     const std::vector<GateCase>& cases,
                     const std::function<void(size_t, size_t)>& done) {
    size_t ran = 0;
    std::string refused = "there is no case";
    for (size_t i = 0; i < cases.size(); ++i) {
        const tb_status status = kernel.accepts(&cases[i].shape, &tile);
        if (status.code == TB_BAD_TILE) {
            refused = status.reason != nullptr ? status.reason : "no reason given";
        } else {
            const std::string wrong = run_gate_case(kernel, tile, cases[i]);
            if (!wrong.empty()) {
                return {Proof::No, fmt::format("{}: {}", describe(cases[i]), wrong)};
            }
            ++ran;
        }
        if (done) done(i + 1, cases.size());
    }
    if (ran == 0) return {Proof::No, "the tile is refused for every case: " + refused};
    const std::string wrong = threaded(kernel, tile);
    if (!wrong.empty()) return {Proof::No, wrong};
    return {kernel.exactness == TB_EXACT ? Proof::BitExact : Proof::Bounded, ""};
}

ProofResult run_gate(const tb_kernel& kernel, const tb_tile& tile, GateDepth depth) {
    return run_gate(kernel, tile, gate_cases_of_tile(kernel, tile, depth, 0, 1));
}

tb_shape held_shape(const tb_kernel& kernel, tb_shape shape) {
    return {allowed_rows(kernel, shape.n), allowed_columns(kernel, {shape.k}).front()};
}

std::vector<tb_tile> all_tiles(const tb_kernel& kernel) {
    std::vector<tb_tile> tiles{default_tile(kernel)};
    const tb_tile standard = tiles.front();
    std::vector<tb_tile> product{standard};
    for (int32_t i = 0; i < kernel.tile_param_count; ++i) {
        std::vector<tb_tile> longer;
        for (const tb_tile& tile : product) {
            for (int32_t v = 0; v < kernel.tile_params[i].value_count; ++v) {
                longer.push_back(tile);
                longer.back().value[i] = kernel.tile_params[i].values[v];
            }
        }
        product = std::move(longer);
    }
    const tb_shape common{512, 512 * std::max<int64_t>(1, kernel.k_multiple)};
    for (const tb_tile& tile : product) {
        const bool is_default =
            std::equal(std::begin(tile.value), std::end(tile.value), standard.value);
        if (!is_default && kernel.accepts(&common, &tile).code == TB_OK) tiles.push_back(tile);
    }
    return tiles;
}

ProofResult quick_gate(const tb_kernel& kernel, const tb_tile& tile) {
    return run_gate(kernel, tile, GateDepth::Quick);
}

}  // namespace tritbench
