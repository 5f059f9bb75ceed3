// The JSON header of a safetensors file, as written: nothing in it is checked against the file.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace tritbench {

struct SafetensorsEntry {
    std::string name, dtype;
    std::vector<uint64_t> shape;
    uint64_t begin = 0, end = 0;  // data_offsets
};

// Throws Error, one line beginning with `shown_file`, unless the text is an object of entries with
// exactly these fields, no name twice, beside "__metadata__". Parsed as a stream: a header of
// another structure is refused where it departs from it, before it costs memory or stack.
std::vector<SafetensorsEntry> parse_safetensors_header(const std::string& shown_file,
                                                       std::string_view header);

}  // namespace tritbench
