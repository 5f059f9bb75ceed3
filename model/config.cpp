#include "model/config.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <string>

#include "kernels/api/error.h"
#include "model/gguf.h"
#include "model/printable.h"

namespace tritbench {
namespace {

struct Architecture {
    std::string_view name;
    Activation activation;
    RopeKind rope;
    bool sub_norms;
};

// The graphs of bitnet.cpp and ik_llama.cpp: build_bitnet, build_bitnet_158, build_llama.
constexpr std::array<Architecture, 4> kArchitectures{
    {{"bitnet", Activation::Silu, RopeKind::Neox, true},
     {"bitnet-b1.58", Activation::Relu2, RopeKind::Neox, true},
     {"bitnet-25", Activation::Relu2, RopeKind::Neox, true},
     {"llama", Activation::Silu, RopeKind::Norm, false}}};

class KeyReader {
  public:
    KeyReader(const GgufFile& file, std::string architecture)
        : file_(file), architecture_(std::move(architecture)) {}

    std::string key(std::string_view name) const { return architecture_ + "." + std::string(name); }

    int64_t positive(std::string_view name) const { return check(name, file_.integer(key(name))); }
    int64_t positive(std::string_view name, int64_t fallback) const {
        return check(name, file_.integer(key(name), fallback));
    }
    bool has(std::string_view name) const { return file_.find(key(name)) != nullptr; }
    double positive_number(std::string_view name, double fallback) const {
        const double found = file_.number(key(name), fallback);
        if (!(found > 0)) fail(name, fmt::format("{}", found), "a number above 0");
        return found;
    }

    [[noreturn]] void fail(std::string_view name, std::string_view found,
                           std::string_view expected) const {
        throw Error(fmt::format("{}: key '{}' is {}, expected {}",
                                printable(file_.path().string(), 300), key(name), found, expected));
    }

  private:
    int64_t check(std::string_view name, int64_t found) const {
        if (found < 1) fail(name, fmt::format("{}", found), "at least 1");
        return found;
    }

