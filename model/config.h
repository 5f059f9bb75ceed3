// Hyper-parameters of a b1.58 decoder, as read from GGUF keys.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace tritbench {

class GgufFile;
class GgufWriter;

enum class Activation {
    Relu2,  // max(gate, 0)^2 * up: bitnet-b1.58, bitnet-25
    Silu    // gate / (1 + e^-gate) * up: bitnet, llama
};
// Which features of a head make a pair that turns together.
enum class RopeKind {
    Neox,  // i and i + head_dim / 2: the bitnet architectures
    Norm   // 2i and 2i + 1: llama, whose converter permutes the rows of q and k for it
};
std::string_view activation_name(Activation activation);  // "relu2", "silu"
std::string_view rope_kind_name(RopeKind kind);           // "neox", "norm"

struct ModelConfig {
    std::string architecture;  // bitnet, bitnet-b1.58, bitnet-25, llama
    std::string name;
    Activation activation = Activation::Relu2;  // hidden_activation, else the architecture's
    RopeKind rope = RopeKind::Neox;
    bool sub_norms = true;  // attn_sub_norm and ffn_sub_norm: all but llama
    int64_t hidden = 0;     // embedding_length
    int64_t ffn = 0;        // feed_forward_length
    int64_t layers = 0;     // block_count
    int64_t heads = 0;      // attention.head_count
    int64_t kv_heads = 0;   // attention.head_count_kv
    int64_t head_dim = 0;   // attention.key_length; hidden / heads when absent
    int64_t vocab = 0;
    int64_t context = 0;        // context_length
    float norm_eps = 1e-5F;     // attention.layer_norm_rms_epsilon
    double rope_base = 500000;  // rope.freq_base
    bool tied_head = true;      // no output.weight tensor
};

// Fills in what follows from the architecture alone: activation, rope, sub_norms. False if it is
// none of the four.
bool set_architecture(ModelConfig& config, std::string_view architecture);

// Throws Error naming file and key on anything missing or impossible.
ModelConfig read_config(const GgufFile& file);

// The keys that read_config reads, and general.file_type unless it is negative. What follows from
// the architecture is not written, nor is tied_head, which the tensors tell.
void write_config(GgufWriter& writer, const ModelConfig& config, int64_t file_type);

}  // namespace tritbench
