#include "harness/cli/row_format.h"

#include <fmt/format.h>

#include <algorithm>

#include "harness/report.h"
#include "kernels/api/error.h"
#include "model/printable.h"

namespace tritbench::cli {

CLI::Option* add_format_flag(CLI::App& command, const std::string& names, std::string& format) {
    return command
        .add_option(names, format,
                    "Rows on standard output as csv, json (a list), jsonl, md, or llama-bench: a "
                    "list\nin the fields of llama-bench alone; json and jsonl of models have them "
                    "too")
        ->check([](const std::string& word) -> std::string {
            const auto& known = row_formats();
            if (std::find(known.begin(), known.end(), word) != known.end()) return "";
            return fmt::format("'{}' is not an output format; expected one of {}",
                               printable(word, 40), fmt::join(known, ", "));
        });
}

void check_row_format(const std::string& format, const std::vector<Cell>& cells) {
    if (format != "llama-bench") return;
    const bool products = std::any_of(cells.begin(), cells.end(),
                                      [](const Cell& c) { return c.level == Level::Kernel; });
    if (!products) return;
    throw Error(
        "--format llama-bench: llama-bench has no fields for single products; use csv, json, jsonl "
        "or md, or leave out the kernel cells");
}

void print_rows(const RunResult& result, const std::string& format) {
    if (!format.empty()) fmt::print("{}", format_rows(result.rows, format, result.samples));
}

}  // namespace tritbench::cli
