// Dummy models: presets, canonical weights, and the bytes of the files made of them.
#include "dummy_models/generator.h"

#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <map>

#include "model/gguf_verify.h"
#include "tests/gguf_bytes.h"

namespace tritbench {
namespace {

using testing::error_of;
using testing::read_bytes;
using testing::TempFolder;

ModelConfig small_config() {
    ModelConfig c;
    c.architecture = "bitnet-b1.58";
    c.name = "small";
    c.hidden = 192;
    c.ffn = 320;
    c.layers = 2;
    c.heads = 6;
    c.kv_heads = 2;
    c.head_dim = 32;
    c.vocab = 5003;  // the embedding is larger than a chunk
    c.context = 64;
    return c;
}

// total_params of the published shapes: linear layers, embedding, head where it is
// separate, norms.
TEST(Presets, ParameterCountsAreThePublishedOnes) {
    const std::map<std::string, uint64_t> published = {{"125M", 128446464},
                                                       {"350M", 360074240},
                                                       {"1B", 996911104},
                                                       {"1.5B", 1502870016},
                                                       {"2.7B", 2703381504},
                                                       {"3.8B", 3803866368},
                                                       {"7B", 7010521088},
                                                       {"13B", 12852792320},
                                                       {"30B", 30477096448},
                                                       {"70B", 70059319296},
                                                       {"100B", 100225871872},
                                                       {"700M", 728842752},
                                                       {"2.5B", 2461322240},
                                                       {"bitnet_b1_58-large", 728842752},
                                                       {"bitnet_b1_58-3B", 3324387840},
                                                       {"BitNet-b1.58-2B-4T", 2412820480},
                                                       {"Falcon3-1B", 1669408768},
                                                       {"Falcon3-3B", 3227655168},
                                                       {"Falcon3-7B", 7455550464},
                                                       {"Falcon3-10B", 10305653760},
                                                       {"Llama3-8B", 8030261248}};
    EXPECT_EQ(presets().size(), published.size());
    for (const auto& [name, total] : published) {
        EXPECT_EQ(count_parameters(find_preset(name).config).total(), total) << name;
    }
}

TEST(Presets, CountsMatchTheTensorsOfTheFile) {
    for (const Preset& preset : presets()) {
        uint64_t total = 0;
        for (const DummyTensor& t : dummy_tensors(preset.config)) {
            uint64_t elements = 1;
            for (int64_t extent : t.ne) elements *= static_cast<uint64_t>(extent);
            total += elements;
        }
        EXPECT_EQ(total, count_parameters(preset.config).total()) << preset.name;
    }
}

TEST(Presets, The2B4TShapeIsThePublishedConfig) {
    const ModelConfig& c = find_preset("2b-4t").config;
    EXPECT_EQ(c.name, "dummy-2B-4T");
    EXPECT_EQ(c.hidden, 2560);
    EXPECT_EQ(c.ffn, 6912);
    EXPECT_EQ(c.layers, 30);
    EXPECT_EQ(c.heads, 20);
    EXPECT_EQ(c.kv_heads, 5);
    EXPECT_EQ(c.head_dim, 128);
    EXPECT_EQ(c.vocab, 128256);
    EXPECT_EQ(c.context, 4096);
    EXPECT_EQ(c.rope_base, 500000);
    EXPECT_TRUE(c.tied_head);
    EXPECT_EQ(dummy_tensors(c).size(), 332U);  // as in the published file
}

TEST(Presets, UnknownNameSuggestsTheNearest) {
    const std::string message = error_of([] { find_preset("126M"); });
    EXPECT_HAS(message, "unknown preset '126M'; did you mean '125M'?");
    EXPECT_HAS(message, "100B");
    EXPECT_HAS(error_of([] { find_preset("2B4T"); }), "'2B-4T'?");
    EXPECT_HAS(error_of([] { find_preset(""); }), "unknown preset ''");
}

TEST(Presets, BadLinesAreNamed) {
    EXPECT_HAS(error_of([] { parse_presets("# x\nA - 1 2 3\n"); }), "presets.txt, line 2");
    EXPECT_HAS(error_of([] { parse_presets("A - llama 128 128 1 1 1 128 9 9 9 tied s more"); }),
               "line 1");
    EXPECT_HAS(error_of([] { parse_presets("A - llama 128 128 1 1 1 128 9 9 9 knotted s"); }),
               "line 1");
    EXPECT_HAS(error_of([] { parse_presets("A - lama 128 128 1 1 1 128 9 9 9 tied s"); }),
               "line 1");
    const ModelConfig c = parse_presets("A - llama 128 128 1 2 1 32 9 9 9 separate s").at(0).config;
    EXPECT_FALSE(c.tied_head);
    EXPECT_FALSE(c.sub_norms);
    EXPECT_EQ(c.activation, Activation::Silu);
    EXPECT_EQ(c.head_dim, 32);
}

TEST(Shapes, ImpossibleNumbersAreRefused) {
    const auto with = [](auto change) {
        ModelConfig c = small_config();
        change(c);
        return error_of([&] { check_shape(c); });
    };
    EXPECT_EQ(with([](ModelConfig&) {}), "");
    EXPECT_HAS(with([](ModelConfig& c) { c.hidden = 0; }), "hidden (K of most linear layers) is 0");
    EXPECT_HAS(with([](ModelConfig& c) { c.ffn = -4; }), "ffn (K of ffn_down) is -4");
    EXPECT_HAS(with([](ModelConfig& c) { c.layers = 0; }), "layers is 0");
    EXPECT_HAS(with([](ModelConfig& c) { c.layers = INT64_MAX; }), "layers is 9223372036854775807");
    EXPECT_HAS(with([](ModelConfig& c) { c.heads = 0; }), "heads is 0");
    EXPECT_HAS(with([](ModelConfig& c) { c.kv_heads = 0; }), "kv-heads is 0");
    EXPECT_HAS(with([](ModelConfig& c) { c.vocab = 0; }), "vocab is 0");
    EXPECT_HAS(with([](ModelConfig& c) { c.context = 0; }), "context is 0");
    EXPECT_HAS(with([](ModelConfig& c) { c.rope_base = NAN; }), "rope-base is nan");
    EXPECT_HAS(with([](ModelConfig& c) { c.heads = 5, c.head_dim = c.hidden / 5; }),
               "heads is 5, which does not divide");
    EXPECT_HAS(with([](ModelConfig& c) { c.kv_heads = 4; }),
               "kv-heads is 4, which does not divide");
    EXPECT_HAS(with([](ModelConfig& c) { c.heads = c.kv_heads = 64, c.head_dim = 3; }), "odd");
}

TEST(Shapes, WhatI2sCannotHoldIsRefused) {
    const auto with = [](auto change) {
        DummyOptions options{small_config()};
        change(options.config);
        return error_of([&] { check_dummy(options); });
    };
    // 192 x 322: ffn_down has N = 192, so K must be even; ffn_gate has N = 322 and K = 192: even N
    // gives 192 * 322 = 61824 = 483 * 128, which fits. An odd ffn does not.
    EXPECT_EQ(with([](ModelConfig& c) { c.ffn = 322; }), "");
    EXPECT_HAS(with([](ModelConfig& c) { c.ffn = 321; }), "must be a multiple of 128 for i2_s");
    EXPECT_HAS(
        with([](ModelConfig& c) { c.hidden = 12, c.heads = c.kv_heads = 6, c.head_dim = 2; }),
        "attn_q is 12 x 12 (N x K): N * K must be a multiple of 128 for i2_s; with this N, "
        "K = 32 would do; formats that hold it: ");
}

TEST(Weights, TritsHaveTheStatedShareOfZerosAndBalancedSigns) {
    const tb_shape shape{512, 1024};
    std::vector<int8_t> trits(512 * 1024);
    for (double zeros : {0.0, 0.25, 0.4, 0.99}) {
        dummy_trits(7, 20, shape, 0, 512, zeros, trits.data());
        int64_t none = 0, sum = 0;
        for (int8_t t : trits) {
            ASSERT_GE(t, -1);
            ASSERT_LE(t, 1);
            none += t == 0;
            sum += t;
        }
        const auto n = static_cast<double>(trits.size());
        EXPECT_NEAR(static_cast<double>(none) / n, zeros, 0.004);
        EXPECT_LT(std::abs(static_cast<double>(sum)), 5 * std::sqrt(n));
    }
}

// The first values of the generator, so that a change of it cannot go unnoticed: files made with
// one kDummyVersion must stay the same for ever.
TEST(Weights, GoldenTrits) {
    std::array<int8_t, 16> trits{};
    dummy_trits(1, 21, {1, 16}, 0, 1, 0.4, trits.data());
    const std::array<int8_t, 16> golden = {1, -1, 0, -1, -1, 0,  -1, 0,
                                           0, -1, 0, -1, -1, -1, -1, -1};
    EXPECT_EQ(trits, golden);
}

TEST(Weights, RowRangesAreParts) {
    const tb_shape shape{9, 35};  // odd K: rows do not begin on a random word
    std::vector<int8_t> whole(9 * 35), part(9 * 35);
    dummy_trits(3, 4, shape, 0, 9, 0.4, whole.data());
    for (int64_t row = 0; row < 9; ++row) {
        dummy_trits(3, 4, shape, row, row + 1, 0.4, part.data() + row * 35);
    }
    EXPECT_EQ(whole, part);
    dummy_trits(3, 5, shape, 0, 9, 0.4, part.data());
    EXPECT_NE(whole, part) << "another tensor";
    dummy_trits(4, 4, shape, 0, 9, 0.4, part.data());
    EXPECT_NE(whole, part) << "another seed";
}

TEST(Weights, ZerosOutOfRangeAreRefused) {
    for (double zeros : {-0.1, 1.0, 2.0, static_cast<double>(NAN)}) {
        EXPECT_HAS(error_of([&] { zero_threshold(zeros); }), "expected a share of 0 to 0.99");
    }
    EXPECT_EQ(zero_threshold(0), 0U);
    EXPECT_EQ(zero_threshold(0.5), 32768U);
}

float f16_value(uint16_t bits) {
    const int exponent = (bits >> 10) & 31;
    const int fraction = bits & 1023;
    const double magnitude =
        exponent == 0 ? std::ldexp(fraction, -24) : std::ldexp(1024 + fraction, exponent - 25);
    return static_cast<float>(bits >> 15 ? -magnitude : magnitude);
}

TEST(Weights, EmbeddingIsNearlyNormalAndExact) {
    std::vector<uint16_t> bits(1 << 18);
    dummy_f16(1, 0, 0, bits);
    double sum = 0, squares = 0, fourth = 0;
    for (uint16_t b : bits) {
        const double v = f16_value(b);
        EXPECT_EQ(v * 8192, std::round(v * 8192));
        ASSERT_LE(std::abs(v), 510.0 / 8192);
        sum += v;
        squares += v * v;
        fourth += v * v * v * v;
    }
    const auto n = static_cast<double>(bits.size());
    const double variance = squares / n;
    EXPECT_NEAR(sum / n, 0, 2e-4);
    EXPECT_NEAR(std::sqrt(variance), 147.8 / 8192, 2e-4);
    EXPECT_NEAR(fourth / n / (variance * variance), 2.7, 0.1);  // normal: 3, flat: 1.8
    std::vector<uint16_t> part(33);
    dummy_f16(1, 0, 1000, part);
    EXPECT_TRUE(std::equal(part.begin(), part.end(), bits.begin() + 1000));
}

TEST(Weights, NormsAndScalesDifferAndKeepTheSizeOfFeatures) {
    std::vector<float> norm(4096);
    dummy_norm(1, 16, 0, norm);
    EXPECT_EQ(*std::min_element(norm.begin(), norm.end()), 0.75F);
    EXPECT_EQ(*std::max_element(norm.begin(), norm.end()), 1.25F);
    for (float v : norm) ASSERT_EQ(v * 64, std::round(v * 64));
    std::map<float, int> scales;
    for (uint64_t tensor = 0; tensor < 64; ++tensor) {
        const float scale = dummy_scale(1, tensor, 2560, 0.4);
        const double ideal = 1 / std::sqrt(2560 * 0.6);
        EXPECT_GT(scale, ideal * 0.87);
        EXPECT_LT(scale, ideal * 1.13);
        ++scales[scale];
    }
    EXPECT_GT(scales.size(), 10U);
}

// I2_S as the format describes it, element by element: flatten row-major; element e is in block
// e / 128 at j = e % 128; its byte is 32 * block + j % 32, its shift 6 - 2 * (j / 32).
std::string pack_i2s(const std::vector<int8_t>& trits, float scale) {
    std::string bytes(trits.size() / 4, '\0');
    for (size_t e = 0; e < trits.size(); ++e) {
        const size_t j = e % 128;
        const int code = trits[e] + 1;
        char& byte = bytes[32 * (e / 128) + j % 32];
        byte = static_cast<char>(static_cast<unsigned char>(byte) | code << (6 - 2 * (j / 32)));
    }
    return bytes + testing::ByteBuilder().f32(scale).zeros(28).bytes();
}

std::string_view stored(const GgufFile& file, const std::string& name) {
    const GgufTensor* t = file.find_tensor(name);
    if (!t) return {};
    return {reinterpret_cast<const char*>(t->data), t->bytes};
}

TEST(Generator, FileHoldsTheCanonicalWeights) {
    const TempFolder folder;
    ThreadPool pool(2, {}, false);
    DummyOptions options{small_config(), 42, 0.3};
    options.config.tied_head = false;
    ASSERT_TRUE(generate_dummy(options, folder / "m.gguf", pool));
    EXPECT_EQ(std::filesystem::file_size(folder / "m.gguf"), dummy_file_bytes(options));
    const GgufFile file(folder / "m.gguf");
    const std::vector<DummyTensor> tensors = dummy_tensors(options.config);
    ASSERT_EQ(file.tensors().size(), tensors.size());
    for (size_t i = 0; i < tensors.size(); ++i) {
        const DummyTensor& t = tensors[i];
        SCOPED_TRACE(t.name);
        EXPECT_EQ(file.tensors()[i].name, t.name);
        EXPECT_EQ(file.tensors()[i].type, t.type());
        EXPECT_EQ(file.tensors()[i].ne, t.ne);
        EXPECT_EQ(check_tensor(file.tensors()[i], pool).problem, "");
        std::string expected;
        if (t.kind == DummyTensor::Kind::Ternary) {
            std::vector<int8_t> trits(static_cast<size_t>(t.ne[0] * t.ne[1]));
            dummy_trits(42, t.index, {t.ne[1], t.ne[0]}, 0, t.ne[1], 0.3, trits.data());
            expected = pack_i2s(trits, dummy_scale(42, t.index, t.ne[0], 0.3));
        } else if (t.kind == DummyTensor::Kind::Embedding) {
            std::vector<uint16_t> bits(static_cast<size_t>(t.ne[0] * t.ne[1]));
            dummy_f16(42, t.index, 0, bits);
            expected.assign(reinterpret_cast<const char*>(bits.data()), bits.size() * 2);
        } else {
            std::vector<float> norm(static_cast<size_t>(t.ne[0]));
            dummy_norm(42, t.index, 0, norm);
            expected.assign(reinterpret_cast<const char*>(norm.data()), norm.size() * 4);
        }
        EXPECT_TRUE(stored(file, t.name) == expected);
    }
}

TEST(Generator, KeysDescribeTheModel) {
    const TempFolder folder;
    ThreadPool pool(1, {}, false);
    const DummyOptions options{small_config(), 5, 0.5};
    ASSERT_TRUE(generate_dummy(options, folder / "m.gguf", pool));
    const GgufFile file(folder / "m.gguf");
    const ModelConfig c = read_config(file);
    EXPECT_EQ(c.architecture, "bitnet-b1.58");
    EXPECT_EQ(c.name, "small");
    EXPECT_EQ(c.hidden, 192);
    EXPECT_EQ(c.ffn, 320);
    EXPECT_EQ(c.layers, 2);
    EXPECT_EQ(c.heads, 6);
    EXPECT_EQ(c.kv_heads, 2);
    EXPECT_EQ(c.head_dim, 32);
    EXPECT_EQ(c.vocab, 5003);
    EXPECT_EQ(c.context, 64);
    EXPECT_TRUE(c.tied_head);
    EXPECT_EQ(file.integer("general.file_type"), 40);
    EXPECT_EQ(file.text("tokenizer.ggml.model"), "no_vocab");
    EXPECT_EQ(file.integer("tritbench.dummy.seed"), 5);
    EXPECT_EQ(file.number("tritbench.dummy.zero_fraction"), 0.5);
    EXPECT_EQ(file.find_tensor("blk.1.attn_k.weight")->ne, (std::vector<int64_t>{192, 64}));
    EXPECT_EQ(file.find_tensor("blk.1.ffn_down.weight")->ne, (std::vector<int64_t>{320, 192}));
}

TEST(Generator, SameBytesFromAnyNumberOfThreads) {
    const TempFolder folder;
    std::string first;
    for (int threads : {1, 2, 5}) {
        ThreadPool pool(threads, {}, false);
        const auto path = folder / std::to_string(threads);
        ASSERT_TRUE(generate_dummy({small_config(), 9, 0.4}, path, pool));
        const std::string bytes = read_bytes(path);
        if (first.empty()) first = bytes;
        EXPECT_TRUE(bytes == first) << threads << " threads";
    }
    ThreadPool pool(1, {}, false);
    ASSERT_TRUE(generate_dummy({small_config(), 10, 0.4}, folder / "other", pool));
    EXPECT_FALSE(read_bytes(folder / "other") == first) << "another seed";
}

// FNV-1a of all tensors: the same from every compiler, ISA and machine.
TEST(Generator, GoldenHash) {
    const TempFolder folder;
    ThreadPool pool(2, {}, false);
    ASSERT_TRUE(generate_dummy({small_config(), 1, 0.4}, folder / "m", pool));
    const GgufFile file(folder / "m");
    uint64_t hash = 0xCBF29CE484222325;
    for (const GgufTensor& t : file.tensors()) {
        for (const char c : stored(file, t.name)) {
            hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001B3;
        }
    }
    EXPECT_EQ(hash, 0x0A4676F065D7098CU) << std::hex << hash;
}

TEST(Generator, SeparateHeadLeavesTheOtherWeightsAlone) {
    const TempFolder folder;
    ThreadPool pool(1, {}, false);
    DummyOptions options{small_config()};
    ASSERT_TRUE(generate_dummy(options, folder / "tied", pool));
    options.config.tied_head = false;
    ASSERT_TRUE(generate_dummy(options, folder / "separate", pool));
    const GgufFile tied(folder / "tied"), separate(folder / "separate");
    EXPECT_EQ(separate.tensors().size(), tied.tensors().size() + 1);
    for (const GgufTensor& t : tied.tensors()) {
        EXPECT_TRUE(stored(tied, t.name) == stored(separate, t.name)) << t.name;
    }
    EXPECT_FALSE(stored(separate, "output.weight") == stored(separate, "token_embd.weight"));
}

TEST(Generator, StoppingOrFailingLeavesNothing) {
    const TempFolder folder;
    ThreadPool pool(2, {}, false);
    const DummyOptions options{small_config()};
    const auto path = folder / "m.gguf";
    EXPECT_FALSE(generate_dummy(options, path, pool, [](uint64_t, uint64_t) { return false; }));
    EXPECT_EQ(folder.files(), 0U);
    EXPECT_THROW(generate_dummy(options, path, pool,
                                [](uint64_t, uint64_t) -> bool { throw Error("from progress"); }),
                 Error);
    EXPECT_EQ(folder.files(), 0U);
    DummyOptions bad = options;
    bad.config.heads = 7;
    EXPECT_THROW(generate_dummy(bad, path, pool), Error);
    DummyOptions vast{find_preset("100B").config};
    vast.config.layers = 4096;
    vast.config.hidden = vast.config.ffn = 1 << 20;  // 7 PB: no disk has room by chance
    vast.config.heads = vast.config.kv_heads = 8192;
    vast.config.head_dim = 128;
    EXPECT_HAS(error_of([&] { generate_dummy(vast, path, pool); }), "GB of disk");
    EXPECT_EQ(folder.files(), 0U);
}

TEST(Generator, ProgressGrowsToTheTotal) {
    const TempFolder folder;
    ThreadPool pool(2, {}, false);
    uint64_t last = 0, whole = 0;
    ASSERT_TRUE(
        generate_dummy({small_config()}, folder / "m", pool, [&](uint64_t done, uint64_t total) {
            EXPECT_GE(done, last);
            last = done;
            whole = total;
            return true;
        }));
    EXPECT_GT(whole, 0U);
    EXPECT_EQ(last, whole);
}

}  // namespace
}  // namespace tritbench
