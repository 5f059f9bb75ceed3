// Published bugs of layout, remainder, stride and memory: see published_bugs_test.cpp.
//
// Not here, because nothing of the kind exists:
//   B2.17 for tensors of three extents: a tensor is N x K, experts are tensors of their own. What
//         is left of it, a scale sought by the extents of a part, is tested.
//   B2.21 a table of 8192 entries, its lock and its leaks: kernels keep nothing between calls, and
//         no address is the name of anything. That they do not is tested.
//   B2.23 tensors of ids 37 and 40 to 42: the reader lists them without their data, whatever a
//         producer means by the id. That no size is made up for these ids is tested; and that 38
//         and 39, TL1 and TL2 for one producer, are not taken for these by their id alone.
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "kernels/api/error.h"
#include "model/bitlinear.h"
#include "model/gguf.h"
#include "model/tensor_types.h"
#include "tests/published_bugs/cases.h"
#include "tests/published_bugs/layout.h"
#include "tests/published_bugs/memory.h"
#include "tests/temporary_folder.h"

namespace tritbench {
namespace {

using namespace testing;

// ---- B2, layout and remainder ------------------------------------------------------------------

// What a kernel makes of bytes that were packed elsewhere: weights, and the product of a token.
std::string wrong_reading(const tb_kernel& k, I2sOrder order, tb_shape s) {
    const GateData data = make_gate_data(k, mixed(s.n, s.k, 1, 6));
    const float scale = data.scales[0];
    std::vector<uint8_t> bytes = i2s_bytes(order, s, data.trits, scale);
    if (bytes.size() != k.packed_size(&s, nullptr)) return "another size";
    std::vector<int8_t> trits(data.trits.size());
    const tb_weights_out out{trits.data(), nullptr, s.k, nullptr};
    if (k.unpack(&s, nullptr, bytes.data(), 0, s.n, &out).code != TB_OK) return "refused";
    const tb_tile tile = default_tile(k);
    AlignedBuffer prepared(k.prepared_size(&s, &tile, 1));
    AlignedBuffer scratch(k.scratch_size(&s, &tile, 1) + 64);
    const tb_activations act{1, s.k, nullptr, nullptr, data.x.q.data(), data.x.q_scale.data()};
    EXPECT_EQ(k.prepare(&s, &tile, &act, 0, 1, 0, s.k, prepared.data()).code, TB_OK);
    std::vector<float> y(static_cast<size_t>(s.n), std::nanf(""));
    tb_product p{};
    p.shape = s;
    p.tile = &tile;
    p.packed = bytes.data();
    p.prepared = prepared.data();
    p.m = 1;
    p.n_end = s.n;
    p.y = y.data();
    p.ldy = s.n;
    p.scratch = scratch.data();
    k.gemv(&p);
    for (int64_t n = 0; n < s.n; ++n) {
        const int8_t* row = data.trits.data() + n * s.k;
        const float expected = reference::exact_output(reference::dot(row, data.x.q.data(), s.k),
                                                       data.x.q_scale[0], scale);
        if (!(y[static_cast<size_t>(n)] == expected)) return "another product";
    }
    return trits == data.trits ? "" : "other weights";
}

// The published files are of the order of x86. The others have the same id, the same size and only
// codes that exist: nothing refuses them, and what comes out is wrong.
void only_x86_is_read(I2sOrder other) {
    for (const tb_kernel* k : kernels_here()) {
        if (std::string(k->layout) != "i2s") continue;
        // Not K = 32, where four rows are a block of 128 and two of the orders are one.
        for (const tb_shape s : {tb_shape{8, 128}, tb_shape{4, 96}, tb_shape{12, 352},
                                 tb_shape{4, 64}, tb_shape{36, 2560}}) {
            EXPECT_EQ(wrong_reading(*k, I2sOrder::X86, s), "") << k->id << " K " << s.k;
            EXPECT_EQ(wrong_reading(*k, other, s), "another product") << k->id << " K " << s.k;
        }
    }
}

TEST(PublishedBugs, B2_10_OrderOf64WeightsIn16Bytes) {
    only_x86_is_read(I2sOrder::Arm);
    tb_kernel bug = kernel("i2s_scalar");  // packs as one build does, reads as the other
    bug.pack = pack_64_16;
    expect_found(bug, {mixed(1, 128, 1, 6)});
}

TEST(PublishedBugs, B2_11_OrderOfFourRowsInAByte) {
    only_x86_is_read(I2sOrder::FourRows);
}

TEST(PublishedBugs, B2_12_RowsOfHalfABlock) {
    const tb_kernel bug =
        with_product(kernel("i2s_scalar"), multiply_whole_blocks, multiply_whole_blocks);
    expect_right(bug, {mixed(8, 128, 3), mixed(5, 2560, 1, 6)});
    Cases cases;
    for (const int64_t k : {32, 64, 96, 160, 192, 224, 352, 8640}) {
        cases.push_back(mixed(8, k, 1, 6));
        cases.push_back(mixed(8, k, 3));
    }
    for (const GateCase& c : cases) expect_found(bug, {c});
    expect_right_where_held(cases);
}

TEST(PublishedBugs, B2_13_LastWeightsOfTheTensorLeftAtCodeZero) {
    tb_kernel bug = kernel("i2s_scalar");
    bug.pack = pack_whole_blocks;
    expect_right(bug, {mixed(4, 96, 2), mixed(8, 128, 2)});
    Cases cases = {int8_case(1, 1, 1, WeightPattern::AllPlus, kAll127),
                   mixed(1, 32, 1, 6),
                   mixed(3, 32, 2),
                   mixed(1, 96, 2),
                   mixed(3, 96, 2),
                   mixed(3, 160, 2),
                   mixed(3, 300, 2),
                   mixed(7, 64, 2),
                   mixed(2, 193, 2),
                   mixed(1, 2592, 2),
                   mixed(37, 65, 2)};
    for (const GateCase& c : cases) expect_found(bug, {c});
    expect_right_where_held(cases);
    // A file cannot hold the padding: the reader and the writer refuse such a tensor.
    const std::vector<int64_t> held = {96, 4}, not_held = {96, 3};
    EXPECT_TRUE(ggml_tensor_bytes(GgmlType::I2_S, held).has_value());
    EXPECT_FALSE(ggml_tensor_bytes(GgmlType::I2_S, not_held).has_value());
}

// Shapes that do not divide: refused with a reason, or right. Never half a result, never a crash.
TEST(PublishedBugs, B2_14_ShapesThatDoNotDivide) {
    const tb_kernel bug =
        with_product(kernel("i2s_scalar"), multiply_whole_tiles, multiply_whole_tiles);
    expect_right(bug, {mixed(64, 256, 3)});
    Cases cases;
    for (const auto& [n, k] : {std::pair{64, 255},
                               {33, 256},
                               {1, 128},
                               {31, 127},
                               {37, 352},
                               {64, 320},
                               {96, 100},
                               {2, 96},
                               {3, 64},
                               {5, 512},
                               {6, 768}}) {
        cases.push_back(mixed(n, k, 2));
        expect_found(bug, {cases.back()});
    }
    expect_right_where_held(cases);
    for (const tb_kernel* k : kernels_here()) {
        const tb_tile tile = default_tile(*k);
        const int64_t rows = held_shape(*k, {1, 1}).n;
        for (const int64_t n : {1, 2, 3, 4, 5, 7, 8, 12, 37}) {
            for (const int64_t columns :
                 {1, 2, 31, 32, 33, 64, 96, 100, 127, 128, 192, 255, 256, 320, 352, 512, 8640}) {
                const tb_shape shape{n, columns};
                const tb_status status = k->accepts(&shape, &tile);
                const bool divides = columns % k->k_multiple == 0 && n % rows == 0;
                EXPECT_EQ(status.code, divides ? TB_OK : TB_BAD_SHAPE)
                    << k->id << " N=" << n << " K=" << columns;
                EXPECT_EQ(status.reason != nullptr, !divides) << k->id;
            }
        }
    }
}

// ---- B2, strides and scales --------------------------------------------------------------------

TEST(PublishedBugs, B2_15_StrideThatTheTypeDeclares) {
    const tb_kernel bug =
        with_product(kernel("i2s_scalar"), multiply_declared_stride, multiply_declared_stride);
    expect_right(bug, {mixed(1, 256, 2)});
    expect_found(bug, {mixed(3, 256, 2)});
    expect_right_everywhere({mixed(3, 256, 2)});
}

// The strides that a caller does give are used: rows may be further apart than K, and what is
// between them is not read, nor written.
TEST(PublishedBugs, B2_15_StridesThatTheCallerGives) {
    tb_kernel rows = kernel("int8_scalar"), tokens = kernel("i2s_scalar");
    rows.pack = pack_without_ld;
    tokens.prepare = prepare_without_ld;
    const std::vector<Conditions> gaps = {{.gap = 0}, {.gap = 1}, {.gap = 37}};
    Cases cases = {mixed(9, 352, 3, 2), mixed(9, 256, 1, 6), from_floats(mixed(5, 288, 3))};
    for (const GateCase& c : cases) {
        EXPECT_NE(depends_on(rows, c, gaps), "");
        if (c.m > 1) {
            EXPECT_NE(depends_on(tokens, c, gaps), "");
        }
        for (const tb_kernel* k : kernels_here()) {
            EXPECT_EQ(depends_on(*k, held(*k, {c})[0], gaps), "") << k->id;
        }
    }
}

// Rows as floats, in ranges: trit times the scale that is told beside them.
std::string wrong_values(const tb_kernel& k, const GateCase& c) {
    const tb_tile tile = default_tile(k);
    const GateData data = make_gate_data(k, c);
    const int64_t columns = c.shape.k, step = k.pack_row_step(&c.shape, &tile);
    AlignedBuffer packed(k.packed_size(&c.shape, &tile));
    std::vector<float> scales;
    for (const float scale : data.scales) {
        scales.insert(scales.end(), static_cast<size_t>(scales_per_row(k, columns)), scale);
    }
    const tb_weights w{data.trits.data(), nullptr, columns, scales.data()};
    if (k.pack(&c.shape, &tile, &w, 0, c.shape.n, packed.data()).code != TB_OK) return "not packed";
    for (int64_t begin = 0; begin < c.shape.n; begin += step) {
        const int64_t end = std::min(begin + step, c.shape.n);
        std::vector<float> values(static_cast<size_t>((end - begin) * columns), std::nanf(""));
        std::vector<float> stored(scales.size(), std::nanf(""));
        const tb_weights_out out{nullptr, values.data(), columns, stored.data()};
        if (k.unpack(&c.shape, &tile, packed.data(), begin, end, &out).code != TB_OK)
            return "refused";
        for (int64_t i = 0; i < (end - begin) * columns; ++i) {
            const int64_t row = i / columns;
            const int64_t at = has_own_scales(k) ? row * scales_per_row(k, columns) : 0;
            const auto trit =
                static_cast<float>(data.trits[static_cast<size_t>(begin * columns + i)]);
            if (values[static_cast<size_t>(i)] != trit * stored[static_cast<size_t>(at)]) {
                return fmt::format("row {} column {} is {}", begin + row, i % columns,
                                   values[static_cast<size_t>(i)]);
            }
            const float given = data.scales[static_cast<size_t>(begin + row)];
            const bool half = k.scale_type == TB_SCALE_F16;
            const float kept = half ? reference::nearest_half(given) : given;
            if (trit != 0 && stored[static_cast<size_t>(at)] != kept) {
                return fmt::format("row {} has the scale {}", begin + row,
                                   stored[static_cast<size_t>(at)]);
            }
        }
    }
    return "";
}

// The cast itself is of another program's table of functions; the contract has one signature, and
// the compiler holds every kernel to it. What it led to, floats of a wrong scale, is looked for.
TEST(PublishedBugs, B2_16_RowsToFloatsWithAScaleFromElsewhere) {
    tb_kernel bug = kernel("i2s_scalar");
    bug.unpack = unpack_scale_behind_row;
    EXPECT_NE(wrong_values(bug, mixed(8, 256, 1, 6)), "");
    EXPECT_EQ(wrong_values(bug, mixed(1, 256, 1, 6)), "") << "the last row is behind the tensor";
    for (const tb_kernel* k : kernels_here()) {
        if (k->weight_kind != TB_WEIGHT_TERNARY) continue;
        for (const GateCase& c : {mixed(8, 256, 1, 6), mixed(37, 352, 1, 6)}) {
            EXPECT_EQ(wrong_values(*k, held(*k, {c})[0]), "") << k->id;
        }
    }
}

TEST(PublishedBugs, B2_17_ScaleSoughtByTheExtentsOfAPart) {
    const tb_kernel weights = with_product(kernel("i2s_scalar"), multiply_scale_of_part);
    tb_kernel tokens = kernel("i2s_scalar");
    tokens.prepare = prepare_scale_of_part;
    expect_right(tokens, {mixed(8, 128, 1, 6)});
    expect_found(weights, {mixed(8, 128, 1, 6)});  // the gate asks for parts of the rows,
    expect_found(tokens, {mixed(8, 128, 3)});      // and prepares token by token
    expect_right_everywhere({mixed(8, 128, 1, 6), mixed(8, 128, 3)});
}

// ---- B2, batches of TL2 ------------------------------------------------------------------------

// 256 columns are 192 in triples and 64 in pairs at the default BK of tl2.
Cases batches(std::initializer_list<int64_t> tokens) {
    Cases cases;
    for (const int64_t m : tokens) cases.push_back(mixed(3, 256, m, static_cast<uint64_t>(m)));
    return cases;
}

TEST(PublishedBugs, B2_18_BatchWithoutAStride) {
    const tb_kernel bug = with_product(kernel("tl2_scalar"), multiply_without_batch_stride);
    const Cases several = batches({2, 7, 8, 9, 31, 33, 256, 257, 300, 513});
    expect_right(bug, batches({1}));
    for (const GateCase& c : several) expect_found(bug, {c});
    expect_right_everywhere(batches({1}));
    expect_right_everywhere(several);
}

TEST(PublishedBugs, B2_18_BatchesThatNoCaseIsMadeFor) {
    const tb_kernel bug = with_product(kernel("tl2_scalar"), multiply_known_batches);
    expect_right(bug, batches({1, 8, 256}));
    for (const GateCase& c : batches({2, 7, 9, 31, 33, 257, 300, 513})) expect_found(bug, {c});
    // The kernels: B2_18_BatchWithoutAStride has all of these, and here are the ones between.
    expect_right_everywhere(batches({3, 4, 5, 6, 10, 12, 15, 16, 17, 32, 64, 65}));
}

TEST(PublishedBugs, B2_19_TablesOfPairsBehindLargeBatches) {
    const tb_kernel bug = with_product(kernel("tl2_scalar"), multiply_pair_tables_misplaced,
                                       multiply_pair_tables_misplaced);
    expect_right(bug, batches({1, 9, 33, 256}));
    expect_right(bug, {mixed(3, 192, 257)});  // no column is in a pair
    for (const GateCase& c : batches({257, 300, 513})) expect_found(bug, {c});
    expect_right_everywhere({mixed(3, 224, 257, 2), mixed(3, 224, 300, 3)});
}

// ---- B2, memory --------------------------------------------------------------------------------

// The gate's guard pages, on both sides, for every size that a kernel names.
TEST(PublishedBugsDeathTest, B2_20_ScratchSmallerThanItsTables) {
    tb_kernel tl1 = with_product(kernel("i2s_scalar"), multiply_in_scratch_tl1);
    tb_kernel tl2 = with_product(kernel("i2s_scalar"), multiply_in_scratch_tl2);
    tl1.scratch_size = scratch_tl1;
    tl2.scratch_size = scratch_tl2;
    const GateCase c = int8_case(4, 256, 2, WeightPattern::Mixed, 0);
    ASSERT_EQ(c.place, GuardedBuffer::Place::AtEnd);
    EXPECT_DEATH((void)first_wrong(tl1, {c}), "");
    EXPECT_EQ(tables_tl2(256), 3072U) << "and 11 * 256 = 2816";
    EXPECT_DEATH((void)first_wrong(tl2, {c}), "");
    expect_right(tl2, {int8_case(4, 192, 2, WeightPattern::Mixed, 0)});  // all in triples
    Cases cases;
    for (const int64_t m : {1, 2, 4, 5, 8, 9, 33}) {
        for (const uint64_t side : {0, 1}) {
            cases.push_back(mixed(5, 288, m, 2 * static_cast<uint64_t>(m) + side));
        }
    }
    expect_right_everywhere(cases);
}

// By a few bytes: the guard page begins on an alignment, the canaries where the buffer ends. Under
// the address sanitizer the buffers also end where their allocation does, so that it sees reads.
TEST(PublishedBugs, B2_20_BuffersOfExactlyTheSizesAskedFor) {
    tb_kernel bug = with_product(kernel("i2s_scalar"), multiply_with_scale_behind);
    bug.scratch_size = scratch_without_scale;
    const std::vector<Conditions> canaries = {{.canaries = true}};
    EXPECT_EQ(depends_on(bug, mixed(5, 288, 2), canaries),
              "N=5 K=288 M=2, mixed weights, int8 activations, seed 0: wrote beside scratch");
    for (const tb_kernel* k : kernels_here()) {
        for (const int64_t m : {1, 2, 5, 8, 9}) {
            for (const int64_t columns : {96, 353, 2592}) {
                Cases cases = {mixed(5, columns, m, 2), from_floats(mixed(3, columns, m, 3))};
                for (const GateCase& c : held(*k, cases)) {
                    EXPECT_EQ(depends_on(*k, c, {{.canaries = true}, {}}), "") << k->id;
                }
            }
        }
    }
}

#if defined(__SANITIZE_ADDRESS__)
#define TB_ADDRESS_SANITIZER 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define TB_ADDRESS_SANITIZER 1
#endif
#endif

#ifdef TB_ADDRESS_SANITIZER
TEST(PublishedBugsDeathTest, B2_20_TheSanitizerSeesTheEndOfABuffer) {
    tb_kernel bug = with_product(kernel("i2s_scalar"), multiply_with_scale_behind);
    bug.scratch_size = scratch_without_scale;
    EXPECT_DEATH((void)depends_on(bug, mixed(5, 288, 2), {{}}), "overflow");
}
#endif

TEST(PublishedBugs, B2_20_BuffersOnNoMoreThanTheirAlignment) {
    const tb_kernel bug =
        with_product(kernel("int8_scalar"), multiply_aligned_down, multiply_aligned_down);
    const std::vector<Conditions> places = {{.align = 64, .canaries = true}, {.canaries = true}};
    for (const GateCase& c :
         {mixed(9, 352, 1, 6), mixed(9, 353, 5, 2), from_floats(mixed(9, 256, 3, 3))}) {
        EXPECT_NE(depends_on(bug, c, places), "");
        for (const tb_kernel* k : kernels_here()) {
            EXPECT_EQ(depends_on(*k, held(*k, {c})[0], places), "") << k->id;
        }
    }
}

// Two tensors in use at once, and one whose bytes came from elsewhere, as from a mapped file.
std::string wrong_with_two(const tb_kernel& k) {
    const tb_tile tile = default_tile(k);
    const GateCase a = held(k, {mixed(5, 352, 2, 2)})[0];
    GateCase b = a;
    b.seed = 8;
    std::vector<uint8_t> alone;
    std::string wrong = run_under(k, tile, a, {}, alone);
    Rig first(k, tile, a, {}), second(k, tile, b, {});
    if (wrong.empty()) wrong = first.pack();
    if (wrong.empty()) wrong = second.pack();
    if (wrong.empty()) wrong = first.prepare();
    if (wrong.empty()) wrong = second.prepare();
    if (!wrong.empty()) return wrong;
    second.multiply();
    first.multiply();
    if (first.bits() != alone) return "the first of two tensors differs";
    Rig moved(k, tile, a, {});
    wrong = moved.pack();
    if (wrong.empty()) wrong = moved.prepare();
    if (!wrong.empty()) return wrong;
    moved.move_weights();
    moved.multiply();
    return moved.bits() == alone ? "" : "a copy of the bytes differs";
}

TEST(PublishedBugs, B2_21_WhatIsKnownOfATensorKeptOutsideIt) {
    tb_kernel newest = with_product(kernel("i2s_scalar"), multiply_newest_extra);
    newest.pack = pack_newest_extra;
    EXPECT_EQ(wrong_with_two(newest), "the first of two tensors differs");
    tb_kernel by_address = with_product(kernel("i2s_scalar"), multiply_with_extra);
    by_address.pack = pack_with_extra;
    EXPECT_EQ(wrong_with_two(by_address), "a copy of the bytes differs");
    for (const tb_kernel* k : kernels_here()) EXPECT_EQ(wrong_with_two(*k), "") << k->id;
}

// B2.22 continues in tests/tl1_layout_test.cpp: the bytes differ with the tile and say nothing of
// it. So it is an argument of every call, and goes with the weights where they are kept.
TEST(PublishedBugs, B2_22_BytesReadWithTheTileOfTheReader) {
    tb_kernel bug =
        with_product(kernel("tl1_scalar"), multiply_with_own_tile, multiply_with_own_tile);
    const Cases cases = {mixed(256, 256, 1, 6), mixed(256, 256, 3)};
    tb_tile tile = default_tile(bug);
    EXPECT_EQ(first_wrong(bug, tile, cases), "");
    tile.value[1] = 64;
    EXPECT_NE(first_wrong(bug, tile, cases), "");
    int checked = 0;
    for (const tb_kernel* k : kernels_here()) {
        for (int32_t i = 0; i < k->tile_param_count; ++i) {
            if ((k->tile_params[i].affects & TB_TILE_AFFECTS_PACK) == 0) continue;
            for (int32_t v = 0; v < k->tile_params[i].value_count; ++v) {
                tile = default_tile(*k);
                tile.value[i] = k->tile_params[i].values[v];
                if (k->accepts(&cases[0].shape, &tile).code != TB_OK) continue;
                EXPECT_EQ(first_wrong(*k, tile, cases), "") << k->id << tile_name(*k, tile);
                ++checked;
            }
        }
    }
    EXPECT_GE(checked, 8);
}

TEST(PublishedBugs, B2_22_TheTileGoesWithTheWeights) {
    ThreadPool pool(1, {}, false);
    const tb_shape shape{256, 256};
    const RowProvider rows = random_ternary_rows(shape, 4);
    const TestActivations x = random_activations(3, shape.k, 5);
    for (const tb_kernel* k : kernels_here()) {
        const std::vector<tb_tile> tiles = all_tiles(*k);
        std::vector<float> expected;
        for (const size_t i : {size_t{0}, tiles.size() / 2, tiles.size() - 1}) {
            const PackedWeights weights = pack_weights(pool, *k, tiles[i], shape, rows);
            PreparedBatch batch;
            batch.prepare(pool, *k, tiles[i], shape, x.x.data(), x.m, x.k);
            ProductScratch scratch;
            std::vector<float> y(static_cast<size_t>(x.m * shape.n), std::nanf(""));
            multiply(pool, *k, weights, batch, scratch, y.data(), shape.n);
            if (expected.empty()) expected = y;
            EXPECT_EQ(y, expected) << k->id << " " << tile_name(*k, tiles[i]);
        }
    }
}

// The size of a tensor by its id, as bitnet.cpp's fork understands 39: upstream's MXFP4 has the id
// too, and so would be read as weights.
std::optional<uint64_t> size_in_the_fork(uint32_t id, int64_t k, int64_t n) {
    if (id == 39) {
        const int64_t bytes = (k - 256) * n / 3 * 5 / 8 + 256 * n / 2 * 4 / 8;
        return static_cast<uint64_t>((bytes + 31) / 32 * 32 + 32);
    }
    if (id == 38) return static_cast<uint64_t>(k * n / 4 + 32);
    return std::nullopt;
}

TEST(PublishedBugs, B2_23_IdsOfTwoMeanings) {
    const std::vector<int64_t> extents = {2560, 2560};
    const uint64_t mxfp4 = 2560 * 2560 / 32 * 17;
    ASSERT_TRUE(size_in_the_fork(39, 2560, 2560).has_value());
    EXPECT_LT(*size_in_the_fork(39, 2560, 2560), mxfp4) << "so that it would even fit the file";
    for (const uint32_t id : {37, 40, 41, 42}) {
        EXPECT_FALSE(ggml_tensor_bytes(static_cast<GgmlType>(id), extents).has_value()) << id;
    }
    const TemporaryFolder folder;
    for (const GgmlType type : {GgmlType::TL1, GgmlType::TL2}) {
        const std::filesystem::path path = folder / "file.gguf";
        GgufWriter writer(path);
        writer.add_tensor("weights", type, extents);
        writer.begin();
        const std::vector<std::byte> bytes(*ggml_tensor_bytes(type, extents));
        writer.write(bytes);
        writer.finish();
        const GgufFile file(path);
        try {
            const StoredMatrix weights(file, *file.find_tensor("weights"));
            ADD_FAILURE() << "taken for weights: " << ggml_type_name(type);
        } catch (const Error& e) {
            EXPECT_NE(std::string(e.what()).find("does not say its tile"), std::string::npos)
                << e.what();
        }
        LoadOptions known;
        known.tl_tiles = {{2560, 2560, 256, 128, 32}};
        if (type == GgmlType::TL1) {
            EXPECT_NO_THROW(StoredMatrix(file, *file.find_tensor("weights"), known));
        }
    }
}

}  // namespace
}  // namespace tritbench
