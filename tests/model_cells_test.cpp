// Complete models: plans, several sequences, prompts with tokens after them, and their columns.
#include "harness/model_cells.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "harness/axes.h"
#include "harness/model_row.h"
#include "harness/model_run.h"
#include "harness/sweep.h"
#include "harness/weight_reader.h"
#include "tests/model_fixture.h"

namespace tritbench {
namespace {

class ModelCells : public testing::Test {
  protected:
    ModelCells() {
        axes.models = {model_file(test::generate(folder, test::small_config()))};
        axes.kernels = {find_kernel("i2s_scalar")};
        axes.repetitions = 2;
        axes.depths = {3};
        axes.spec = "test";
    }
    std::string write_plan(const std::string& text) const {
        const test::fs::path path = folder / "mine.toml";
        std::ofstream(path) << text;
        return path.string();
    }
    RunResult run() const {
        RunOptions options;
        options.name = "test";
        options.show_progress = false;
        options.measure = measure;
        return run_cells(model_cells(axes), options, nullptr);
    }
    test::Folder folder;
    ModelAxes axes;
    MeasureOptions measure;
};

double value(const Row& row, Column column) {
    const auto number = row.number(column);
    EXPECT_TRUE(number) << column_info(column).name << " is '" << row[column] << "'";
    return number.value_or(-1);
}

TEST_F(ModelCells, ReadingsVisitEveryLayerInTurn) {
    ThreadPool pool(2);
    const auto model = test::load(axes.models[0].info.path, test::i2s(), pool);
    ModelTurns turns(*model);
    uint64_t packed = 0;
    for (const auto& linear : model->linears()) packed += linear.weights->bytes.size();
    EXPECT_LE(turns.total_bytes(), packed);
    EXPECT_GT(turns.total_bytes(), packed - 14 * (512 + 64));  // less than a round of each
    MemoryPieces all;
    turns.take(uint64_t{1} << 40, all);  // no more than there is
    ASSERT_EQ(all.size(), model->linears().size());
    uint64_t bytes = 0;
    for (size_t i = 0; i < all.size(); ++i) {
        const auto& weights = model->linears()[i].weights->bytes;
        EXPECT_EQ(reinterpret_cast<uintptr_t>(all[i].data()) % 64, 0U);
        EXPECT_GE(all[i].data(), weights.data());
        EXPECT_LE(all[i].data() + all[i].size(), weights.data() + weights.size());
        bytes += all[i].size();
    }
    EXPECT_EQ(bytes, turns.total_bytes());
    // Three readings of 2 KiB go on where the last ended.
    MemoryPieces parts;
    for (int i = 0; i < 3; ++i) turns.take(2048, parts);
    uint64_t taken = 0;
    for (const auto& part : parts) {
        EXPECT_EQ(part.data(), all[0].data() + taken);
        taken += part.size();
    }
    EXPECT_EQ(taken, 3U * 2048);
}

TEST_F(ModelCells, EveryColumnOfDecodeIsThere) {
    axes.decode = {5};
    const RunResult result = run();
    ASSERT_EQ(result.rows.size(), 1U);
    const Row& row = result.rows[0];
    ASSERT_EQ(row[Column::Status], "ok") << row[Column::Reason];
    EXPECT_EQ(row[Column::Plan], "i2s_scalar");
    EXPECT_EQ(row[Column::Kernel], "i2s_scalar");
    EXPECT_EQ(row[Column::HeadType], "f16");
    EXPECT_EQ(row[Column::CacheType], "f16");
    EXPECT_EQ(row[Column::ModelType].substr(0, 12), "bitnet-b1.58");
    EXPECT_EQ(value(row, Column::GeneratedTokens), 5);
    EXPECT_EQ(value(row, Column::CallsPerRepetition), 5);
    EXPECT_EQ(result.samples[0].size(), 10U);
    EXPECT_LE(value(row, Column::MedianNs), value(row, Column::P95Ns));
    EXPECT_LE(value(row, Column::P95Ns), value(row, Column::P99Ns));
    EXPECT_LE(value(row, Column::P99Ns), value(row, Column::MaxNs));
    EXPECT_GT(value(row, Column::TokensPerSNoHead), value(row, Column::TokensPerS));
    EXPECT_GT(value(row, Column::LoadMs), 0);
    EXPECT_NE(row[Column::PctOfCeiling], "");
    EXPECT_EQ(row[Column::FirstTokenMs], "");
    EXPECT_EQ(row[Column::ProductGmacPerS], "");
    double sum = 0;
    for (const Column role : {Column::RolePrepareNs, Column::RoleProductNs, Column::RoleAttentionNs,
                              Column::RoleHeadNs, Column::RoleOtherNs}) {
        EXPECT_GT(value(row, role), 0) << column_info(role).name;
        sum += value(row, role);
    }
    const double outside = value(row, Column::RolePrepareNs) + value(row, Column::RoleAttentionNs) +
                           value(row, Column::RoleOtherNs);
    EXPECT_NEAR(value(row, Column::PctOutsideProducts), 100 * outside / sum, 0.1);
}

TEST_F(ModelCells, PrefillIsHeldAgainstThePeak) {
    axes.prefill = {6};
    const RunResult result = run();
    const Row& row = result.rows.at(0);
    ASSERT_EQ(row[Column::Status], "ok") << row[Column::Reason];
    EXPECT_GT(value(row, Column::PeakGmacPerS), 0);
    EXPECT_NEAR(value(row, Column::ProductPctOfPeak),
                100 * value(row, Column::ProductGmacPerS) / value(row, Column::PeakGmacPerS), 0.1);
    EXPECT_GT(value(row, Column::ProductGmacPerS), 0);
    EXPECT_GT(value(row, Column::FirstTokenMs), 0);
    EXPECT_EQ(row[Column::P95Ns], "");
    EXPECT_EQ(row[Column::GbPerS], "");
}

// A prompt with tokens after it, any batch, and one cache type: the same logits as all else that
// ends at the same position.
TEST_F(ModelCells, PhasesAndBatchesEndWithTheSameLogits) {
    axes.prefill = {8};
    axes.decode = {8};
    axes.pairs = {{5, 3}};
    axes.prefill_batches = {3, 512};
    axes.sequences = {1, 3};
    axes.cache_types = {CacheType::F16, CacheType::F32};
    const RunResult result = run();
    ASSERT_EQ(result.rows.size(), 2U * (2 + 2 + 2));
    std::map<std::string, std::set<std::string>> hashes;  // of each cache type
    for (const Row& row : result.rows) {
        ASSERT_EQ(row[Column::Status], "ok") << row[Column::Reason];
        hashes[row[Column::CacheType]].insert(row[Column::LogitsHash]);
        EXPECT_EQ(value(row, Column::PromptTokens) + value(row, Column::GeneratedTokens), 8);
        if (row[Column::Phase] != "prefill+decode") continue;
        EXPECT_LT(value(row, Column::FirstTokenMs), value(row, Column::MedianNs) / 1e6);
    }
    EXPECT_EQ(hashes["f16"].size(), 1U);
    EXPECT_EQ(hashes["f32"].size(), 1U);
    EXPECT_NE(hashes["f16"], hashes["f32"]);
}

// Of decode the rounds look at the median step of each repetition.
TEST_F(ModelCells, AControlAndAPrecisionAsOfProducts) {
    axes.decode = {3};
    axes.prefill = {4};
    axes.repetitions = 7;
    measure.precision = 0.5;
    const RunResult result = run();
    ASSERT_EQ(result.rows.size(), 2U);
    for (const Row& row : result.rows) {
        ASSERT_EQ(row[Column::Status], "ok") << row[Column::Reason];
        EXPECT_NE(row[Column::StopReason], "");
        EXPECT_GE(value(row, Column::Repetitions), 7);
        EXPECT_GT(value(row, Column::AaRatioLo), 0);
        EXPECT_GE(value(row, Column::AaLimitPct), 0);
        EXPECT_GE(value(row, Column::Ci95Pct), 0);
    }
    for (size_t i = 0; i < 2; ++i) {
        const Row& row = result.rows[i];
        EXPECT_EQ(static_cast<double>(result.samples[i].size()),
                  value(row, Column::Repetitions) * value(row, Column::CallsPerRepetition));
    }
    measure.control = false;
    EXPECT_EQ(run().rows.at(0)[Column::AaLimitPct], "");
}

TEST_F(ModelCells, SequencesShareTheBytesOfTheWeights) {
    axes.decode = {4};
    axes.sequences = {1, 4};
    const RunResult result = run();
    ASSERT_EQ(result.rows.size(), 2U);
    const Row &one = result.rows[0], &four = result.rows[1];
    ASSERT_EQ(four[Column::Status], "ok") << four[Column::Reason];
    EXPECT_EQ(value(four, Column::Sequences), 4);
    EXPECT_EQ(value(four, Column::Batch), 4);
    const double weights = (value(one, Column::Bytes) - value(four, Column::Bytes)) * 4 / 3;
    const double cache = value(one, Column::Bytes) - weights;
    EXPECT_GT(cache, 0);
    EXPECT_NEAR(value(four, Column::FootprintBytes), weights + 4 * cache, 4);
    EXPECT_NEAR(value(four, Column::TokensPerS), 4e9 / value(four, Column::MedianNs), 0.01);
    EXPECT_NEAR(value(four, Column::GbPerS),
                4 * value(four, Column::Bytes) / value(four, Column::MedianNs), 0.002);
}

// Each sequence's logits are those of its tokens alone: in the session itself.
TEST_F(ModelCells, SequencesDecodedTogetherAreThoseDecodedAlone) {
    axes.decode = {4};
    axes.sequences = {3};
    const Cell cell = model_cells(axes).front();
    ThreadPool pool(1, {}, false);
    const auto file = std::make_shared<const GgufFile>(cell.model.path);
    const auto model = Model::load(file, *cell.plan, pool);
    SessionSize size;
    include(size, cell);
    EXPECT_EQ(size.sequences, 3);
    EXPECT_EQ(size.context, 7);
    ModelRun run(model, cell.plan, pool, size, 1);
    const RepetitionEnd end = run.repeat(cell);
    EXPECT_EQ(end.problem, "");
    EXPECT_NE(end.hash, end.all_hash);
    EXPECT_EQ(run.prove_sequences(cell, [] {}), "");
    EXPECT_EQ(run.repeat(cell).all_hash, end.all_hash);
    // After another repetition that the proof was not told of, it must fail.
    Cell shorter = cell;
    shorter.generated = 3;
    run.repeat(shorter);
    EXPECT_EQ(run.prove_sequences(cell, [] {}),
              "sequence 0: its logits differ from those of its tokens alone");
}

constexpr const char* kMixedPlan = R"(version = 1
[[layer]]
role = "ffn_down"
layout = "int8"
  [[layer.call]]
  kernel = "int8_scalar"
[[layer]]
layout = "i2s"
  [[layer.call]]
  kernel = "i2s_scalar"
)";

TEST_F(ModelCells, APlanOfTwoLayoutsIsProvedAndNamed) {
    axes.decode = {4};
    axes.plans = {write_plan(kMixedPlan), "stored"};
    const RunResult result = run();
    ASSERT_EQ(result.rows.size(), 3U);
    const Row& mixed = result.rows[1];
    for (const Row& row : result.rows) {
        ASSERT_EQ(row[Column::Status], "ok") << row[Column::Reason];
        EXPECT_EQ(row[Column::LogitsHash], mixed[Column::LogitsHash]);
    }
    EXPECT_EQ(mixed[Column::Plan], "mine");
    EXPECT_EQ(mixed[Column::Kernel], "mixed");
    EXPECT_EQ(mixed[Column::Layout], "mixed");
    EXPECT_EQ(mixed[Column::Tile], "");
    EXPECT_EQ(mixed[Column::Exactness], "exact");
    const double bits = value(mixed, Column::BitsPerWeight);
    EXPECT_GT(bits, value(result.rows[0], Column::BitsPerWeight));
    EXPECT_LT(bits, 8);
    EXPECT_GT(value(mixed, Column::Bytes), value(result.rows[0], Column::Bytes));
    EXPECT_EQ(result.rows[2][Column::Plan], "stored");
}

TEST_F(ModelCells, TheCeilingIsOfTheMemoryThatTheWeightsAreIn) {
    axes.decode = {4};
    axes.kernels = {find_kernel("i2s_scalar"), find_kernel("int8_scalar")};
    const RunResult result = run();
    ASSERT_EQ(result.rows.size(), 2U);
    for (const Row& row : result.rows) {
        ASSERT_EQ(row[Column::Status], "ok") << row[Column::Reason];
        // The file holds them as i2s.
        const bool mapped = row[Column::Kernel] == "i2s_scalar";
        EXPECT_TRUE(row[Column::CeilingProbe].ends_with(mapped ? "own weights, mapped"
                                                               : "own weights, huge pages"))
            << row[Column::Kernel] << ": " << row[Column::CeilingProbe];
    }
}

TEST_F(ModelCells, APlanThatLeavesALayerOutIsUnavailable) {
    axes.decode = {4};
    axes.kernels.clear();
    axes.plans = {
        write_plan("version = 1\n[[layer]]\nrole = \"ffn_up\"\n  [[layer.call]]\n"
                   "  kernel = \"i2s_scalar\"\n")};
    const RunResult result = run();
    ASSERT_EQ(result.rows.size(), 1U);
    EXPECT_EQ(result.rows[0][Column::Status], "unavailable");
    EXPECT_EQ(result.rows[0][Column::Reason], "plan mine has no layer for attn_q (160x160)");
}

// Calls by batch: decode and prefill of one plan run with kernels of their own.
TEST_F(ModelCells, TheKernelIsThatOfTheTimedBatch) {
    axes.decode = {4};
    axes.prefill = {8, 300};
    axes.prefill_batches = {200};
    axes.depths = {0};
    axes.kernels.clear();
    axes.plans = {
        write_plan("version = 1\n[[layer]]\n  [[layer.call]]\n  batch = 100\n"
                   "  kernel = \"i2s_scalar\"\n  [[layer.call]]\n"
                   "  kernel = \"i2s_avx2\"\n")};
    axes.models[0].config.context = 512;
    for (const Cell& cell : model_cells(axes)) {
        const std::string expected = cell.prompt == 300 ? "mixed" : "i2s_scalar";
        EXPECT_EQ(kernel_text(cell), expected) << cell_label(cell);
        EXPECT_EQ(cell.kernels.size(), 2U);
    }
}

TEST(ModelRow, FiguresFollowFromTimes) {
    Cell cell;
    cell.level = Level::EndToEnd;
    cell.phase = Phase::Prefill;
    cell.prompt = 10;
    cell.linear_macs = 8e6;
    cell.work_macs = 9e6;
    ModelMeasurement measured;
    measured.samples_ns = {2e6, 1e6, 3e6};
    measured.first_token_ns = measured.samples_ns;
    measured.roles = {5000, 160000, 15000, 10000, 10000};
    std::set<std::string> marks;
    Row row;
    set_model_times(row, cell, measured, marks);
    row.set(Column::PeakGmacPerS, 20.0, 1);
    set_product_peak(row);
    EXPECT_EQ(row[Column::TokensPerS], "5000.000");
    EXPECT_EQ(row[Column::TokensPerSNoHead], "5263.158");  // 5% in the head
    EXPECT_EQ(row[Column::GmacPerS], "4.500");
    EXPECT_EQ(row[Column::ProductGmacPerS], "5.000");  // 8e6 in 80% of 2 ms
    EXPECT_EQ(row[Column::ProductPctOfPeak], "25.0");
    EXPECT_EQ(row[Column::PctOutsideProducts], "15.00");
    EXPECT_EQ(row[Column::FirstTokenMs], "2.000");
    EXPECT_EQ(row[Column::MaxNs], "3000000.0");
}

}  // namespace
}  // namespace tritbench
