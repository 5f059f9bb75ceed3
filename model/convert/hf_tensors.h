// Which tensor of a Hugging Face folder becomes which tensor of a GGUF file.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "model/convert/hf_config.h"
#include "model/convert/safetensors.h"

namespace tritbench {

struct HfTensor {
    enum class Role { Embedding, Head, Norm, Linear };

    std::string name;  // in GGUF
    Role role = Role::Norm;
    int64_t rows = 1, columns = 0;  // of W; a norm is one row
    const SafetensorsTensor* source = nullptr;
    // Packed linear layers: U8 [ceil(rows / 4), columns], and their weight_scale. Null for masters.
    const SafetensorsTensor* weight_scale = nullptr;
    // q and k of LlamaForCausalLM: heads whose rows change places (permuted_row). 0: none do.
    int64_t permuted_heads = 0;
};

// In file order: embedding, output norm, head (unless tied), then layer by layer. Both generations
// of names are known (inner_attn_ln and ffn_layernorm; attn_sub_norm and ffn_sub_norm). Throws
// Error on a tensor that is missing, of another shape or dtype, or that the graph has no place for.
std::vector<HfTensor> plan_hf_tensors(const HfConfig& config, const SafetensorsFolder& tensors);

// The row of the checkpoint that is row `row` in GGUF. transformers rotates features i and
// i + head_dim / 2 of a head together, llama.cpp's architecture `llama` 2 i and 2 i + 1
// (ggml-org/llama.cpp convert_hf_to_gguf.py, LlamaModel.permute).
inline int64_t permuted_row(int64_t row, int64_t head_dim) {
    const int64_t head = row / head_dim, feature = row % head_dim;
    return head * head_dim + feature % 2 * (head_dim / 2) + feature / 2;
}

}  // namespace tritbench