    const GgufFile& file_;
    std::string architecture_;
};

int64_t read_head_dim(const ModelConfig& config, const KeyReader& keys) {
    const int64_t quotient = config.hidden / config.heads;
    const int64_t head_dim = keys.positive("attention.key_length", std::max<int64_t>(1, quotient));
    if (!keys.has("attention.key_length") && config.hidden % config.heads != 0) {
        keys.fail("attention.head_count", std::to_string(config.heads),
                  fmt::format("a divisor of embedding_length {}", config.hidden));
    }
    if (config.heads % config.kv_heads != 0) {
        keys.fail("attention.head_count_kv", std::to_string(config.kv_heads),
                  fmt::format("a divisor of attention.head_count {}", config.heads));
    }
    const int64_t values = keys.positive("attention.value_length", head_dim);
    if (values != head_dim) {
        keys.fail("attention.value_length", std::to_string(values),
                  fmt::format("that of the keys, {}", head_dim));
    }
    // The graph rotates whole heads, in pairs of features.
    const int64_t rotated = keys.positive("rope.dimension_count", head_dim);
    if (rotated != head_dim || head_dim % 2 != 0) {
        keys.fail("rope.dimension_count", std::to_string(rotated),
                  fmt::format("the length of a head, {}, even", head_dim));
    }
    return head_dim;
}

void read_activation(ModelConfig& config, const GgufFile& file, const KeyReader& keys) {
    const std::string found =
        file.text(keys.key("hidden_activation"), activation_name(config.activation));
    for (const Activation known : {Activation::Relu2, Activation::Silu}) {
        if (found != activation_name(known)) continue;
        config.activation = known;
        return;
    }
    keys.fail("hidden_activation", "'" + printable(found, 40) + "'", "'relu2' or 'silu'");
}

// Ways to stretch the context that the graph does not have.
void refuse_rope_scaling(const GgufFile& file, const KeyReader& keys) {
    const std::string scaling = file.text(keys.key("rope.scaling.type"), "none");
    if (scaling != "none") {
        keys.fail("rope.scaling.type", "'" + printable(scaling, 40) + "'",
                  "'none' (frequency factors come in the tensor rope_freqs.weight)");
    }
}

}  // namespace

std::string_view activation_name(Activation activation) {
    return activation == Activation::Relu2 ? "relu2" : "silu";
}

std::string_view rope_kind_name(RopeKind kind) {
    return kind == RopeKind::Neox ? "neox" : "norm";
}

bool set_architecture(ModelConfig& config, std::string_view architecture) {
    for (const Architecture& known : kArchitectures) {
        if (known.name != architecture) continue;
        config.architecture = architecture;
        config.activation = known.activation;
        config.rope = known.rope;
        config.sub_norms = known.sub_norms;
        return true;
    }
    return false;
}

ModelConfig read_config(const GgufFile& file) {
    ModelConfig config;
    const std::string architecture = file.text("general.architecture");
    if (!set_architecture(config, architecture)) {
        throw Error(
            fmt::format("{}: key 'general.architecture' is '{}', expected 'bitnet', "
                        "'bitnet-b1.58', 'bitnet-25' or 'llama'",
                        printable(file.path().string(), 300), printable(architecture)));
    }
    const KeyReader keys(file, config.architecture);
    config.name = file.text("general.name", "");
    config.hidden = keys.positive("embedding_length");
    config.ffn = keys.positive("feed_forward_length");
    config.layers = keys.positive("block_count");
    config.heads = keys.positive("attention.head_count");
    config.kv_heads = keys.positive("attention.head_count_kv", config.heads);
    config.context = keys.positive("context_length");
    const double norm_eps = keys.positive_number("attention.layer_norm_rms_epsilon", 1e-5);
    if (norm_eps > 1 || norm_eps < 1e-30) {
        keys.fail("attention.layer_norm_rms_epsilon", fmt::format("{}", norm_eps), "1e-30 to 1");
    }
    config.norm_eps = static_cast<float>(norm_eps);
    config.rope_base = keys.positive_number("rope.freq_base", 10000);  // llama.cpp's default too
    config.head_dim = read_head_dim(config, keys);
    read_activation(config, file, keys);
    refuse_rope_scaling(file, keys);

    // Some writers leave vocab_size out; the embedding always has one row per token.
    const GgufTensor* embedding = file.find_tensor("token_embd.weight");
    if (!embedding || embedding->ne.size() != 2) {
        throw Error(
            fmt::format("{}: tensor 'token_embd.weight' {}, expected one of {} x vocabulary",
                        printable(file.path().string(), 300),
                        embedding ? "is not a matrix" : "is missing", config.hidden));
    }
    config.vocab = keys.positive("vocab_size", embedding->ne[1]);
    config.tied_head = file.find_tensor("output.weight") == nullptr;
    return config;
}

void write_config(GgufWriter& writer, const ModelConfig& c, int64_t file_type) {
    const std::string prefix = c.architecture + ".";
    const auto u32 = [&](const char* key, int64_t value) {
        writer.set_u32(prefix + key, static_cast<uint32_t>(value));
    };
    writer.set_text("general.architecture", c.architecture);
    writer.set_text("general.name", c.name);
    if (file_type >= 0) writer.set_u32("general.file_type", static_cast<uint32_t>(file_type));
    u32("vocab_size", c.vocab);
    u32("context_length", c.context);
    u32("embedding_length", c.hidden);
    u32("block_count", c.layers);
    u32("feed_forward_length", c.ffn);
    u32("rope.dimension_count", c.head_dim);
    if (c.head_dim * c.heads != c.hidden) {
        u32("attention.key_length", c.head_dim);
        u32("attention.value_length", c.head_dim);
    }
    u32("attention.head_count", c.heads);
    u32("attention.head_count_kv", c.kv_heads);
    writer.set_f32(prefix + "attention.layer_norm_rms_epsilon", c.norm_eps);
    writer.set_f32(prefix + "rope.freq_base", static_cast<float>(c.rope_base));
}

}  // namespace tritbench
