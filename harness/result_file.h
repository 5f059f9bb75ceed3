// Reading the rows of a result file.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "harness/schema.h"

namespace tritbench {

struct ResultRows {
    std::vector<Row> rows;
    uint64_t good_bytes = 0;  // up to the end of the last whole line
};

// Rows of a text that begins with our header. A last line without its end is left out: a kill or a
// full disk tore it. Throws Error (file, line) on any other line that is not a row.
ResultRows parse_result_rows(const std::filesystem::path& path, const std::string& text);

// All rows of a result file. Throws Error (file, line) unless it is of this schema version.
std::vector<Row> read_result_file(const std::filesystem::path& csv);

}  // namespace tritbench
