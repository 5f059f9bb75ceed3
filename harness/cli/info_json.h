// `info --json`.
#pragma once

#include <optional>
#include <vector>

#include "harness/cli/info_values.h"

namespace tritbench::cli {

// `checks` in the order of the file's tensors, or empty.
void print_json(const GgufFile& file, const Totals& totals, const std::vector<TensorCheck>& checks,
                const std::optional<ZeroFraction>& zeros);

}  // namespace tritbench::cli
