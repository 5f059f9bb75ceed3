// The fields of llama-bench in our JSON, worked out by hand.
#include "harness/llama_bench.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace tritbench {
namespace {

Row decode_row() {
    Row row;
    row.set(Column::GitRevision, "0123456789");
    row.set(Column::Cpu, "Some CPU");
    row.set(Column::Utc, "2026-01-31T12:00:00Z");
    row.set(Column::ModelFile, "models/tiny.gguf");
    row.set(Column::ModelType, "bitnet-b1.58 125M i2_s");
    row.set(Column::ModelTensorBytes, 1000);
    row.set(Column::ModelParameters, 4000);
    row.set(Column::Threads, 2);
    row.set(Column::PrefillBatch, 512);
    row.set(Column::CacheType, "f16");
    row.set(Column::PromptTokens, 0);
    row.set(Column::GeneratedTokens, 2);
    row.set(Column::DepthTokens, 64);
    row.set(Column::Sequences, 4);
    row.set(Column::CallsPerRepetition, 2);
    row.set(Column::Kernel, "i2s_avx2");
    return row;
}

TEST(LlamaBench, FieldsHaveItsNamesAndUnits) {
    // Three repetitions of two steps: 400, 500 and 600 ns for 8 tokens.
    const std::vector<double> samples = {100, 300, 200, 300, 300, 300};
    const auto o = nlohmann::json::parse(llama_bench_object(decode_row(), samples));
    EXPECT_EQ(o["build_commit"], "0123456789");
    EXPECT_EQ(o["cpu_info"], "Some CPU");
    EXPECT_EQ(o["model_filename"], "models/tiny.gguf");
    EXPECT_EQ(o["model_type"], "bitnet-b1.58 125M i2_s");
    EXPECT_EQ(o["model_size"], 1000);
    EXPECT_EQ(o["model_n_params"], 4000);
    EXPECT_EQ(o["n_batch"], 512);
    EXPECT_EQ(o["n_threads"], 2);
    EXPECT_EQ(o["type_k"], "f16");
    EXPECT_EQ(o["type_v"], "f16");
    EXPECT_EQ(o["n_prompt"], 0);
    EXPECT_EQ(o["n_gen"], 2);
    EXPECT_EQ(o["n_depth"], 64);
    EXPECT_EQ(o["test_time"], "2026-01-31T12:00:00Z");
    EXPECT_EQ(o["samples_ns"], (std::vector<int64_t>{400, 500, 600}));
    EXPECT_EQ(o["avg_ns"], 500);
    EXPECT_EQ(o["stddev_ns"], 100);
    const double a = 8e9 / 400, b = 8e9 / 500, c = 8e9 / 600;
    EXPECT_EQ(o["samples_ts"], (std::vector<double>{a, b, c}));
    EXPECT_DOUBLE_EQ(o["avg_ts"], (a + b + c) / 3);
    EXPECT_GT(o["stddev_ts"], 0);
    // And our own columns.
    EXPECT_EQ(o["kernel"], "i2s_avx2");
    EXPECT_EQ(o["sequences"], 4);
}

TEST(LlamaBench, PromptsAndPairsCountAllTheirTokens) {
    Row row = decode_row();
    row.set(Column::PromptTokens, 8);
    row.set(Column::Sequences, 1);
    row.set(Column::CallsPerRepetition, 1);
    const auto o = nlohmann::json::parse(llama_bench_object(row, std::vector<double>{1000}));
    EXPECT_EQ(o["samples_ts"], (std::vector<double>{10 * 1e6}));
    EXPECT_EQ(o["stddev_ns"], 0);
}

TEST(LlamaBench, WhatWasNotMeasuredIsAbsent) {
    const auto o = nlohmann::json::parse(llama_bench_object(decode_row(), {}));
    EXPECT_FALSE(o.contains("avg_ns"));
    EXPECT_FALSE(o.contains("samples_ns"));
    EXPECT_FALSE(nlohmann::json::parse(llama_bench_object({}, {})).contains("n_threads"));
}

}  // namespace
}  // namespace tritbench
