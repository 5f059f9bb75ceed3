// The keys `exclude` and `filter` of a spec, and of its tables.
#pragma once

#include <toml++/toml.h>
#include <string>

#include "harness/cell_filter.h"

namespace tritbench {

// Reads both from a table of the file, the root included: one table of conditions, or a list of
// them ([[exclude]], or exclude = [{...}, ...]). Throws Error with file and line on an axis that is
// not known and on a value that the axis cannot have.
CellSelection read_selection(const std::string& file, const toml::table& table);

}  // namespace tritbench
