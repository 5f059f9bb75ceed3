// The hyper-parameters of a model, from GGUF keys right and wrong.
#include "model/config.h"

#include <gtest/gtest.h>

#include <map>

#include "model/gguf.h"
#include "tests/gguf_bytes.h"

namespace tritbench {
namespace {

using testing::ByteBuilder;
using testing::error_of;
using testing::TempFolder;

// Keys of a small model; a case changes or erases some.
struct Keys {
    std::string arch = "bitnet-b1.58";
    std::map<std::string, uint32_t> integers = {
        {"embedding_length", 256}, {"feed_forward_length", 384}, {"block_count", 3},
        {"context_length", 64},    {"attention.head_count", 8},  {"attention.head_count_kv", 2},
        {"vocab_size", 100},       {"rope.dimension_count", 32}};
    std::map<std::string, float> floats = {{"attention.layer_norm_rms_epsilon", 2e-5F},
                                           {"rope.freq_base", 12345.0F}};
    std::map<std::string, std::string> texts;
    bool embedding = true, head = false;

    ModelConfig read() const {
        const TempFolder folder;
        ByteBuilder b;
        b.header(uint64_t{embedding} + uint64_t{head},
                 integers.size() + floats.size() + texts.size() + 2);
        b.key_text("general.architecture", arch).key_text("general.name", "tiny");
        for (const auto& [key, value] : integers) b.key_u32(arch + "." + key, value);
        for (const auto& [key, value] : floats) b.key_f32(arch + "." + key, value);
        for (const auto& [key, value] : texts) b.key_text(arch + "." + key, value);
        if (embedding) b.tensor("token_embd.weight", {256, 100}, 1, 0);
        if (head) b.tensor("output.weight", {256, 100}, 1, 0);
        b.align(32).zeros(256 * 100 * 2).save(folder / "m.gguf");
        return read_config(GgufFile(folder / "m.gguf"));
    }
    std::string error() const {
        return error_of([&] { read(); });
    }
};

TEST(Config, ReadsAllKeys) {
    const ModelConfig c = Keys{}.read();
    EXPECT_EQ(c.architecture, "bitnet-b1.58");
    EXPECT_EQ(c.name, "tiny");
    EXPECT_EQ(c.hidden, 256);
    EXPECT_EQ(c.ffn, 384);
    EXPECT_EQ(c.layers, 3);
    EXPECT_EQ(c.heads, 8);
    EXPECT_EQ(c.kv_heads, 2);
    EXPECT_EQ(c.head_dim, 32);
    EXPECT_EQ(c.vocab, 100);
    EXPECT_EQ(c.context, 64);
    EXPECT_EQ(c.norm_eps, 2e-5F);
    EXPECT_EQ(c.rope_base, 12345.0);
    EXPECT_TRUE(c.tied_head);
}

TEST(Config, FillsInWhatFilesLeaveOut) {
    Keys keys;
    keys.arch = "bitnet-25";
    keys.head = true;
    keys.floats.clear();
    for (const char* key : {"vocab_size", "rope.dimension_count", "attention.head_count_kv"}) {
        keys.integers.erase(key);
    }
    const ModelConfig c = keys.read();
    EXPECT_EQ(c.vocab, 100);
    EXPECT_EQ(c.head_dim, 32);
    EXPECT_EQ(c.kv_heads, 8);
    EXPECT_EQ(c.norm_eps, 1e-5F);
    EXPECT_EQ(c.rope_base, 10000.0);
    EXPECT_FALSE(c.tied_head);
}

TEST(Config, NamesFileAndKeyOfWhatIsMissing) {
    for (const char* key : {"embedding_length", "feed_forward_length", "block_count",
                            "context_length", "attention.head_count"}) {
        Keys keys;
        keys.integers.erase(key);
        EXPECT_HAS(keys.error(), "m.gguf: key 'bitnet-b1.58." + std::string(key) + "' is missing");
        keys.integers[key] = 0;
        EXPECT_HAS(keys.error(), std::string(key) + "' is 0, expected");
        keys.integers[key] = 1U << 31;
        EXPECT_HAS(keys.error(), std::string(key) + "' is 2147483648, expected");
    }
    Keys keys;
    keys.embedding = false;
    EXPECT_HAS(keys.error(), "tensor 'token_embd.weight' is missing");
}

TEST(Config, RefusesImpossibleNumbers) {
    const auto with = [](const char* key, uint32_t value) {
        Keys keys;
        keys.integers[key] = value;
        return keys.error();
    };
    EXPECT_HAS(with("attention.head_count", 7), "attention.head_count' is 7, expected a divisor");
    EXPECT_HAS(with("attention.head_count", 512), "attention.head_count' is 512");
    EXPECT_HAS(with("attention.head_count_kv", 3), "head_count_kv' is 3, expected a divisor of");
    EXPECT_HAS(with("attention.head_count_kv", 0), "head_count_kv' is 0, expected at least 1");
    EXPECT_HAS(with("rope.dimension_count", 16), "rope.dimension_count' is 16, expected");
    Keys odd;  // 256 / 256 = 1: nothing to rotate
    odd.integers["attention.head_count"] = 256;
    odd.integers["rope.dimension_count"] = 1;
    EXPECT_HAS(odd.error(), "even");
    for (float eps : {0.0F, -1.0F, 2.0F}) {
        Keys keys;
        keys.floats["attention.layer_norm_rms_epsilon"] = eps;
        EXPECT_HAS(keys.error(), "layer_norm_rms_epsilon");
    }
    Keys base;
    base.floats["rope.freq_base"] = 0;
    EXPECT_HAS(base.error(), "rope.freq_base' is 0, expected a number above 0");
}

TEST(Config, RefusesOtherArchitectures) {
    Keys keys;
    keys.arch = "qwen3";
    EXPECT_HAS(keys.error(),
               "'general.architecture' is 'qwen3', expected 'bitnet', 'bitnet-b1.58'");
}

TEST(Config, GraphsFollowFromTheArchitecture) {
    const auto with = [](const char* arch) {
        Keys keys;
        keys.arch = arch;
        return keys.read();
    };
    for (const char* arch : {"bitnet-b1.58", "bitnet-25"}) {
        EXPECT_EQ(with(arch).activation, Activation::Relu2) << arch;
        EXPECT_EQ(with(arch).rope, RopeKind::Neox) << arch;
        EXPECT_TRUE(with(arch).sub_norms) << arch;
    }
    EXPECT_EQ(with("bitnet").activation, Activation::Silu);
    EXPECT_EQ(with("bitnet").rope, RopeKind::Neox);
    EXPECT_TRUE(with("bitnet").sub_norms);
    EXPECT_EQ(with("llama").activation, Activation::Silu);
    EXPECT_EQ(with("llama").rope, RopeKind::Norm);
    EXPECT_FALSE(with("llama").sub_norms);
}

TEST(Config, TheActivationOfTheFileIsTaken) {
    Keys keys;
    keys.texts["hidden_activation"] = "silu";
    EXPECT_EQ(keys.read().activation, Activation::Silu);
    keys.arch = "bitnet";
    keys.texts["hidden_activation"] = "relu2";
    EXPECT_EQ(keys.read().activation, Activation::Relu2);
    keys.texts["hidden_activation"] = "gelu";
    EXPECT_HAS(keys.error(), "bitnet.hidden_activation' is 'gelu', expected 'relu2' or 'silu'");
}

TEST(Config, HeadsMayBeOfAnotherLengthThanTheQuotient) {
    Keys keys;
    keys.arch = "llama";
    keys.integers["attention.key_length"] = 48;
    EXPECT_HAS(keys.error(), "rope.dimension_count' is 32, expected the length of a head, 48");
    keys.integers["rope.dimension_count"] = 48;
    EXPECT_EQ(keys.read().head_dim, 48);
    keys.integers["attention.head_count"] = 6;  // no divisor of 256
    EXPECT_EQ(keys.read().head_dim, 48);
    keys.integers["attention.value_length"] = 32;
    EXPECT_HAS(keys.error(), "attention.value_length' is 32, expected that of the keys, 48");
}

TEST(Config, RefusesToStretchTheContextInWaysThatTheGraphLacks) {
    Keys keys;
    keys.arch = "llama";
    keys.texts["rope.scaling.type"] = "none";
    EXPECT_EQ(keys.error(), "");
    keys.texts["rope.scaling.type"] = "yarn";
    EXPECT_HAS(keys.error(), "rope.scaling.type' is 'yarn', expected 'none'");
}

}  // namespace
}  // namespace tritbench
