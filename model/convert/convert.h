// Hugging Face folders to GGUF.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "model/convert/hf_config.h"
#include "model/convert/tensor_output.h"
#include "model/tensor_types.h"
#include "model/thread_pool.h"

namespace tritbench {

// What the embedding and the LM head become; shared by convert and quantize.
struct OuterFormats {
    std::optional<MatrixFormat> embedding;
    // Of a tied model: writes an output.weight of its own, made from the embedding.
    std::optional<MatrixFormat> head;
};

struct ConvertOptions {
    MatrixFormat linear;
    OuterFormats outer;                       // f16 unless said
    std::optional<WeightScale> weight_scale;  // overrules config.json
    bool tokenizer = true;                    // false: a model without a vocabulary
    std::string pre;                          // overrules what tokenizer.json says; "": does not
};

struct ConvertResult {
    bool complete = false;  // false: stopped by progress, no file
    uint64_t parameters = 0;
    std::vector<std::string> notes;  // one line each, for the user
};

// Writes `folder` (config.json, safetensors, tokenizer.json) as a GGUF file. Linear layers, packed
// or master weights, keep their trits and their scale; norms become F32. Memory: the largest tensor
// in its new format, and the tokenizer. Throws Error, leaving no file.
ConvertResult convert_folder(const std::filesystem::path& folder,
                             const std::filesystem::path& output, const ConvertOptions& options,
                             ThreadPool& pool, const ConvertProgress& progress = {});

}  // namespace tritbench
