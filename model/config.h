// Hyper-parameters of a b1.58 decoder, as read from GGUF keys.
#pragma once

#include <cstdint>
#include <string>

namespace tritbench {

class GgufFile;

struct ModelConfig {
    std::string architecture;  // bitnet-b1.58, bitnet-25
    std::string name;
    int64_t hidden = 0;    // embedding_length
    int64_t ffn = 0;       // feed_forward_length
    int64_t layers = 0;    // block_count
    int64_t heads = 0;     // attention.head_count
    int64_t kv_heads = 0;  // attention.head_count_kv
    int64_t head_dim = 0;  // rope.dimension_count; hidden / heads when absent
    int64_t vocab = 0;
    int64_t context = 0;        // context_length
    float norm_eps = 1e-5F;     // attention.layer_norm_rms_epsilon
    double rope_base = 500000;  // rope.freq_base
    bool tied_head = true;      // no output.weight tensor
};

// Throws Error naming file and key on anything missing or impossible.
ModelConfig read_config(const GgufFile& file);

}  // namespace tritbench
