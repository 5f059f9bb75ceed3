// What the graphs have beside linear layers: embedding and head of every type, result scales,
// frequency factors, sub-norms, activations.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "tests/model_formats.h"

namespace tritbench {
namespace {

using namespace test;

// A tensor that a file gets beside its own, or instead of one.
struct Extra {
    std::string name;
    std::vector<float> values;
};

class Graph : public testing::Test {
  protected:
    fs::path generate_arch(const std::string& architecture, bool tied = true) {
        ModelConfig c = small_config();
        c.hidden = 256;
        c.ffn = 512;
        c.head_dim = 64;
        c.tied_head = tied;
        EXPECT_TRUE(set_architecture(c, architecture));
        return generate(folder, c, 7);
    }

    // The file with F32 tensors added, or in the place of its own, and its I2_S scales multiplied.
    fs::path with(const fs::path& from, const std::vector<Extra>& extras, float scales = 1.0F) {
        const fs::path to = folder / "with.gguf";
        const GgufFile file(from);
        GgufWriter writer(to);
        copy_keys(file, writer);
        const auto replaced = [&](const GgufTensor& t) {
            return std::any_of(extras.begin(), extras.end(),
                               [&](const Extra& e) { return e.name == t.name; });
        };
        for (const GgufTensor& t : file.tensors()) {
            if (!replaced(t)) writer.add_tensor(t.name, t.type, t.ne);
        }
        for (const Extra& e : extras) {
            writer.add_tensor(e.name, GgmlType::F32, {static_cast<int64_t>(e.values.size())});
        }
        writer.begin();
        for (const GgufTensor& t : file.tensors()) {
            if (replaced(t)) continue;
            std::vector<std::byte> data(t.data, t.data + t.bytes);
            if (is_linear(t)) {
                float scale = 0.0F;
                std::byte* at = data.data() + t.elements() / 4;
                std::memcpy(&scale, at, sizeof scale);
                scale *= scales;
                std::memcpy(at, &scale, sizeof scale);
            }
            writer.write(data);
        }
        for (const Extra& e : extras) writer.write(std::as_bytes(std::span(e.values)));
        writer.finish();
        return to;
    }

    std::vector<float> logits(const fs::path& file) {
        return all_logits(load(file, i2s(), pool), i2s(), pool, tokens, 13);
    }
    std::string error(const fs::path& file) {
        try {
            load(file, i2s(), pool);
        } catch (const Error& e) {
            return e.what();
        }
        return "";
    }

