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
std::string kernel_table(const std::vector<Row>& rows, bool markdown = false);
// e2e rows in the manner of llama-bench: model, plan or kernel, head, threads, test, tokens/s ...
std::string model_table(const std::vector<Row>& rows);

// "pp128", "tg32", "pp128+tg32", with " @ d2048" (depth), " x8" (sequences), " b256" (prefill
// batch) and " kv f32" where they are not as usual.
std::string test_text(const Row& row);

// "csv", "json", "jsonl", "md", "llama-bench".
const std::vector<std::string>& row_formats();

// Rows in one of row_formats(). json is a list of objects, jsonl an object a line, of the known
// columns; those of e2e rows have the fields of llama-bench in front (llama_bench.h), from the
// samples of each row. llama-bench is a list in its fields alone, of the e2e rows that have a time.
// md is a table of each level that there is. Throws Error on an unknown format.
std::string format_rows(const std::vector<Row>& rows, std::string_view format,
                        const std::vector<std::vector<double>>& samples = {});

}  // namespace tritbench
