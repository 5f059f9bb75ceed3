// Which format each tensor of a dummy model is stored in.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "model/tensor_types.h"

namespace tritbench {

struct DummyOptions;
struct DummyTensor;

struct DummyFormats {
    std::optional<MatrixFormat> linear = {};  // i2_s unless said
    // Of single roles (attn_q, ..., ffn_down), before `linear`.
    std::vector<std::pair<std::string, MatrixFormat>> roles = {};
    std::optional<MatrixFormat> embedding = {};  // f16 unless said
    // f16 unless said. Of a tied model: makes an output.weight of its own, of the same values.
    std::optional<MatrixFormat> head = {};
};

// Sets `linear` and `roles`: "t5r", "tl2:BM=256,BK=96", "t5r,ffn_down=i2c". Throws Error.
void parse_linear_formats(std::string_view text, DummyFormats& formats);

// Of a matrix; the default tile of TL1 and TL2 is replaced where it does not divide the shape.
MatrixFormat format_of(const DummyFormats& formats, const DummyTensor& tensor);

// "t5r", "t5r,ffn_down=i2c".
std::string linear_formats_name(const DummyFormats& formats);

// Throws Error, with the formats that would do, where one cannot hold its tensor.
void check_formats(const DummyOptions& options);

}  // namespace tritbench
