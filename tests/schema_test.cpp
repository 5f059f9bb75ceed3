#include "harness/schema.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>

#include "harness/block.h"
#include "harness/llama_bench.h"
#include "harness/report.h"

namespace tritbench {
namespace {

TEST(Schema, NamesAreUniqueSnakeCaseAndFound) {
    std::set<std::string_view> names;
    for (const ColumnInfo& column : schema_columns()) {
        EXPECT_TRUE(names.insert(column.name).second) << column.name;
        EXPECT_EQ(column.name.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789_"),
                  std::string_view::npos)
            << column.name;
        EXPECT_FALSE(column.meaning.empty()) << column.name;
        EXPECT_GE(column.since, 1);
        EXPECT_LE(column.since, kSchemaVersion);
        ASSERT_TRUE(find_column(column.name));
        EXPECT_EQ(column_info(*find_column(column.name)).name, column.name);
    }
    EXPECT_EQ(names.size(), static_cast<size_t>(kColumnCount));
    EXPECT_FALSE(find_column("no_such_column"));
}

// The enumeration and the table are kept in step by their order: probe both ends and the middle.
TEST(Schema, EnumerationMatchesTheTable) {
    EXPECT_EQ(column_info(Column::SchemaVersion).name, "schema_version");
    EXPECT_EQ(column_info(Column::BitsPerWeight).name, "bits_per_weight");
    EXPECT_EQ(column_info(Column::Threads).name, "threads");
    EXPECT_EQ(column_info(Column::MedianNs).name, "median_ns");
    EXPECT_EQ(column_info(Column::GbPerS).name, "gb_per_s");
    EXPECT_EQ(column_info(Column::PctOfCeiling).name, "pct_of_ceiling");
    EXPECT_EQ(column_info(Column::LogitsHash).name, "logits_hash");
    EXPECT_EQ(column_info(Column::Reason).name, "reason");
}

TEST(Schema, DocumentListsExactlyTheseColumns) {
    std::ifstream file(TRITBENCH_SOURCE_DIR "/results/SCHEMA.md");
    ASSERT_TRUE(file) << "results/SCHEMA.md";
    std::vector<std::string> documented;
    bool inside = false;
    for (std::string line; std::getline(file, line);) {
        if (line.starts_with("## ")) inside = line == "## Columns";
        if (inside && line.starts_with("| `")) documented.push_back(line);
    }
    std::vector<std::string> expected;
    for (const ColumnInfo& c : schema_columns()) {
        expected.push_back(
            fmt::format("| `{}` | {} | {} | {} |", c.name, c.unit, c.meaning, c.since));
    }
    EXPECT_EQ(documented, expected);
}

TEST(Schema, CsvLineSurvivesARoundTrip) {
    Row row;
    row.set(Column::Cpu, "Xeon \"Gold\", 2 cores");
    row.set(Column::Reason, "first line\nsecond\tline");
    row.set(Column::MedianNs, 12.25, 1);
    row.set(Column::Threads, 2);
    const std::string line = csv_line(row);
    EXPECT_EQ(line.back(), '\n');
    EXPECT_EQ(line.find('\n'), line.size() - 1);
    const auto back = parse_csv_line(std::string_view(line).substr(0, line.size() - 1));
    ASSERT_TRUE(back);
    EXPECT_EQ((*back)[Column::Cpu], "Xeon \"Gold\", 2 cores");
    EXPECT_EQ((*back)[Column::Reason], "first line second line");
    EXPECT_EQ(back->number(Column::MedianNs), 12.2);
    EXPECT_EQ(back->number(Column::Threads), 2);
    EXPECT_EQ((*back)[Column::Kernel], "");
}

TEST(Schema, WrongFieldCountsAndQuotesAreRefused) {
    Row row;
    std::string line = csv_line(row);
    line.pop_back();
    EXPECT_TRUE(parse_csv_line(line));
    EXPECT_FALSE(parse_csv_line(line + ","));
    EXPECT_FALSE(parse_csv_line(line.substr(1)));
    EXPECT_FALSE(parse_csv_line("\"" + line));
}

TEST(Schema, UnknownIsEmptyNeverZero) {
    Row row;
    row.set(Column::GbPerS, std::nan(""), 3);
    EXPECT_EQ(row[Column::GbPerS], "");
    row.set(Column::GbPerS, INFINITY, 3);
    EXPECT_EQ(row[Column::GbPerS], "");
    EXPECT_FALSE(row.number(Column::GbPerS));
    EXPECT_EQ(json_object(row), "{}");
}

TEST(Schema, JsonKeepsHashesAsText) {
    Row row;
    row.set(Column::CellKey, "1234567890123456");
    row.set(Column::LogitsHash, "12e4567890123456");
    row.set(Column::Threads, 4);
    row.set(Column::MedianNs, 1.5, 1);
    const auto object = nlohmann::json::parse(json_object(row));
    EXPECT_TRUE(object["cell_key"].is_string());
    EXPECT_TRUE(object["logits_hash"].is_string());
    EXPECT_EQ(object["threads"], 4);
    EXPECT_EQ(object["median_ns"], 1.5);
}

TEST(Report, FormatsAreWhatTheirNamesSay) {
    Row row;
    row.set(Column::Level, "e2e");
    row.set(Column::Model, "tiny");
    row.set(Column::Kernel, "i2s_scalar");
    row.set(Column::Phase, "prefill");
    row.set(Column::PromptTokens, 8);
    row.set(Column::GeneratedTokens, 0);
    row.set(Column::DepthTokens, 0);
    row.set(Column::TokensPerS, 12.5, 3);
    row.set(Column::Status, "ok");
    row.set(Column::Verified, "bitexact");
    const std::vector<Row> rows = {row, row};
    EXPECT_EQ(nlohmann::json::parse(format_rows(rows, "json")).size(), 2U);
    EXPECT_EQ(nlohmann::json::parse(format_rows({}, "json")).size(), 0U);
    EXPECT_EQ(format_rows(rows, "csv"), csv_header() + csv_line(row) + csv_line(row));
    EXPECT_EQ(format_rows({row}, "jsonl"), llama_bench_object(row, {}) + "\n");
    Row product = row;
    product.set(Column::Level, "kernel");
    EXPECT_EQ(format_rows({product}, "jsonl"), json_object(product) + "\n");
    const std::string md = format_rows(rows, "md");
    EXPECT_NE(md.find("| tiny "), std::string::npos) << md;
    EXPECT_NE(md.find("pp8"), std::string::npos) << md;
    EXPECT_NE(md.find("12.50"), std::string::npos) << md;
    EXPECT_THROW(format_rows(rows, "xml"), std::exception);
}

// A row with something in every column, and samples.
Row full_row(const char* level) {
    Row row;
    for (int i = 0; i < kColumnCount; ++i) row.set(static_cast<Column>(i), 1000 + i);
    row.set(Column::Level, level);
    row.set(Column::CallsPerRepetition, 1);
    return row;
}

std::set<std::string> keys_of(const nlohmann::json& object) {
    std::set<std::string> keys;
    for (const auto& [key, value] : object.items()) keys.insert(key);
    return keys;
}

// What SCHEMA.md lists (DocumentListsExactlyTheseColumns) is what every format writes, each column
// with its own value.
TEST(Report, EveryFormatWritesEveryColumn) {
    const std::vector<std::vector<double>> samples = {{100, 200}, {100, 200}};
    std::set<std::string> columns;
    for (const ColumnInfo& c : schema_columns()) columns.insert(std::string(c.name));
    const std::vector<Row> rows = {full_row("kernel"), full_row("e2e")};

    const std::string csv = format_rows(rows, "csv");
    const std::string header = csv.substr(0, csv.find('\n'));
    const auto named = parse_csv_line(header);
    const auto first = parse_csv_line(csv.substr(header.size() + 1, csv_line(rows[0]).size() - 1));
    ASSERT_TRUE(named && first);
    for (int i = 0; i < kColumnCount; ++i) {
        const auto column = static_cast<Column>(i);
        EXPECT_EQ((*named)[column], column_info(column).name);
        EXPECT_EQ((*first)[column], rows[0][column]) << column_info(column).name;
    }

    const auto list = nlohmann::json::parse(format_rows(rows, "json", samples));
    std::vector<nlohmann::json> lines;
    std::istringstream text(format_rows(rows, "jsonl", samples));
    for (std::string line; std::getline(text, line);) lines.push_back(nlohmann::json::parse(line));
    ASSERT_EQ(list.size(), 2U);
    ASSERT_EQ(lines.size(), 2U);
    std::set<std::string> with_fields = columns;
    for (const std::string& field : llama_bench_fields()) {
        // Those that say nothing of the row are in the format llama-bench alone.
        if (list[1].contains(field)) with_fields.insert(field);
    }
    EXPECT_GE(with_fields.size(), columns.size() + 18);
    for (size_t i = 0; i < 2; ++i) {
        EXPECT_EQ(list[i], lines[i]);
        EXPECT_EQ(keys_of(list[i]), i == 0 ? columns : with_fields);
        for (int c = 0; c < kColumnCount; ++c) {
            const auto column = static_cast<Column>(c);
            const auto& value = list[i][std::string(column_info(column).name)];
            const std::string written = value.is_string() ? value.get<std::string>() : value.dump();
            EXPECT_EQ(written, rows[i][column]) << column_info(column).name;
        }
    }
}

TEST(Report, LlamaBenchHasItsFieldsAloneAndModelsAlone) {
    const std::vector<std::vector<double>> samples = {{100, 200}, {100, 200}, {}};
    const std::vector<Row> rows = {full_row("kernel"), full_row("e2e"), full_row("e2e")};
    const auto list = nlohmann::ordered_json::parse(format_rows(rows, "llama-bench", samples));
    ASSERT_EQ(list.size(), 1U);  // no product, and no row without a time
    std::vector<std::string> keys;
    for (const auto& [key, value] : list[0].items()) keys.push_back(key);
    EXPECT_EQ(keys, llama_bench_fields());
    EXPECT_EQ(list[0]["backends"], "tritbench " + rows[1][Column::Plan]);
    EXPECT_EQ(list[0]["n_threads"].dump(), rows[1][Column::Threads]);
    EXPECT_EQ(format_rows({}, "llama-bench"), "[]\n");
    // SCHEMA.md names each of them.
    std::ifstream file(TRITBENCH_SOURCE_DIR "/results/SCHEMA.md");
    std::stringstream document;
    document << file.rdbuf();
    const std::string text = document.str();
    const std::string part = text.substr(text.find("Fields of llama-bench"));
    for (const std::string& field : llama_bench_fields()) {
        EXPECT_NE(part.find("`" + field + "`"), std::string::npos) << field;
    }
}

TEST(Report, MarkdownHasATableOfEachLevel) {
    const std::string both = format_rows({full_row("kernel"), full_row("e2e")}, "md");
    const std::string product = format_rows({full_row("kernel")}, "md");
    const std::string model = format_rows({full_row("e2e")}, "md");
    EXPECT_EQ(both, model + "\n" + product);
    for (const std::string& table : {product, model}) {
        std::istringstream lines(table);
        for (std::string line; std::getline(lines, line);) {
            EXPECT_TRUE(line.starts_with("| ") || line.starts_with("|-")) << line;
        }
    }
}

TEST(Report, TestsAreNamedAsInLlamaBench) {
    Row row;
    row.set(Column::PromptTokens, 128);
    row.set(Column::GeneratedTokens, 0);
    row.set(Column::DepthTokens, 0);
    row.set(Column::Sequences, 1);
    row.set(Column::PrefillBatch, 512);
    row.set(Column::CacheType, "f16");
    EXPECT_EQ(test_text(row), "pp128");
    row.set(Column::PrefillBatch, 64);
    row.set(Column::GeneratedTokens, 32);
    EXPECT_EQ(test_text(row), "pp128+tg32 b64");
    row.set(Column::PromptTokens, 0);
    row.set(Column::DepthTokens, 2048);
    row.set(Column::Sequences, 8);
    row.set(Column::CacheType, "f32");
    EXPECT_EQ(test_text(row), "tg32 @ d2048 x8 kv f32");
}

TEST(Report, TheTableNamesPlanHeadAndLimits) {
    Row decode;
    decode.set(Column::Level, "e2e");
    decode.set(Column::Model, "tiny");
    decode.set(Column::Plan, "default");
    decode.set(Column::Kernel, "mixed");
    decode.set(Column::HeadType, "q6_k");
    decode.set(Column::Phase, "decode");
    decode.set(Column::GeneratedTokens, 4);
    decode.set(Column::P95Ns, 2.5e6, 1);
    decode.set(Column::PctOfCeiling, 91.2, 1);
    decode.set(Column::PctOutsideProducts, 6.04, 2);
    decode.set(Column::Status, "ok");
    decode.set(Column::Verified, "bitexact");
    Row prefill = decode;
    prefill.set(Column::Plan, "i2s_avx2");
    prefill.set(Column::Kernel, "i2s_avx2");
    prefill.set(Column::Phase, "prefill");
    prefill.clear(Column::PctOfCeiling);
    prefill.set(Column::ProductPctOfPeak, 74.4, 1);
    const std::string table = model_table({decode, prefill});
    for (const char* part : {"default (mixed)", "q6_k", "2.50 ms", " 91% ", " 6.0 ", "bitexact",
                             "| i2s_avx2 ", "74% peak"}) {
        EXPECT_NE(table.find(part), std::string::npos) << part << "\n" << table;
    }
}

TEST(Report, WideIntervalIsMarked) {
    Row row;
    std::set<std::string> marks;
    set_times(row, std::vector<double>{100, 101, 99, 100, 102, 98}, marks);
    EXPECT_TRUE(marks.empty());
    EXPECT_EQ(row[Column::MedianNs], "100.0");
    EXPECT_EQ(row[Column::Ci95LoNs], "98.0");
    EXPECT_EQ(row[Column::MaxNs], "102.0");
    set_times(row, std::vector<double>{100, 150, 99, 100, 102, 98}, marks);
    EXPECT_EQ(marks, (std::set<std::string>{"wide_interval"}));
}

}  // namespace
}  // namespace tritbench
