// Rows as text for people and for other programs.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "harness/schema.h"

namespace tritbench {

// Columns padded to their widest cell; numbers (by the look of them) to the right. The first row
// is the header. With `markdown`, as a Markdown table.
std::string text_table(const std::vector<std::vector<std::string>>& rows, bool markdown = false);

// "93.1 us", "1.20 ms": the field in ns; "" when it is empty.
std::string time_text(const Row& row, Column column);

// Kernel level rows: kernel, shape, batch, threads, cache, time, GMAC/s, GB/s, ceiling, proof.
std::string kernel_table(const std::vector<Row>& rows);
// e2e rows in the manner of llama-bench: model, kernel, threads, test (pp128, tg32), tokens/s.
std::string model_table(const std::vector<Row>& rows);

// "csv", "json" (a list), "jsonl" or "md". `rows` are of one level.
std::string format_rows(const std::vector<Row>& rows, std::string_view format);

}  // namespace tritbench
