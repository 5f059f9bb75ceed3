// The same weights in every format that linear layers are stored in, in every graph: the same
// logits, bit for bit.
#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <set>
#include <string>
#include <vector>

#include "tests/model_formats.h"

namespace tritbench {
namespace {

using namespace test;

// Shapes that every format can hold.
ModelConfig config_for_formats(const std::string& architecture) {
    ModelConfig c = small_config();
    c.hidden = 256;
    c.ffn = 512;
    c.head_dim = 64;
    EXPECT_TRUE(set_architecture(c, architecture));
    if (architecture == "llama") {  // heads longer than hidden / heads
        c.heads = 8;
        c.kv_heads = 2;
        c.tied_head = false;
    }
    return c;
}

// Scales that a half and a bfloat16 can hold.
fs::path generate_for_formats(const Folder& folder, const std::string& architecture) {
    const fs::path plain = generate(folder, config_for_formats(architecture), 3);
    const GgufFile file(plain);
    std::fstream out(plain, std::ios::in | std::ios::out | std::ios::binary);
    int number = 0;
    for (const GgufTensor& tensor : file.tensors()) {
        if (!is_linear(tensor)) continue;
        const float scale = (1.0F + static_cast<float>(number++ % 8) / 8) / 32;
        out.seekp(static_cast<std::streamoff>(tensor.file_offset +
                                              static_cast<uint64_t>(tensor.elements()) / 4));
        out.write(reinterpret_cast<const char*>(&scale), sizeof scale);
    }
    if (!out.flush()) throw std::runtime_error("cannot write " + plain.string());
    return plain;
}

const std::vector<std::string>& exact_formats() {
    static const std::vector<std::string> formats = {"i2_s",
                                                     "tl1:BM=128,BK=64,bm=64",
                                                     "tl1:BM=64,BK=128,bm=32",
                                                     "tl2:BM=128,BK=96",
                                                     "tl2:BM=64,BK=192",
                                                     "tq1_0",
                                                     "tq2_0",
                                                     "iq1_bn",
                                                     "iq2_bn",
                                                     "iq2_bn_r4",
                                                     "f32",
                                                     "f16",
                                                     "bf16",
                                                     "int8",
                                                     "i2r",
                                                     "i2c",
                                                     "t3r",
                                                     "t5r"};
    return formats;
}

class Formats : public testing::TestWithParam<std::string> {
  protected:
    Formats() : source(generate_for_formats(folder, GetParam())), tokens(some_tokens(13, 320)) {}

    std::vector<float> logits(const fs::path& file, const tb_kernel& kernel,
                              const LoadOptions& options = {}) {
        const auto model =
            Model::load(std::make_shared<const GgufFile>(file), kernel, pool, {}, options);
        return all_logits(model, kernel, pool, tokens, 13);
    }
    std::string error(const fs::path& file, const tb_kernel& kernel = i2s(),
                      const LoadOptions& options = {}) {
        try {
            Model::load(std::make_shared<const GgufFile>(file), kernel, pool, {}, options);
        } catch (const Error& e) {
            EXPECT_EQ(std::string(e.what()).find('\n'), std::string::npos);
            return e.what();
        }
        return "";
    }

