#include "model/config.h"

#include <fmt/format.h>

#include <string>

#include "kernels/api/error.h"
#include "model/gguf.h"
#include "model/printable.h"

namespace tritbench {
namespace {

class KeyReader {
  public:
    KeyReader(const GgufFile& file, std::string architecture)
        : file_(file), architecture_(std::move(architecture)) {}

    std::string key(std::string_view name) const { return architecture_ + "." + std::string(name); }

    int64_t positive(std::string_view name) const { return check(name, file_.integer(key(name))); }
    int64_t positive(std::string_view name, int64_t fallback) const {
        return check(name, file_.integer(key(name), fallback));
    }
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
    const int64_t head_dim = config.hidden / config.heads;
    if (config.hidden % config.heads != 0) {
        keys.fail("attention.head_count", std::to_string(config.heads),
                  fmt::format("a divisor of embedding_length {}", config.hidden));
    }
    if (config.heads % config.kv_heads != 0) {
        keys.fail("attention.head_count_kv", std::to_string(config.kv_heads),
                  fmt::format("a divisor of attention.head_count {}", config.heads));
    }
    // The graph rotates whole heads, in pairs of features.
    const int64_t rotated = keys.positive("rope.dimension_count", head_dim);
    if (rotated != head_dim || head_dim % 2 != 0) {
        keys.fail("rope.dimension_count", std::to_string(rotated),
                  fmt::format("embedding_length / attention.head_count = {}, even", head_dim));
    }
    return head_dim;
}

}  // namespace

ModelConfig read_config(const GgufFile& file) {
    ModelConfig config;
    config.architecture = file.text("general.architecture");
    if (config.architecture != "bitnet-b1.58" && config.architecture != "bitnet-25") {
        throw Error(fmt::format(
            "{}: key 'general.architecture' is '{}', expected 'bitnet-b1.58' or 'bitnet-25'",
            printable(file.path().string(), 300), printable(config.architecture)));
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

}  // namespace tritbench
