#include "dummy_models/metadata.h"

#include <fmt/format.h>

#include <algorithm>

#include "kernels/api/error.h"
#include "model/convert/tensor_output.h"
#include "model/printable.h"

namespace tritbench {
namespace {

void set_vocabulary(GgufWriter& writer, const DummyOptions& options) {
    if (options.vocabulary != nullptr) {
        for (const auto& [key, value] : options.vocabulary->metadata()) {
            if (!key.starts_with("tokenizer.")) continue;
            writer.set_stored(key, options.vocabulary->stored_value(key));
        }
        return;
    }
    // llama.cpp loads a model without a tokenizer when it is named so.
    writer.set_text("tokenizer.ggml.model", "no_vocab");
    const bool llama3 = options.config.vocab == 128256;
    const auto last = static_cast<uint32_t>(options.config.vocab - 1);
    writer.set_u32("tokenizer.ggml.bos_token_id", llama3 ? 128000U : std::min(1U, last));
    writer.set_u32("tokenizer.ggml.eos_token_id", llama3 ? 128001U : std::min(2U, last));
}

}  // namespace

void set_dummy_keys(GgufWriter& writer, const DummyOptions& options) {
    const ModelConfig& c = options.config;
    const auto& linear = options.formats.linear;
    write_config(writer, c, file_type_of(linear ? *linear : parse_format("i2_s")));
    set_vocabulary(writer, options);
    const TritShares shares = trit_shares(options.zeros, options.positive);
    writer.set_u64("tritbench.dummy.seed", options.seed);
    writer.set_f32("tritbench.dummy.zero_fraction", static_cast<float>(shares.zero) / 65536.0F);
    writer.set_u32("tritbench.dummy.version", kDummyVersion);
    if (shares.plus != 0) {
        writer.set_f32("tritbench.dummy.positive", static_cast<float>(shares.positive()));
    }
    if (options.scale_spread != kDummyScaleSpread) {
        writer.set_f32("tritbench.dummy.scale_spread",
                       static_cast<float>(scale_spread_steps(options.scale_spread)) / 1024.0F);
    }
    if (!options.ffn_zeros) return;
    const auto zeros = static_cast<float>(*options.ffn_zeros);
    writer.set_f32("tritbench.dummy.ffn_zeros", zeros);
    writer.set_f32s("tritbench.ffn_down_zeros",
                    std::vector<float>(static_cast<size_t>(c.layers), zeros));
}

int64_t vocabulary_size(const GgufFile& file) {
    const GgufValue* found = file.find("tokenizer.ggml.tokens");
    const auto* tokens = found != nullptr ? std::get_if<GgufArray>(found) : nullptr;
    if (tokens != nullptr && tokens->count > 0) return static_cast<int64_t>(tokens->count);
    throw Error(
        fmt::format("{}: no vocabulary (key tokenizer.ggml.tokens); expected a model that "
                    "has one",
                    printable(file.path().string(), 300)));
}

}  // namespace tritbench
