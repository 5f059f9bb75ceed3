#include "harness/report.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>

#include "harness/cell.h"
#include "harness/llama_bench.h"
#include "kernels/api/error.h"

namespace tritbench {
namespace {

bool looks_like_number(const std::string& text) {
    return !text.empty() && (std::isdigit(static_cast<unsigned char>(text.front())) != 0);
}

// A field rounded to `decimals`; "" when unknown.
std::string rounded(const Row& row, Column column, int decimals) {
    const auto value = row.number(column);
    return value ? fmt::format("{:.{}f}", *value, decimals) : "";
}

std::string state(const Row& row) {
    if (row[Column::Status] == "ok") return row[Column::Verified];
    return fmt::format("{}: {}", row[Column::Status], row[Column::Reason]);
}

// What limits a model: of decode the read bandwidth, of prefill the int8 peak, held against the
// products of the linear layers alone.
std::string limit_text(const Row& row) {
    const bool prefill = row[Column::Phase] == phase_name(Phase::Prefill);
    const std::string number =
        rounded(row, prefill ? Column::ProductPctOfPeak : Column::PctOfCeiling, 0);
    if (number.empty()) return "";
    return number + (prefill ? "% peak" : "%");
}

std::string percent(const Row& row) {
    const std::string number = rounded(row, Column::PctOfCeiling, 0);
    return number.empty() ? "" : number + "%";
}

}  // namespace

std::string text_table(const std::vector<std::vector<std::string>>& rows, bool markdown) {
    std::vector<size_t> widths;
    for (const auto& row : rows) {
        widths.resize(std::max(widths.size(), row.size()), markdown ? 3 : 0);
        for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
    }
    std::string out;
    for (size_t r = 0; r < rows.size(); ++r) {
        std::string line = markdown ? "|" : "";
        for (size_t i = 0; i < rows[r].size(); ++i) {
            const std::string& field = rows[r][i];
            const std::string cell = looks_like_number(field)
                                         ? fmt::format("{:>{}}", field, widths[i])
                                         : fmt::format("{:<{}}", field, widths[i]);
            line += markdown ? fmt::format(" {} |", cell) : fmt::format("{}  ", cell);
        }
        while (!line.empty() && line.back() == ' ') line.pop_back();
        out += line + '\n';
        if (r > 0 || !markdown) continue;
        out += "|";
        for (const size_t width : widths) out += fmt::format(" {:-<{}} |", "", width);
        out += '\n';
    }
    return out;
}

std::string time_text(const Row& row, Column column) {
    const auto ns = row.number(column);
    if (!ns) return "";
    if (*ns < 1e3) return fmt::format("{:.0f} ns", *ns);
    if (*ns < 1e6) return fmt::format("{:.2f} us", *ns / 1e3);
    if (*ns < 1e9) return fmt::format("{:.2f} ms", *ns / 1e6);
    return fmt::format("{:.2f} s", *ns / 1e9);
}

std::string kernel_table(const std::vector<Row>& rows, bool markdown) {
    std::vector<std::vector<std::string>> table = {{"kernel", "NxK", "batch", "threads", "cache",
                                                    "median", "mad", "prepare", "GMAC/s", "GB/s",
                                                    "of ceiling", "proof"}};
    for (const Row& row : rows) {
        const std::string& zeros = row[Column::ActivationZeros];
        table.push_back({row[Column::Kernel],
                         fmt::format("{}x{}{}", row[Column::N], row[Column::K],
                                     zeros.empty() ? "" : ", zeros " + zeros),
                         row[Column::Batch], row[Column::Threads], row[Column::CacheMode],
                         time_text(row, Column::MedianNs), time_text(row, Column::MadNs),
                         time_text(row, Column::PrepareMedianNs), rounded(row, Column::GmacPerS, 2),
                         rounded(row, Column::GbPerS, 2), percent(row), state(row)});
    }
    return text_table(table, markdown);
}

std::string test_text(const Row& row) {
    const double usual_batch = static_cast<double>(kPrefillBatch);
    const bool prompt = row.number(Column::PromptTokens).value_or(0) > 0;
    const bool generated = row.number(Column::GeneratedTokens).value_or(0) > 0;
    std::string text;
    if (prompt) text += "pp" + row[Column::PromptTokens];
    if (prompt && generated) text += "+";
    if (generated) text += "tg" + row[Column::GeneratedTokens];
    if (row.number(Column::DepthTokens).value_or(0) > 0) text += " @ d" + row[Column::DepthTokens];
    if (row.number(Column::Sequences).value_or(1) > 1) text += " x" + row[Column::Sequences];
    if (prompt && row.number(Column::PrefillBatch).value_or(usual_batch) != usual_batch) {
        text += " b" + row[Column::PrefillBatch];
    }
    if (row[Column::CacheType] == cache_type_name(CacheType::F32)) text += " kv f32";
    return text;
}

std::string model_table(const std::vector<Row>& rows) {
    std::vector<std::vector<std::string>> table = {{"model", "plan or kernel", "head", "threads",
                                                    "test", "tokens/s", "median", "p95", "GB/s",
                                                    "% of ceiling", "% outside products", "proof"}};
    for (const Row& row : rows) {
        const bool own_plan =
            row[Column::Plan] != row[Column::Kernel] && !row[Column::Plan].empty();
        table.push_back({row[Column::Model],
                         own_plan ? fmt::format("{} ({})", row[Column::Plan], row[Column::Kernel])
                                  : row[Column::Kernel],
                         row[Column::HeadType], row[Column::Threads], test_text(row),
                         rounded(row, Column::TokensPerS, 2), time_text(row, Column::MedianNs),
                         time_text(row, Column::P95Ns), rounded(row, Column::GbPerS, 2),
                         limit_text(row), rounded(row, Column::PctOutsideProducts, 1), state(row)});
    }
    return text_table(table, true);
}

const std::vector<std::string>& row_formats() {
    static const std::vector<std::string> names = {"csv", "json", "jsonl", "md", "llama-bench"};
    return names;
}

namespace {

bool is_model_row(const Row& row) {
    return row[Column::Level] == level_name(Level::EndToEnd);
}

std::string list_of(const std::vector<std::string>& objects) {
    if (objects.empty()) return "[]\n";
    return fmt::format("[\n{}\n]\n", fmt::join(objects, ",\n"));
}

// A table of each level, models first.
std::string markdown_of(const std::vector<Row>& rows) {
    std::vector<Row> models, products;
    for (const Row& row : rows) (is_model_row(row) ? models : products).push_back(row);
    if (products.empty()) return model_table(models);
    const std::string table = kernel_table(products, true);
    return models.empty() ? table : model_table(models) + "\n" + table;
}

}  // namespace

std::string format_rows(const std::vector<Row>& rows, std::string_view format,
                        const std::vector<std::vector<double>>& samples) {
    if (format == "md") return markdown_of(rows);
    if (format == "csv") {
        std::string out = csv_header();
        for (const Row& row : rows) out += csv_line(row);
        return out;
    }
    const std::vector<double> none;
    std::vector<std::string> objects;
    for (size_t i = 0; i < rows.size(); ++i) {
        const auto& of_row = i < samples.size() ? samples[i] : none;
        if (format == "llama-bench") {
            // It has no rows that were not measured, and none of single products.
            if (is_model_row(rows[i]) && !of_row.empty()) {
                objects.push_back(llama_bench_row(rows[i], of_row));
            }
        } else {
            objects.push_back(is_model_row(rows[i]) ? llama_bench_object(rows[i], of_row)
                                                    : json_object(rows[i]));
        }
    }
    if (format == "json" || format == "llama-bench") return list_of(objects);
    if (format == "jsonl") {
        return objects.empty() ? "" : fmt::format("{}\n", fmt::join(objects, "\n"));
    }
    throw Error(fmt::format("output '{}' is not known; expected one of {}", format,
                            fmt::join(row_formats(), ", ")));
}

}  // namespace tritbench
