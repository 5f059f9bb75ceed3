// The sweep with kernels that crash, hang, leave or lie: each must end in a row that says so, and
// take no other cell with it.
#include "harness/sweep.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <csignal>
#include <cstdlib>

#include "dummy_models/generator.h"
#include "harness/aa_control.h"
#include "harness/axes.h"
#include "harness/budget.h"
#include "harness/child.h"
#include "kernels/api/error.h"
#include "kernels/api/registry.h"
#include "tests/temporary_folder.h"

namespace tritbench {
namespace {

// A shape that no gate uses: kernels that misbehave only here pass the gate.
constexpr tb_shape kTrapShape{776, 1024};

const tb_kernel& real() {
    return *find_kernel("i2s_scalar");
}
bool trap(const tb_product* p) {
    return p->shape.n == kTrapShape.n && p->shape.k == kTrapShape.k;
}

void crash(const tb_product* p) {
    if (trap(p)) std::abort();
    real().gemv(p);
}
void leave(const tb_product* p) {
    if (trap(p)) std::exit(0);
    real().gemv(p);
}
void hang(const tb_product* p) {
    while (trap(p)) ::usleep(1000);
    real().gemv(p);
}
void hang_always(const tb_product*) {
    while (true) ::usleep(1000);
}
void spoil(const tb_product* p, int64_t from_row) {
    for (int64_t n = std::max(p->n_begin, from_row); n < p->n_end; ++n) p->y[n] += 1;
}
void lie(const tb_product* p) {
    real().gemv(p);
    if (trap(p)) spoil(p, 0);
}
// Right until it was called more often than a proof does, as a kernel that forgets its scratch.
void lie_later(const tb_product* p) {
    static int calls = 0;
    real().gemv(p);
    if (trap(p) && ++calls > 5) spoil(p, 0);
}
// The bug of the issue: only K % 128 == 32, only from the second row on.
void lie_at_32(const tb_product* p) {
    real().gemv(p);
    if (p->shape.k % 128 == 32) spoil(p, 1);
}

// Kernels of one layout with a tile of their own each, which changes nothing but the call.
constexpr int32_t kOwnTiles[] = {2, 3};
constexpr tb_tile_param kTileOf2[] = {{"own", kOwnTiles, 2, 2, TB_TILE_AFFECTS_CALL}};
constexpr tb_tile_param kTileOf3[] = {{"own", kOwnTiles, 2, 3, TB_TILE_AFFECTS_CALL}};
template <int32_t kOwn>
void gemv_with_tile(const tb_product* p) {
    if (trap(p) && p->tile->value[0] != kOwn) std::abort();
    real().gemv(p);
}
template <int32_t kOwn>
void accumulate_with_tile(const tb_product* p) {
    if (trap(p) && p->tile->value[0] != kOwn) std::abort();
    real().accumulate(p);
}

tb_kernel planted(const char* id, void (*gemv)(const tb_product*)) {
    tb_kernel kernel = real();
    kernel.id = id;
    kernel.gemv = gemv;
    return kernel;
}

std::vector<Cell> cells_of(const std::vector<const tb_kernel*>& kernels,
                           tb_shape shape = kTrapShape, int threads = 1) {
    KernelAxes axes;
    axes.kernels = kernels;
    axes.shapes = {shape};
    axes.threads = {threads};
    axes.repetitions = 6;
    axes.spec = "test";
    return kernel_cells(axes);
}

RunOptions quiet() {
    RunOptions options;
    options.name = "test";
    options.spec_hash = "hash";
    options.show_progress = false;
    return options;
}

const Row& row_of(const RunResult& result, const std::string& kernel) {
    const auto it = std::find_if(result.rows.begin(), result.rows.end(),
                                 [&](const Row& row) { return row[Column::Kernel] == kernel; });
    if (it == result.rows.end()) throw std::runtime_error("no row of " + kernel);
    return *it;
}

void expect_measured(const Row& row) {
    EXPECT_EQ(row[Column::Status], "ok") << row[Column::Reason];
    EXPECT_EQ(row[Column::Verified], "bitexact");
    EXPECT_GT(row.number(Column::MedianNs).value_or(0), 0);
    EXPECT_LE(row.number(Column::MinNs).value_or(0), row.number(Column::MedianNs).value_or(0));
    EXPECT_LE(row.number(Column::Ci95LoNs).value_or(0), row.number(Column::Ci95HiNs).value_or(0));
    EXPECT_GT(row.number(Column::GbPerS).value_or(0), 0);
    EXPECT_GT(row.number(Column::CeilingGbPerS).value_or(0), 0);
    EXPECT_GE(row.number(Column::PeakRssBytes).value_or(0), 1e6);
}

void expect_not_timed(const Row& row) {
    for (const Column column : {Column::MedianNs, Column::MinNs, Column::GbPerS, Column::TokensPerS,
                                Column::GmacPerS, Column::PctOfCeiling}) {
        EXPECT_EQ(row[column], "") << column_info(column).name;
    }
}

TEST(Sweep, ARightKernelIsMeasuredAndProved) {
    const auto cells = cells_of({&real()});
    const RunResult result = run_cells(cells, quiet(), nullptr);
    EXPECT_EQ(result.exit_code(), 0);
    ASSERT_EQ(result.rows.size(), 1U);
    const Row& row = result.rows[0];
    expect_measured(row);
    EXPECT_EQ(row[Column::Phase], "gemv");
    EXPECT_EQ(row[Column::Pins].find(' '), std::string::npos);
    EXPECT_EQ(row.number(Column::Repetitions), 6);
    EXPECT_TRUE(row[Column::CeilingProbe].ends_with(", huge pages")) << row[Column::CeilingProbe];
    const double share = *row.number(Column::GbPerS) / *row.number(Column::CeilingGbPerS);
    EXPECT_NEAR(*row.number(Column::PctOfCeiling), 100 * share, 0.1 + share);
    tb_work work{};
    const tb_tile tile = default_tile(real());
    real().work(&kTrapShape, &tile, 1, &work);
    EXPECT_EQ(row.number(Column::Bytes),
              work.weight_bytes + work.activation_bytes + work.table_bytes + work.output_bytes);
    const double gmacs = work.macs / *row.number(Column::MedianNs);
    EXPECT_NEAR(*row.number(Column::GmacPerS), gmacs, gmacs * 0.01 + 0.001);
}

// Packed weights are shared by the kernels of a layout, tiles are not.
TEST(Sweep, EveryKernelIsCalledWithItsOwnTile) {
    tb_kernel two = planted("planted_2", gemv_with_tile<2>);
    tb_kernel three = planted("planted_3", gemv_with_tile<3>);
    two.tile_params = kTileOf2;
    three.tile_params = kTileOf3;
    two.tile_param_count = three.tile_param_count = 1;
    two.accumulate = accumulate_with_tile<2>;
    three.accumulate = accumulate_with_tile<3>;
    const RunResult result = run_cells(cells_of({&real(), &two, &three}), quiet(), nullptr);
    ASSERT_EQ(result.rows.size(), 3U);
    for (const Row& row : result.rows) expect_measured(row);
    EXPECT_EQ(row_of(result, "planted_2")[Column::Tile], "own=2");
    EXPECT_EQ(row_of(result, "planted_3")[Column::Tile], "own=3");
}

TEST(Sweep, ACrashEndsOneCellOnly) {
    const tb_kernel crashing = planted("planted_crash", crash);
    const tb_kernel leaving = planted("planted_exit", leave);
    const auto cells = cells_of({&real(), &crashing, &leaving});
    const RunResult result = run_cells(cells, quiet(), nullptr);
    EXPECT_EQ(result.exit_code(), 1);
    ASSERT_EQ(result.rows.size(), 3U);
    expect_measured(row_of(result, "i2s_scalar"));
    const Row& crashed = row_of(result, "planted_crash");
    EXPECT_EQ(crashed[Column::Status], "crashed");
    EXPECT_NE(crashed[Column::Reason].find("SIGABRT"), std::string::npos)
        << crashed[Column::Reason];
    expect_not_timed(crashed);
    const Row& left = row_of(result, "planted_exit");
    EXPECT_EQ(left[Column::Status], "crashed");
    EXPECT_NE(left[Column::Reason].find("exit()"), std::string::npos) << left[Column::Reason];
}

TEST(Sweep, AHangEndsOneCellOnly) {
    const tb_kernel hanging = planted("planted_hang", hang);
    const auto cells = cells_of({&hanging, &real()});
    RunOptions options = quiet();
    options.measure.timeout_s = 4;
    const RunResult result = run_cells(cells, options, nullptr);
    EXPECT_EQ(result.exit_code(), 1);
    EXPECT_EQ(row_of(result, "planted_hang")[Column::Status], "timeout");
    expect_not_timed(row_of(result, "planted_hang"));
    expect_measured(row_of(result, "i2s_scalar"));
}

TEST(Sweep, AHangInTheGateIsATimeout) {
    const tb_kernel hanging = planted("planted_hang", hang_always);
    RunOptions options = quiet();
    options.gate_timeout_s = 2;
    const RunResult result = run_cells(cells_of({&hanging}), options, nullptr);
    EXPECT_EQ(result.rows.at(0)[Column::Status], "timeout");
    EXPECT_NE(result.rows[0][Column::Reason].find("gate"), std::string::npos);
}

TEST(Sweep, AWrongProductIsNeverTimed) {
    const tb_kernel lying = planted("planted_lie", lie);
    const tb_kernel forgetful = planted("planted_lie_later", lie_later);
    const RunResult result = run_cells(cells_of({&lying, &forgetful, &real()}), quiet(), nullptr);
    EXPECT_EQ(result.exit_code(), 1);
    for (const char* id : {"planted_lie", "planted_lie_later"}) {
        const Row& row = row_of(result, id);
        EXPECT_EQ(row[Column::Status], "failed") << id;
        EXPECT_EQ(row[Column::Verified], "no") << id;
        expect_not_timed(row);
    }
    EXPECT_TRUE(row_of(result, "planted_lie")[Column::Reason].starts_with("before timing"));
    EXPECT_TRUE(row_of(result, "planted_lie_later")[Column::Reason].starts_with("after timing"));
    expect_measured(row_of(result, "i2s_scalar"));
}

// Whatever the cell's own shape: a kernel that is wrong anywhere is timed nowhere.
TEST(Sweep, AKernelWrongOnlyAtK32IsRedOnEveryShape) {
    const tb_kernel lying = planted("planted_k32", lie_at_32);
    for (const tb_shape shape : {tb_shape{64, 256}, tb_shape{64, 288}}) {
        const RunResult result = run_cells(cells_of({&lying}, shape), quiet(), nullptr);
        EXPECT_EQ(result.exit_code(), 1);
        ASSERT_EQ(result.rows.size(), 1U);
        EXPECT_EQ(result.rows[0][Column::Status], "failed");
        EXPECT_EQ(result.rows[0][Column::Verified], "no");
        EXPECT_TRUE(result.rows[0][Column::Reason].starts_with("gate: "))
            << result.rows[0][Column::Reason];
        expect_not_timed(result.rows[0]);
    }
}

TEST(Sweep, WhatCannotRunIsARowWithItsReason) {
    tb_kernel absent = planted("planted_absent", real().gemv);
    absent.features = TB_FEATURE_SVE2 | TB_FEATURE_AMX_INT8;  // no CPU has both
    std::vector<Cell> cells = cells_of({&absent});
    const auto crowded = cells_of({&real()}, kTrapShape, 1024);
    tb_kernel picky = planted("planted_picky", real().gemv);
    picky.accepts = [](const tb_shape*, const tb_tile*) {
        return tb_status{TB_BAD_SHAPE, "K is not to its taste"};
    };
    const auto refused = cells_of({&picky});
    cells.insert(cells.end(), crowded.begin(), crowded.end());
    cells.insert(cells.end(), refused.begin(), refused.end());
    const RunResult result = run_cells(cells, quiet(), nullptr);
    EXPECT_EQ(result.exit_code(), 0);
    ASSERT_EQ(result.rows.size(), 3U);
    for (const Row& row : result.rows) {
        EXPECT_EQ(row[Column::Status], "unavailable") << row[Column::Reason];
        EXPECT_NE(row[Column::Reason], "");
        expect_not_timed(row);
    }
    EXPECT_NE(result.rows[1][Column::Reason].find("asks 1024 threads"), std::string::npos);
    EXPECT_NE(result.rows[2][Column::Reason].find("K is not to its taste"), std::string::npos);
}

TEST(Sweep, ColdRotationsAreMeasured) {
    KernelAxes axes;
    axes.kernels = {&real()};
    axes.shapes = {{2048, 2048}};
    axes.caches = {CacheMode::Cold};
    axes.repetitions = 6;
    const RunResult result = run_cells(kernel_cells(axes), quiet(), nullptr);
    ASSERT_EQ(result.rows.size(), 1U);
    expect_measured(result.rows[0]);
    EXPECT_EQ(result.rows[0][Column::CacheMode], "cold");
    EXPECT_TRUE(result.rows[0][Column::CeilingProbe].ends_with(", the cell's own weights"))
        << result.rows[0][Column::CeilingProbe];
    const bool capped = result.rows[0][Column::Noise].find("cold_capped") != std::string::npos;
    const double footprint = *result.rows[0].number(Column::FootprintBytes);
    EXPECT_TRUE(capped || footprint >= 2.0 * static_cast<double>(last_level_cache_bytes()));
}

// One cell of the block is measured twice, hot and cold, and all rows have its limit.
TEST(Sweep, EveryRowHasTheLimitOfItsBlocksControl) {
    const tb_kernel second = planted("planted_second", real().gemv);
    for (const CacheMode mode : {CacheMode::Hot, CacheMode::Cold}) {
        std::vector<Cell> cells = cells_of({&real(), &second});
        for (Cell& cell : cells) cell.cache = mode;
        RunOptions options = quiet();
        const RunResult result = run_cells(cells, options, nullptr);
        ASSERT_EQ(result.rows.size(), 2U);
        for (const Row& row : result.rows) {
            expect_measured(row);
            EXPECT_EQ(row[Column::StopReason], "repetitions");
            EXPECT_GE(row.number(Column::Ci95Pct).value_or(-1), 0);
            const double low = row.number(Column::AaRatioLo).value_or(0);
            const double high = row.number(Column::AaRatioHi).value_or(0);
            EXPECT_GT(low, 0);
            EXPECT_LE(low, high);
            const double limit = 100 * std::max(std::abs(low - 1), std::abs(high - 1));
            EXPECT_NEAR(row.number(Column::AaLimitPct).value_or(-1), limit, 0.002);
            EXPECT_EQ(row[Column::AaLimitPct], result.rows[0][Column::AaLimitPct]);
            EXPECT_EQ(row[Column::Control], cell_label(cells[0]));
            EXPECT_GT(row.number(Column::ControlRatio).value_or(0), 0);
        }
        EXPECT_EQ(result.rows[0].number(Column::ControlRatio), 1);
        EXPECT_NE(control_note(result.rows), "");
        options.measure.control = false;
        const RunResult without = run_cells(cells, options, nullptr);
        expect_measured(without.rows.at(0));
        EXPECT_EQ(without.rows[0][Column::AaLimitPct], "");
        EXPECT_EQ(without.rows[0][Column::Control], "");
        EXPECT_EQ(without.rows[0][Column::ControlRatio], "");
        EXPECT_EQ(control_note(without.rows), "");
    }
}

TEST(Sweep, TheControlIsTheCheapestOfThoseWithTheMostRepetitions) {
    std::vector<Cell> cells(4);
    for (Cell& cell : cells) {
        cell.kernels = {{&real(), default_tile(real()), 1}};
        cell.work_macs = 1e9;
    }
    cells[0].repetitions = 3;
    cells[0].work_macs = 1e6;
    cells[2].work_macs = cells[3].work_macs = 1e8;
    const std::vector<const Cell*> all = {&cells[0], &cells[1], &cells[2], &cells[3]};
    EXPECT_EQ(control_cell(all), 2U);
    EXPECT_THROW(control_cell({}), Error);
}

TEST(Sweep, APrecisionOrABudgetEndsTheRepetitions) {
    RunOptions options = quiet();
    options.measure.precision = 0.5;  // of any machine
    const auto cells = cells_of({&real()});
    const RunResult precise = run_cells(cells, options, nullptr);
    expect_measured(precise.rows.at(0));
    EXPECT_EQ(precise.rows[0][Column::StopReason], "precision");
    EXPECT_LE(*precise.rows[0].number(Column::Ci95Pct), 50);
    // Six are not enough for the confidence of the first look.
    EXPECT_GE(*precise.rows[0].number(Column::Repetitions), 12);

    options.measure.precision = 1e-12;
    options.measure.budget_s = 1e-3;  // spent before the first round, which is made all the same
    const RunResult poor = run_cells(cells, options, nullptr);
    EXPECT_EQ(poor.rows.at(0)[Column::Status], "ok") << poor.rows[0][Column::Reason];
    EXPECT_EQ(poor.rows[0][Column::StopReason], "budget");
    EXPECT_EQ(poor.rows[0].number(Column::Repetitions), 1);
    EXPECT_EQ(poor.rows[0][Column::Ci95Pct], "");
}

TEST(Sweep, TheBudgetIsSharedByWhatBlocksAreExpectedToTake) {
    std::vector<Cell> cells = cells_of({&real()});
    cells.push_back(cells[0]);
    cells[1].repetitions = 2 * (cells[0].repetitions + 2) - 2;
    MeasureOptions options;
    options.budget_s = 30;
    options.control = false;
    BudgetShares shares(cells, {{0}, {1}}, options, 1'000'000'000);
    EXPECT_NEAR(static_cast<double>(shares.next_deadline(1'000'000'000)), 11e9, 1e3);
    // What the first left, the second has.
    EXPECT_NEAR(static_cast<double>(shares.next_deadline(2'000'000'000)), 31e9, 1e3);
    BudgetShares late(cells, {{0}}, options, 0);
    EXPECT_EQ(late.next_deadline(40'000'000'000), 40'000'000'000);
    options.budget_s = 0;
    EXPECT_EQ(BudgetShares(cells, {{0}}, options, 0).next_deadline(1), 0);
    // The control is one cell more.
    options.control = true;
    EXPECT_DOUBLE_EQ(predicted_block_s(cells, {0}, options),
                     2 * predicted_block_s(cells, {0}, {.control = false}));
}

TEST(Sweep, APrecisionIsInPercent) {
    EXPECT_DOUBLE_EQ(parse_precision("1%", "--precision"), 0.01);
    EXPECT_DOUBLE_EQ(parse_precision("0.5%", "--precision"), 0.005);
    for (const char* wrong : {"1", "0%", "51%", "-1%", "%", "", "1%%", "nan%", "one%"}) {
        EXPECT_THROW(parse_precision(wrong, "--precision"), Error) << wrong;
    }
}

TEST(Sweep, AJournalResumesWithoutLosingOrDoublingRows) {
    const TemporaryFolder folder;
    const tb_kernel second = planted("planted_second", real().gemv);
    RunOptions options = quiet();
    options.csv = folder / "r.csv";
    {
        const auto journal = open_journal(options);
        const RunResult part = run_cells(cells_of({&real()}), options, journal.get());
        EXPECT_EQ(part.rows.size(), 1U);
    }
    // The first part called itself complete; the whole has more cells.
    const std::string state = TemporaryFolder::read(folder / "r.state.json");
    const size_t at = state.find("true");
    ASSERT_NE(at, std::string::npos);
    folder.write("r.state.json", std::string(state).replace(at, 4, "false"));
    const auto journal = open_journal(options);
    const RunResult whole = run_cells(cells_of({&real(), &second}), options, journal.get());
    EXPECT_TRUE(whole.resumed);
    EXPECT_EQ(whole.rows.size(), 2U);
    const auto rows = read_result_file(folder / "r.csv");
    ASSERT_EQ(rows.size(), 2U);
    EXPECT_EQ(rows[0][Column::Kernel], "i2s_scalar");
    EXPECT_EQ(rows[1][Column::Kernel], "planted_second");
    EXPECT_EQ(rows[0][Column::RunId], rows[1][Column::RunId]);
    EXPECT_NE(rows[0][Column::CellKey], rows[1][Column::CellKey]);
}

class SweepModels : public testing::Test {
  protected:
    void SetUp() override {
        DummyOptions options;
        ModelConfig& c = options.config;
        c.architecture = "bitnet-b1.58";
        c.name = "tiny";
        c.hidden = 128;
        c.ffn = 384;
        c.layers = 3;
        c.heads = 4;
        c.kv_heads = 2;
        c.head_dim = 32;
        c.vocab = 300;
        c.context = 64;
        ThreadPool pool(1, {}, false);
        ASSERT_TRUE(generate_dummy(options, folder / "tiny.gguf", pool));
    }
    std::vector<Cell> cells(const std::vector<const tb_kernel*>& kernels) const {
        ModelAxes axes;
        axes.kernels = kernels;
        axes.models = {model_file(folder / "tiny.gguf")};
        axes.prefill = {7};
        axes.decode = {7};
        axes.depths = {3};
        axes.threads = {1};
        axes.spec = "test";
        return model_cells(axes);
    }
    TemporaryFolder folder;
};

TEST_F(SweepModels, PrefillAndDecodeEndWithTheSameLogits) {
    const auto all = cells(match_kernels("i2s_*,int8_*,f16_scalar"));
    const RunResult result = run_cells(all, quiet(), nullptr);
    EXPECT_EQ(result.exit_code(), 0);
    ASSERT_EQ(result.rows.size(), all.size());
    std::string exact;
    for (const Row& row : result.rows) {
        if (row[Column::Status] == "unavailable") continue;
        ASSERT_EQ(row[Column::Status], "ok") << row[Column::Kernel] << row[Column::Reason];
        EXPECT_EQ(row[Column::LogitsHash].size(), 16U);
        EXPECT_GT(row.number(Column::TokensPerS).value_or(0), 0);
        const bool decode = row[Column::Phase] == "decode";
        EXPECT_EQ(row[Column::GbPerS].empty(), !decode);
        EXPECT_EQ(row[Column::PctOfCeiling].empty(), !decode);
        EXPECT_EQ(row.number(Column::Batch), decode ? 1 : 7);
        if (row[Column::Exactness] != "exact") {
            EXPECT_EQ(row[Column::Verified], "bounded");
            continue;
        }
        EXPECT_EQ(row[Column::Verified], "bitexact");
        if (exact.empty()) exact = row[Column::LogitsHash];
        EXPECT_EQ(row[Column::LogitsHash], exact) << row[Column::Kernel];
    }
    EXPECT_NE(exact, "");
}

// Its integer sums are exact, but its weights are not the trits: not the logits of the others.
TEST_F(SweepModels, AnExactKernelThatRoundsWeightsIsComparedWithItsOwnLayout) {
    const auto all = cells(match_kernels("i2s_scalar,q8_row_*"));
    const RunResult result = run_cells(all, quiet(), nullptr);
    EXPECT_EQ(result.exit_code(), 0);
    std::set<std::string> rounded, others;
    for (const Row& row : result.rows) {
        if (row[Column::Status] == "unavailable") continue;
        ASSERT_EQ(row[Column::Status], "ok") << row[Column::Kernel] << row[Column::Reason];
        (row[Column::Layout] == "q8_row" ? rounded : others).insert(row[Column::LogitsHash]);
    }
    EXPECT_EQ(rounded.size(), 1U);
    EXPECT_EQ(others.size(), 1U);
    EXPECT_NE(rounded, others);
}

TEST_F(SweepModels, LogitsThatDifferFromAnEarlierRowFail) {
    RunOptions options = quiet();
    options.csv = folder / "r.csv";
    const tb_kernel another = planted("another", real().gemv);
    std::vector<Cell> all = cells({&another, &real()});
    ASSERT_EQ(all.size(), 4U);
    const auto other_decode = std::find_if(all.begin(), all.end(), [&](const Cell& cell) {
        return &cell.kernel() == &another && cell.phase == Phase::Decode;
    });
    ASSERT_NE(other_decode, all.end());
    all.erase(other_decode);
    const auto other = std::find_if(all.begin(), all.end(),
                                    [&](const Cell& cell) { return &cell.kernel() == &another; });
    {
        const auto journal = open_journal(options);
        Row earlier;  // as another exact kernel might have left it, with other logits
        earlier.set(Column::CellKey, cell_key(*other, machine_card().machine_id()));
        earlier.set(Column::Kernel, "another");
        earlier.set(Column::Exactness, "exact");
        earlier.set(Column::Model, "tiny");
        earlier.set(Column::ModelFileBytes, all[0].model.file_bytes);
        earlier.set(Column::LayersDistinct, all[0].layers_distinct());
        earlier.set(Column::LayersRun, all[0].layers_run());
        earlier.set(Column::Phase, "prefill");
        earlier.set(Column::PromptTokens, 7);
        earlier.set(Column::GeneratedTokens, 0);
        earlier.set(Column::DepthTokens, 3);
        earlier.set(Column::HeadType, all[0].model.head_type);
        earlier.set(Column::CacheType, "f16");
        earlier.set(Column::LogitsHash, "0000000000000000");
        earlier.set(Column::Status, "ok");
        journal->append(earlier, {});
    }
    const auto journal = open_journal(options);
    const RunResult result = run_cells(all, options, journal.get());
    EXPECT_EQ(result.exit_code(), 1);
    ASSERT_EQ(result.rows.size(), 3U);
    for (size_t i = 1; i < 3; ++i) {
        EXPECT_EQ(result.rows[i][Column::Status], "failed");
        EXPECT_NE(result.rows[i][Column::Reason].find("of another"), std::string::npos)
            << result.rows[i][Column::Reason];
        expect_not_timed(result.rows[i]);
    }
}

TEST_F(SweepModels, AKernelWrongInsideTheModelFails) {
    const tb_kernel lying = planted("planted_lie", [](const tb_product* p) {
        real().gemv(p);
        if (p->shape.n == 384 && p->shape.k == 128) spoil(p, 300);  // ffn_gate and ffn_up
    });
    const RunResult result = run_cells(cells({&lying, &real()}), quiet(), nullptr);
    EXPECT_EQ(result.exit_code(), 1);
    for (const Row& row : result.rows) {
        const bool wrong = row[Column::Kernel] == "planted_lie" && row[Column::Phase] == "decode";
        EXPECT_EQ(row[Column::Status], wrong ? "failed" : "ok") << row[Column::Reason];
        if (wrong) expect_not_timed(row);
    }
}

TEST(Blocks, AreSplitWhenTheirWeightsExceedHalfTheMemory) {
    tb_kernel other = planted("other_layout", real().gemv);
    other.layout = "other";
    KernelAxes axes;
    axes.kernels = {&real(), find_kernel("int8_scalar"), &other};
    axes.shapes = {{1024, 1024}, {512, 512}};
    axes.caches = {CacheMode::Cold};
    const auto cells = kernel_cells(axes);
    ASSERT_EQ(cells.size(), 6U);
    const Members all = {0, 1, 2, 3, 4, 5};
    const uint64_t llc = 1 << 20;
    const auto roomy = make_blocks(cells, all, uint64_t{1} << 40, llc);
    EXPECT_EQ(roomy, (std::vector<Members>{{0, 1, 2}, {3, 4, 5}}));
    // Three layouts of four caches each, room for two.
    const auto tight = make_blocks(cells, all, 2 * 8 * llc, llc);
    EXPECT_EQ(tight, (std::vector<Members>{{0, 1}, {2}, {3, 4}, {5}}));
}

TEST(Child, MessagesArriveInOrderAndErrorsAreReported) {
    std::vector<int> received;
    const auto outcome = run_in_child(
        [](ChildReporter& reporter) {
            reporter.begin(4, 30);
            for (int i = 0; i < 3000; ++i) reporter.send({{"type", "n"}, {"i", i}});
            throw std::runtime_error("no more");
        },
        [&](const nlohmann::json& message) { received.push_back(message.at("i")); });
    EXPECT_EQ(outcome.end, ChildEnd::Error);
    EXPECT_EQ(outcome.cell, 4);
    EXPECT_EQ(outcome.reason, "no more");
    ASSERT_EQ(received.size(), 3000U);
    EXPECT_TRUE(std::is_sorted(received.begin(), received.end()));
}

TEST(Child, AStepThatShowsLifeIsNotAHang) {
    const auto outcome = run_in_child(
        [](ChildReporter& reporter) {
            reporter.begin(0, 2);
            for (int i = 0; i < 15; ++i) {
                ::usleep(200'000);
                reporter.alive();
            }
        },
        [](const nlohmann::json&) {});
    EXPECT_EQ(outcome.end, ChildEnd::Finished) << outcome.reason;
}

TEST(Child, ASignalIsNamed) {
    const auto outcome = run_in_child(
        [](ChildReporter& reporter) {
            reporter.begin(2, 30);
            ::raise(SIGKILL);
        },
        [](const nlohmann::json&) {});
    EXPECT_EQ(outcome.end, ChildEnd::Crashed);
    EXPECT_EQ(outcome.cell, 2);
    EXPECT_NE(outcome.reason.find("SIGKILL"), std::string::npos);
}

}  // namespace
}  // namespace tritbench