    Folder folder;
    fs::path source;
    ThreadPool pool{2};
    std::vector<int32_t> tokens;
};

TEST_P(Formats, EveryFormatGivesTheLogitsOfI2S) {
    const std::vector<float> expected = logits(source, i2s());
    std::set<std::string_view> layouts;
    for (const std::string& format : exact_formats()) {
        const fs::path file = store_linears(source, folder / "stored.gguf", format);
        const tb_kernel& own = default_kernel(GgufFile(file));
        layouts.insert(own.layout);
        EXPECT_TRUE(same_bits(logits(file, own), expected)) << format << " with " << own.id;
        EXPECT_TRUE(same_bits(logits(file, i2s()), expected)) << format << " repacked";
    }
    for (const tb_kernel* kernel : all_kernels()) {  // none is forgotten
        if (kernel->weight_kind != TB_WEIGHT_TERNARY) continue;
        EXPECT_TRUE(layouts.contains(kernel->layout)) << kernel->layout;
    }
}

TEST_P(Formats, BytesThatAreTheKernelsStayMapped) {
    for (const std::string& format : exact_formats()) {
        const MatrixFormat wanted = parse_format(format);
        if (wanted.codec->weight_kind != TB_WEIGHT_TERNARY) continue;
        const fs::path file = store_linears(source, folder / "mapped.gguf", format);
        const auto opened = std::make_shared<const GgufFile>(file);
        const auto model = Model::load(opened, default_kernel(*opened), pool);
        EXPECT_EQ(model->packed_bytes_owned(), 0U) << format;
        EXPECT_EQ(linear_layout(*opened), wanted.codec->layout);
        for (const auto& [name, role, weights] : model->linears()) {
            EXPECT_EQ(weights->bytes.data(), opened->find_tensor(name)->data) << format << name;
        }
    }
}

TEST_P(Formats, PrefillIsTheSameAsDecoding) {
    const auto model = load(source, i2s(), pool);
    const std::vector<float> rows = all_logits(model, i2s(), pool, tokens, 13);
    Session session(model, i2s(), pool, 32, 8);
    for (size_t i = 0; i < tokens.size(); ++i) {
        EXPECT_TRUE(same_bits(session.forward(std::span(tokens).subspan(i, 1)),
                              std::span(rows).subspan(i * 320, 320)))
            << i;
    }
}

// The tiles of layers need not be equal: q, k and v then want differently prepared activations.
TEST_P(Formats, LayersMayHaveTilesOfTheirOwn) {
    const std::vector<float> expected = logits(source, i2s());
    const fs::path file = store_as(source, folder / "tiles.gguf", [](const GgufTensor& t) {
        if (!is_linear(t)) return std::optional<MatrixFormat>();
        return std::optional(parse_format(
            t.name.find("attn_k") != std::string::npos ? "tl2:BM=64,BK=192" : "tl2:BM=128,BK=96"));
    });
    for (const tb_kernel* kernel : all_kernels()) {
        if (std::string_view(kernel->layout) != "tl2" || !runs_here(*kernel)) continue;
        EXPECT_TRUE(same_bits(logits(file, *kernel), expected)) << kernel->id;
    }
}

// A layer of another format than the rest is packed as the rest is.
TEST_P(Formats, TensorsMayDifferInType) {
    const std::vector<float> expected = logits(source, i2s());
    size_t number = 0;
    const fs::path file = store_as(source, folder / "mixed.gguf", [&](const GgufTensor& t) {
        if (!is_linear(t)) return std::optional<MatrixFormat>();
        return std::optional(parse_format(exact_formats()[number++ % exact_formats().size()]));
    });
    EXPECT_TRUE(same_bits(logits(file, i2s()), expected));
    EXPECT_TRUE(same_bits(logits(file, *find_kernel("tq2_0_scalar")), expected));
}

// bitnet.cpp's own packers for ARM and for x86 without ACT_PARALLEL, from their description.
std::vector<std::byte> pack_i2s(I2sLayout layout, std::span<const int8_t> trits, int64_t k,
                                float scale) {
    std::vector<uint8_t> codes(trits.size() / 4 + 32);
    for (size_t e = 0; e < trits.size(); ++e) {
        const auto code = static_cast<unsigned>(trits[e] + 1);
        const auto width = static_cast<size_t>(k);
        const size_t row = e / width, column = e % width;
        const bool arm = layout == I2sLayout::Arm;
        const size_t at = arm ? e / 64 * 16 + e % 16 : row / 4 * width + column;
        const size_t field = arm ? e % 64 / 16 : row % 4;
        codes[at] = static_cast<uint8_t>(codes[at] | code << (6 - 2 * field));
    }
    std::memcpy(codes.data() + trits.size() / 4, &scale, sizeof scale);
    const auto* bytes = reinterpret_cast<const std::byte*>(codes.data());
    return {bytes, bytes + codes.size()};
}

TEST_P(Formats, TheThreeLayoutsOfI2S) {
    const std::vector<float> expected = logits(source, i2s());
    for (const I2sLayout layout : {I2sLayout::Arm, I2sLayout::Row4}) {
        const fs::path path = folder / "layout.gguf";
        const GgufFile file(source);
        GgufWriter writer(path);
        copy_keys(file, writer);
        for (const GgufTensor& t : file.tensors()) writer.add_tensor(t.name, t.type, t.ne);
        writer.begin();
        for (const GgufTensor& t : file.tensors()) {
            if (!is_linear(t)) {
                writer.write({t.data, t.bytes});
                continue;
            }
            const StoredMatrix stored(file, t);
            std::vector<int8_t> trits(static_cast<size_t>(t.elements()));
            std::vector<float> scales(static_cast<size_t>(t.ne[1]));
            stored.trits(0, t.ne[1], trits.data(), scales.data());
            writer.write(pack_i2s(layout, trits, t.ne[0], scales[0]));
        }
        writer.finish();
        LoadOptions options;
        options.i2s = layout;
        const std::string_view name = i2s_layout_name(layout);
        EXPECT_TRUE(same_bits(logits(path, i2s(), options), expected)) << name;
        EXPECT_TRUE(same_bits(logits(path, *find_kernel("tq1_0_scalar"), options), expected))
            << name;
        EXPECT_EQ(linear_layout(GgufFile(path), options), "") << name;
        // Nothing in the file tells: read as another layout it is another model.
        EXPECT_FALSE(same_bits(logits(path, i2s()), expected)) << name;
    }
}

TEST_P(Formats, TilesMayComeFromAKernelConfig) {
    const std::vector<float> expected = logits(source, i2s());
    for (const char* format : {"tl1:BM=128,BK=64,bm=64", "tl2:BM=128,BK=96"}) {
        const fs::path keyed = store_linears(source, folder / "keyed.gguf", format);
        const fs::path bare = folder / "bare.gguf";
        {
            const GgufFile file(keyed);
            GgufWriter writer(bare);
            copy_keys(GgufFile(source), writer);  // without those of tiles
            for (const GgufTensor& t : file.tensors()) writer.add_tensor(t.name, t.type, t.ne);
            writer.begin();
            for (const GgufTensor& t : file.tensors()) writer.write({t.data, t.bytes});
            writer.finish();
        }
        const std::string message = error(bare);
        EXPECT_NE(message.find("blk.0.attn_q.weight"), std::string::npos) << message;
        EXPECT_NE(message.find("tritbench.tensor.blk.0.attn_q.weight.tile"), std::string::npos);
        EXPECT_NE(message.find("kernel_config.ini"), std::string::npos) << message;

        const fs::path ini = folder / "kernel_config.ini";
        std::ofstream out(ini);
        const ModelConfig c = config_for_formats(GetParam());
        const int64_t q = c.heads * c.head_dim, kv = c.kv_heads * c.head_dim;
        const std::pair<int64_t, int64_t> shapes[] = {
            {q, c.hidden}, {kv, c.hidden}, {c.hidden, q}, {c.ffn, c.hidden}, {c.hidden, c.ffn}};
        for (const auto& [n, k] : shapes) {
            out << "[Kernels_" << n << "]\nm = " << n << "\nk = " << k
                << "\nbm = 128\nbk = " << (format[2] == '1' ? 64 : 96) << "\nbmm = 64\n\n";
        }
        out.close();
        LoadOptions options;
        options.tl_tiles = read_kernel_config(ini);
        EXPECT_TRUE(same_bits(logits(bare, i2s(), options), expected)) << format;
        EXPECT_TRUE(
            same_bits(logits(bare, default_kernel(GgufFile(bare), options), options), expected))
            << format;
    }
}

INSTANTIATE_TEST_SUITE_P(Graphs, Formats,
                         testing::Values("bitnet", "bitnet-b1.58", "bitnet-25", "llama"),
                         [](const auto& graph) {
                             std::string name = graph.param;
                             for (char& c : name) c = std::isalnum(c) != 0 ? c : '_';
                             return name;
                         });

}  // namespace
}  // namespace tritbench
