// One GGUF file to another, with matrices stored in other formats.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "model/convert/convert.h"
#include "model/convert/tensor_output.h"
#include "model/gguf.h"
#include "model/load_options.h"
#include "model/tensor_types.h"
#include "model/thread_pool.h"

namespace tritbench {

struct RequantizeOptions {
    std::optional<MatrixFormat> linear;  // empty: linear layers as they are
    OuterFormats outer;                  // empty: embedding and head as they are
    LoadOptions source;                  // what the file leaves unsaid
};

// Throws Error if `output` is the file that is read.
void refuse_same_file(const GgufFile& source, const std::filesystem::path& output);

// Writes `source` as `output`. Linear layers are ternary before and after: trits and scale stay as
// they are, to the bit, but for formats that keep scales in fewer bits (a note says so). Embedding
// and head are re-encoded from their values. Everything else, keys with their types and arrays,
// tensors in their order, is copied byte for byte; general.file_type follows the linear layers, and
// tritbench.tensor keys the formats. Memory: the largest tensor in its new format. Throws Error,
// leaving no file, when a linear layer is not ternary or refuse_same_file does.
ConvertResult requantize(const GgufFile& source, const std::filesystem::path& output,
                         const RequantizeOptions& options, ThreadPool& pool,
                         const ConvertProgress& progress = {});

}  // namespace tritbench