    Folder folder;
    ThreadPool pool{2};
    std::vector<int32_t> tokens = some_tokens(13, 320);
};

double error_between(std::span<const float> found, std::span<const float> expected) {
    double error = 0, size = 0;
    for (size_t i = 0; i < expected.size(); ++i) {
        error += std::pow(double{found[i]} - double{expected[i]}, 2);
        size += std::pow(double{expected[i]}, 2);
    }
    return error / size;
}

TEST_F(Graph, EmbeddingAndHeadOfEveryType) {
    for (const bool tied : {true, false}) {
        const fs::path source = generate_arch("bitnet-b1.58", tied);
        const std::vector<float> expected = logits(source);
        const std::pair<const char*, double> types[] = {
            {"f32", 0}, {"f16", 0}, {"bf16", 5e-3}, {"q8_0", 5e-3}, {"q6_k", 1e-2}, {"q4_0", 0.05}};
        for (const auto& [type, most] : types) {
            const MatrixFormat format = parse_format(type);
            const fs::path file = store_as(source, folder / "outer.gguf", [&](const GgufTensor& t) {
                const bool outer = t.name == "token_embd.weight" || t.name == "output.weight";
                return outer ? std::optional(format) : std::nullopt;
            });
            const auto model = load(file, i2s(), pool);
            EXPECT_EQ(model->packed_bytes_owned(), 0U) << type;  // mapped
            const std::vector<float> found = all_logits(model, i2s(), pool, tokens, 13);
            EXPECT_LE(error_between(found, expected), most) << type;
            if (most > 0) {
                EXPECT_GT(error_between(found, expected), 0) << type;
            }
            EXPECT_TRUE(same_bits(all_logits(model, i2s(), pool, tokens, 1), found)) << type;
            // The head on every kernel of its layout, through linear layers of that layout.
            std::vector<float> first;
            for (const tb_kernel* kernel : all_kernels()) {
                if (std::string_view(kernel->layout) != type || !runs_here(*kernel)) continue;
                const auto other = all_logits(load(file, *kernel, pool), *kernel, pool, tokens, 13);
                if (first.empty()) first = other;
                EXPECT_TRUE(same_bits(other, first)) << kernel->id;
            }
        }
    }
}

TEST_F(Graph, TernaryEmbeddingsAreRefused) {
    const fs::path source = generate_arch("bitnet-b1.58");
    const fs::path path = folder / "ternary.gguf";
    const GgufFile file(source);
    GgufWriter writer(path);
    copy_keys(file, writer);
    for (const GgufTensor& t : file.tensors()) {
        writer.add_tensor(t.name, t.name == "token_embd.weight" ? GgmlType::TQ2_0 : t.type, t.ne);
    }
    writer.begin();
    for (const GgufTensor& t : file.tensors()) {
        const uint64_t bytes = t.name == "token_embd.weight" ? t.bytes / 512 * 66 : t.bytes;
        writer.write({t.data, bytes});
    }
    writer.finish();
    const std::string message = error(path);
    EXPECT_NE(message.find("token_embd.weight: has the type tq2_0; expected f32, f16"),
              std::string::npos)
        << message;
}

// bitnet.cpp multiplies results with them; a power of two is exact wherever it is multiplied in.
TEST_F(Graph, ResultScales) {
    for (const char* architecture : {"bitnet", "llama"}) {
        const fs::path source = generate_arch(architecture);
        std::vector<Extra> scales;
        for (int layer = 0; layer < 2; ++layer) {
            for (const char* role :
                 {"attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down"}) {
                scales.push_back({fmt::format("blk.{}.{}.scale", layer, role), {0.5F}});
            }
        }
        const std::vector<float> halved = logits(with(source, {}, 0.5F));
        EXPECT_TRUE(same_bits(logits(with(source, scales)), halved)) << architecture;
        EXPECT_FALSE(same_bits(halved, logits(source))) << architecture;
        for (size_t i = 0; i < 7; ++i) {  // each of them matters
            std::vector<Extra> others = scales;
            others.erase(others.begin() + static_cast<ptrdiff_t>(i));
            EXPECT_FALSE(same_bits(logits(with(source, others)), halved)) << scales[i].name;
        }
        for (const float wrong : {0.0F, -1.0F, std::nanf("")}) {
            const std::string message = error(with(source, {{"blk.1.ffn_up.scale", {wrong}}}));
            EXPECT_NE(message.find("blk.1.ffn_up.scale"), std::string::npos) << message;
        }
    }
}

// Each weight vector of each norm is used: turning one around changes the logits.
TEST_F(Graph, EveryNormMatters) {
    for (const char* architecture : {"bitnet-b1.58", "bitnet", "llama"}) {
        const fs::path source = generate_arch(architecture);
        const std::vector<float> expected = logits(source);
        const GgufFile file(source);
        int norms = 0;
        for (const GgufTensor& t : file.tensors()) {
            if (!t.name.ends_with("_norm.weight")) continue;
            ++norms;
            std::vector<float> values(static_cast<size_t>(t.elements()));
            decode_rows(file, t, {}, 0, 1, values.data());
            for (size_t i = 0; i < values.size(); ++i) values[i] *= i % 2 == 0 ? 1.5F : 0.5F;
            EXPECT_GT(error_between(logits(with(source, {{t.name, values}})), expected), 1e-4)
                << architecture << " " << t.name;
        }
        EXPECT_EQ(norms, std::string(architecture) == "llama" ? 5 : 9) << architecture;
    }
}

TEST_F(Graph, FrequencyFactorsOfLlama) {
    const fs::path source = generate_arch("llama");
    const std::vector<float> expected = logits(source);
    std::vector<float> factors(32, 1.0F);
    EXPECT_TRUE(same_bits(logits(with(source, {{"rope_freqs.weight", factors}})), expected));
    factors[30] = 8.0F;
    EXPECT_FALSE(same_bits(logits(with(source, {{"rope_freqs.weight", factors}})), expected));
    factors[3] = 0.0F;
    EXPECT_NE(error(with(source, {{"rope_freqs.weight", factors}}))
                  .find("rope_freqs.weight: element 3 is 0; expected positive"),
              std::string::npos);
    factors.resize(31);
    EXPECT_NE(error(with(source, {{"rope_freqs.weight", factors}})).find("rope_freqs.weight"),
              std::string::npos);
}

TEST_F(Graph, SubNormsAreOfTheBitnetsAlone) {
    const fs::path llama = generate_arch("llama");
    EXPECT_EQ(GgufFile(llama).find_tensor("blk.0.attn_sub_norm.weight"), nullptr);
    const std::vector<float> ones(256, 1.0F);
    EXPECT_NE(error(with(llama, {{"blk.0.attn_sub_norm.weight", ones}}))
                  .find("blk.0.attn_sub_norm.weight"),
              std::string::npos);
    EXPECT_NE(GgufFile(generate_arch("bitnet")).find_tensor("blk.0.ffn_sub_norm.weight"), nullptr);
}

// The four graphs are told apart by the logits of the same weights.
TEST_F(Graph, ArchitecturesDiffer) {
    const std::vector<float> relu2 = logits(generate_arch("bitnet-b1.58"));
    EXPECT_TRUE(same_bits(logits(generate_arch("bitnet-25")), relu2));
    const std::vector<float> silu = logits(generate_arch("bitnet"));
    EXPECT_GT(error_between(silu, relu2), 1e-3);
    EXPECT_GT(error_between(logits(generate_arch("llama")), silu), 1e-3);
}

TEST_F(Graph, HiddenActivationOverrulesTheArchitecture) {
    const fs::path source = generate_arch("bitnet");
    const fs::path path = folder / "relu2.gguf";
    const GgufFile file(source);
    GgufWriter writer(path);
    copy_keys(file, writer);
    writer.set_text("bitnet.hidden_activation", "relu2");
    for (const GgufTensor& t : file.tensors()) writer.add_tensor(t.name, t.type, t.ne);
    writer.begin();
    for (const GgufTensor& t : file.tensors()) writer.write({t.data, t.bytes});
    writer.finish();
    EXPECT_EQ(load(path, i2s(), pool)->config().activation, Activation::Relu2);
    EXPECT_TRUE(same_bits(logits(path), logits(generate_arch("bitnet-b1.58"))));
}

}  // namespace
}  // namespace tritbench
