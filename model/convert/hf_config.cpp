#include "model/convert/hf_config.h"

#include <fmt/format.h>

#include "kernels/api/error.h"
#include "model/convert/json_file.h"
#include "model/printable.h"

namespace tritbench {
namespace {

// The decoder's architecture, in the names of both sides: architectures (or model_type), hidden_act
// and quantization_config decide.
std::string gguf_architecture(const JsonObject& root) {
    std::string found = root.text("model_type", "");
    const nlohmann::json* list = root.find("architectures");
    if (list && list->is_array() && !list->empty() && list->front().is_string()) {
        found = list->front().get<std::string>();
    }
    const std::string act = root.text("hidden_act", "silu");
    if (found == "LlamaForCausalLM" || found == "llama") {
        if (!root.find("quantization_config")) {
            root.fail("quantization_config",
                      "an object with quant_method 'bitnet': without it this is no ternary model");
        }
        if (act != "silu") root.fail("hidden_act", "'silu' in a LlamaForCausalLM");
        return "llama";
    }
    if (found != "BitNetForCausalLM" && found != "BitnetForCausalLM" && found != "bitnet") {
        throw Error(
            fmt::format("{}: field 'architectures' names '{}', expected BitNetForCausalLM, "
                        "BitnetForCausalLM or LlamaForCausalLM",
                        root.file(), printable(found)));
    }
    if (act == "relu2") return "bitnet-b1.58";
    if (act == "silu") return "bitnet";
    root.fail("hidden_act", "'relu2' or 'silu'");
}

void read_quantization(const JsonObject& root, HfConfig& config) {
    if (!root.find("quantization_config")) return;
    const JsonObject quantization = root.object("quantization_config");
    if (quantization.text("quant_method", "bitnet") != "bitnet") {
        quantization.fail("quant_method", "'bitnet'");
    }
    if (quantization.boolean("use_rms_norm", false)) {
        quantization.fail("use_rms_norm", "false: the graph has no norm inside a linear layer");
    }
    // The head and the embedding are never ternary; a linear layer of the decoder always is.
    const nlohmann::json* floats = quantization.find("modules_to_not_convert");
    if (floats && !floats->is_array()) quantization.fail("modules_to_not_convert", "a list");
    for (const nlohmann::json& name : floats ? *floats : nlohmann::json::array()) {
        if (name == "lm_head" || name == "model.embed_tokens") continue;
        quantization.fail("modules_to_not_convert", "nothing but lm_head and model.embed_tokens");
    }
    config.linear_class = quantization.text("linear_class", "");
    if (config.linear_class == "autobitlinear") {
        config.weight_scale = WeightScale::Direct;
    } else if (config.linear_class == "bitlinear") {
        config.weight_scale = WeightScale::Inverse;
    } else if (!config.linear_class.empty()) {
        quantization.fail("linear_class", "'bitlinear' or 'autobitlinear'");
    }
}

// rope_scaling (and rope_parameters, its name since transformers 5).
void read_rope(const JsonObject& root, HfConfig& config) {
    const bool newer = root.find("rope_parameters") != nullptr;
    const JsonObject rope = root.object(newer ? "rope_parameters" : "rope_scaling");
    // The defaults of LlamaConfig and BitNetConfig.
    const double base = config.model.architecture == "bitnet-b1.58" ? 500000 : 10000;
    config.model.rope_base = newer && rope.find("rope_theta") ? rope.number("rope_theta", base)
                                                              : root.number("rope_theta", base);
    if (!(config.model.rope_base > 0)) root.fail("rope_theta", "a number above 0");
    const std::string type = rope.text("rope_type", rope.text("type", "default"));
    if (type == "default") return;
    if (type != "llama3") rope.fail("rope_type", "'default' or 'llama3'");
    Llama3Rope scaling;
    scaling.factor = rope.number("factor", scaling.factor);
    scaling.low_freq_factor = rope.number("low_freq_factor", scaling.low_freq_factor);
    scaling.high_freq_factor = rope.number("high_freq_factor", scaling.high_freq_factor);
    scaling.original_context =
        rope.integer("original_max_position_embeddings", scaling.original_context);
    if (!(scaling.factor >= 1)) rope.fail("factor", "at least 1");
    if (!(scaling.low_freq_factor > 0)) rope.fail("low_freq_factor", "a number above 0");
    if (!(scaling.high_freq_factor > scaling.low_freq_factor)) {
        rope.fail("high_freq_factor", "a number above low_freq_factor");
    }
    config.llama3_rope = scaling;
}

void refuse_what_the_graph_lacks(const JsonObject& root) {
    for (const char* field : {"attention_bias", "mlp_bias"}) {
        if (root.boolean(field, false)) root.fail(field, "false: the graph has no biases");
    }
    if (root.integer("pretraining_tp", 1) != 1) root.fail("pretraining_tp", "1");
    const int64_t bits = root.integer("input_bits", 8);
    if (bits != 8) root.fail("input_bits", "8");
}

void read_statistics(const JsonObject& root, HfConfig& config) {
    const char* const field = "ffn_down_zeros";
    const nlohmann::json* zeros = root.find(field);
    if (!zeros) return;
    const std::string expected =
        fmt::format("a list of {} fractions, one for each layer", config.model.layers);
    if (!zeros->is_array() || std::ssize(*zeros) != config.model.layers) root.fail(field, expected);
    for (const nlohmann::json& fraction : *zeros) {
        if (!fraction.is_number() || fraction < 0 || fraction > 1) root.fail(field, expected);
        config.ffn_down_zeros.push_back(fraction.get<float>());
    }
}

}  // namespace

HfConfig read_hf_config(const std::filesystem::path& config_json) {
    const nlohmann::json document = read_json(config_json);
    const JsonObject root(printable(config_json.string(), 300), document);
    HfConfig config;
    ModelConfig& m = config.model;
    set_architecture(m, gguf_architecture(root));
    const bool llama = m.architecture == "llama";
    m.hidden = root.integer("hidden_size");
    m.ffn = root.integer("intermediate_size");
    m.layers = root.integer("num_hidden_layers");
    m.heads = root.integer("num_attention_heads");
    m.kv_heads = root.integer("num_key_value_heads", m.heads);
    m.vocab = root.integer("vocab_size");
    m.context = root.integer("max_position_embeddings", 2048);
    if (m.heads % m.kv_heads != 0) {
        root.fail("num_key_value_heads", "a divisor of num_attention_heads");
    }
    if (!root.find("head_dim") && m.hidden % m.heads != 0) {
        root.fail("num_attention_heads", "a divisor of hidden_size");
    }
    m.head_dim = root.integer("head_dim", m.hidden / m.heads);
    if (m.head_dim < 2 || m.head_dim % 2 != 0) {
        root.fail(root.find("head_dim") ? "head_dim" : "num_attention_heads",
                  "heads of an even number of dimensions");
    }
    const double eps = root.number("rms_norm_eps", llama ? 1e-6 : 1e-5);
    if (!(eps >= 1e-30 && eps <= 1)) root.fail("rms_norm_eps", "1e-30 to 1");
    m.norm_eps = static_cast<float>(eps);
    m.tied_head = root.boolean("tie_word_embeddings", false);
    read_quantization(root, config);
    read_rope(root, config);
    read_statistics(root, config);
    refuse_what_the_graph_lacks(root);
    return config;
}

}  // namespace tritbench
