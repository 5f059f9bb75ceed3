#include "harness/result_file.h"

#include <fmt/format.h>

#include "harness/durable_file.h"
#include "kernels/api/error.h"

namespace tritbench {

ResultRows parse_result_rows(const std::filesystem::path& path, const std::string& text) {
    ResultRows result;
    result.good_bytes = csv_header().size();
    int line_number = 1;
    for (size_t begin = result.good_bytes, end; (end = text.find('\n', begin)) != std::string::npos;
         begin = end + 1) {
        ++line_number;
        const auto row = parse_csv_line(std::string_view(text).substr(begin, end - begin));
        if (!row) {
            throw Error(
                fmt::format("{}:{}: not a row of {} columns; mend or remove the line, or "
                            "write to another file",
                            path.string(), line_number, kColumnCount));
        }
        result.rows.push_back(*row);
        result.good_bytes = end + 1;
    }
    return result;
}

std::vector<Row> read_result_file(const std::filesystem::path& csv) {
    const std::string text = read_whole_file(csv);
    if (!text.starts_with(csv_header())) {
        throw Error(fmt::format("{}: not a result file of schema version {}", csv.string(),
                                kSchemaVersion));
    }
    return parse_result_rows(csv, text).rows;
}

}  // namespace tritbench
