// Model files: what is refused, and what may differ.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <optional>
#include <string>
#include <vector>

#include "kernels/api/half.h"
#include "tests/model_formats.h"

namespace tritbench {
namespace {

using namespace test;

struct NewTensor {
    std::string name;
    GgmlType type;
    std::vector<int64_t> ne;
    std::vector<std::byte> data;
};

// Copies a file, each tensor as `change` wants it (nothing: left out).
template <class Change>
void rewrite(const fs::path& from, const fs::path& to, Change change,
             const std::vector<NewTensor>& extra = {}) {
    const GgufFile file(from);
    GgufWriter writer(to);
    copy_keys(file, writer);
    std::vector<NewTensor> tensors;
    for (const GgufTensor& t : file.tensors()) {
        std::optional<NewTensor> changed =
            change(NewTensor{t.name, t.type, t.ne, {t.data, t.data + t.bytes}});
        if (changed) tensors.push_back(std::move(*changed));
    }
    tensors.insert(tensors.end(), extra.begin(), extra.end());
    for (const NewTensor& t : tensors) writer.add_tensor(t.name, t.type, t.ne);
    writer.begin();
    for (const NewTensor& t : tensors) writer.write(t.data);
    writer.finish();
}

std::vector<std::byte> bytes_of(const std::vector<float>& values) {
    const auto* bytes = reinterpret_cast<const std::byte*>(values.data());
    return {bytes, bytes + values.size() * sizeof(float)};
}

// Changes one tensor by `change(NewTensor&) -> bool`, false to leave it out.
class Corrupt : public ModelTest {
  protected:
    template <class Change>
    std::string error_with(const std::string& name, Change change) {
        const fs::path to = folder / "changed.gguf";
        rewrite(path, to, [&](NewTensor t) -> std::optional<NewTensor> {
            if (t.name == name && !change(t)) return std::nullopt;
            return t;
        });
        const std::string error = load_error(to);
        EXPECT_NE(error.find(name), std::string::npos) << error;
        EXPECT_NE(error.find("changed.gguf"), std::string::npos) << error;
        return error;
    }
};

TEST_F(Corrupt, ARewrittenFileGivesTheSameLogits) {
    const fs::path to = folder / "copy.gguf";
    rewrite(path, to, [](NewTensor t) { return std::optional(std::move(t)); });
    ThreadPool pool(1);
    const std::vector<int32_t> tokens = some_tokens(5, 320);
    EXPECT_TRUE(same_bits(all_logits(load(path, i2s(), pool), i2s(), pool, tokens, 5),
                          all_logits(load(to, i2s(), pool), i2s(), pool, tokens, 5)));
}

TEST_F(Corrupt, MissingTensors) {
    for (const char* name : {"token_embd.weight", "output_norm.weight", "blk.0.attn_norm.weight",
                             "blk.0.attn_sub_norm.weight", "blk.1.ffn_sub_norm.weight",
                             "blk.1.ffn_down.weight", "blk.1.attn_output.weight"}) {
        const std::string error = error_with(name, [](NewTensor&) { return false; });
        EXPECT_NE(error.find("missing"), std::string::npos) << error;
    }
}

TEST_F(Corrupt, WrongShape) {
    const std::string error = error_with("blk.1.attn_k.weight", [](NewTensor& t) {
        std::swap(t.ne[0], t.ne[1]);
        return true;
    });
    EXPECT_NE(error.find("[80, 160]"), std::string::npos) << error;
    EXPECT_NE(error.find("[160, 80]"), std::string::npos) << error;
}

TEST_F(Corrupt, WrongType) {
    const std::string error = error_with("blk.0.ffn_norm.weight", [](NewTensor& t) {
        t.type = GgmlType::I32;
        return true;
    });
    EXPECT_NE(error.find("f32, f16 or bf16"), std::string::npos) << error;
}

TEST_F(Corrupt, InvalidCodes) {
    for (const size_t at : {size_t{0}, size_t{1001}, size_t{160 * 160 / 4 - 1}}) {
        const auto spoil = [at](NewTensor& t) {
            t.data[at] = std::byte{0x30};  // a code 3 among codes 0
            return true;
        };
        const std::string error = error_with("blk.1.attn_q.weight", spoil);
        EXPECT_NE(error.find("code 3"), std::string::npos) << error;
        const std::string packed = load_error(folder / "changed.gguf", *find_kernel("int8_scalar"));
        EXPECT_NE(packed.find("blk.1.attn_q.weight"), std::string::npos) << packed;
    }
}

TEST_F(Corrupt, ScalesThatAreNotPositiveNumbers) {
    for (const float scale : {0.0F, -1.0F, std::nanf(""), HUGE_VALF}) {
        const std::string error = error_with("blk.0.ffn_up.weight", [scale](NewTensor& t) {
            std::memcpy(t.data.data() + 160 * 448 / 4, &scale, sizeof scale);
            return true;
        });
        EXPECT_NE(error.find("scale"), std::string::npos) << error;
    }
}

TEST_F(Corrupt, NormsThatAreNotFinite) {
    error_with("blk.0.attn_sub_norm.weight", [](NewTensor& t) {
        const float nan = std::nanf("");
        std::memcpy(t.data.data() + 12, &nan, sizeof nan);
        return true;
    });
}

TEST_F(Corrupt, TensorsThatTheGraphDoesNotUse) {
    const auto keep = [](NewTensor t) { return std::optional(std::move(t)); };
    const fs::path to = folder / "extra.gguf";
    rewrite(path, to, keep,
            {{"blk.0.attn_q.bias", GgmlType::F32, {160}, bytes_of(std::vector<float>(160))}});
    EXPECT_NE(load_error(to).find("blk.0.attn_q.bias"), std::string::npos);
    rewrite(path, to, keep,
            {{"rope_freqs.weight", GgmlType::F32, {20}, bytes_of(std::vector<float>(20, 1.0F))}});
    EXPECT_NE(load_error(to).find("rope_freqs.weight"), std::string::npos);  // llama's alone
}

TEST_F(Corrupt, EmbeddingAndNormsMayBeOfTheOtherFloatType) {
    const fs::path to = folder / "types.gguf";
    rewrite(path, to, [](NewTensor t) {
        if (t.name == "token_embd.weight") {
            std::vector<float> wide(t.data.size() / 2);
            const auto* halves = reinterpret_cast<const uint16_t*>(t.data.data());
            for (size_t i = 0; i < wide.size(); ++i) wide[i] = tb_half_to_float(halves[i]);
            t.type = GgmlType::F32;
            t.data = bytes_of(wide);
        } else if (t.type == GgmlType::F32) {  // norms: multiples of 1/64, exact in half
            std::vector<uint16_t> halves(t.data.size() / 4);
            const auto* wide = reinterpret_cast<const float*>(t.data.data());
            for (size_t i = 0; i < halves.size(); ++i) halves[i] = tb_float_to_half(wide[i]);
            t.type = GgmlType::F16;
            const auto* bytes = reinterpret_cast<const std::byte*>(halves.data());
            t.data.assign(bytes, bytes + halves.size() * 2);
        }
        return std::optional(std::move(t));
    });
    ThreadPool pool(2);
    const std::vector<int32_t> tokens = some_tokens(5, 320);
    EXPECT_TRUE(same_bits(all_logits(load(path, i2s(), pool), i2s(), pool, tokens, 5),
                          all_logits(load(to, i2s(), pool), i2s(), pool, tokens, 5)));
}

TEST_F(ModelTest, SeparateHeadIsUsed) {
    ModelConfig config = small_config();
    config.tied_head = false;
    const fs::path separate = generate(folder, config, 6);
    ThreadPool pool(2);
    const auto model = load(separate, i2s(), pool);
    EXPECT_FALSE(model->config().tied_head);
    const auto tied = load(path, i2s(), pool);
    EXPECT_EQ(model->parameters(), tied->parameters() + 160 * 320);
    // With the head's rows zeroed, the logits are: it is the head that is multiplied.
    const fs::path zeroed = folder / "zeroed.gguf";
    rewrite(separate, zeroed, [](NewTensor t) {
        if (t.name == "output.weight") std::fill(t.data.begin(), t.data.end(), std::byte{0});
        return std::optional(std::move(t));
    });
    const std::vector<int32_t> tokens = some_tokens(3, 320);
    for (const float v : all_logits(load(zeroed, i2s(), pool), i2s(), pool, tokens, 3)) {
        EXPECT_EQ(v, 0.0F);
    }
    EXPECT_NE(all_logits(model, i2s(), pool, tokens, 3)[0], 0.0F);
}

}  // namespace
}  // namespace tritbench
