#include "harness/report.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>

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

std::string kernel_table(const std::vector<Row>& rows) {
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
    return text_table(table);
}

std::string model_table(const std::vector<Row>& rows) {
    std::vector<std::vector<std::string>> table = {{"model", "kernel", "bits/w", "threads", "test",
                                                    "tokens/s", "median", "GB/s", "of ceiling",
                                                    "proof"}};
    for (const Row& row : rows) {
        const bool decode = row[Column::Phase] == "decode";
        std::string test =
            fmt::format("{}{}", decode ? "tg" : "pp",
                        decode ? row[Column::CallsPerRepetition] : row[Column::Batch]);
        if (row[Column::DepthTokens] != "0") test += " @ d" + row[Column::DepthTokens];
        table.push_back({row[Column::Model], row[Column::Kernel],
                         rounded(row, Column::BitsPerWeight, 2), row[Column::Threads], test,
                         rounded(row, Column::TokensPerS, 2), time_text(row, Column::MedianNs),
                         rounded(row, Column::GbPerS, 2), percent(row), state(row)});
    }
    return text_table(table, true);
}

std::string format_rows(const std::vector<Row>& rows, std::string_view format) {
    std::string out;
    if (format == "csv") {
        out = csv_header();
        for (const Row& row : rows) out += csv_line(row);
    } else if (format == "jsonl") {
        for (const Row& row : rows) out += json_object(row) + '\n';
    } else if (format == "json") {
        for (const Row& row : rows) out += (out.empty() ? "[\n" : ",\n") + json_object(row);
        out = out.empty() ? "[]\n" : out + "\n]\n";
    } else if (format == "md") {
        const bool kernels = !rows.empty() && rows.front()[Column::Level] == "kernel";
        out = kernels ? kernel_table(rows) : model_table(rows);
    } else {
        throw Error(
            fmt::format("output '{}' is not known; expected csv, json, jsonl or md", format));
    }
    return out;
}

}  // namespace tritbench
