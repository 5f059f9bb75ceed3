// Parts of convert and quantize that no command shows by itself; files with random damage.
#include <gtest/gtest.h>

#include <cstring>
#include <random>

#include "kernels/api/error.h"
#include "kernels/api/registry.h"
#include "model/convert/hf_rows.h"
#include "model/convert/json_file.h"
#include "model/convert/safetensors.h"
#include "model/convert/safetensors_header.h"
#include "model/convert/tensor_output.h"
#include "tests/gguf_bytes.h"
#include "tests/temporary_folder.h"

namespace tritbench {
namespace {

using testing::error_of;

std::string safetensors(const std::string& header, const std::string& data) {
    const uint64_t length = header.size();
    return std::string(reinterpret_cast<const char*>(&length), sizeof length) + header + data;
}

// A header of an odd length, so that 2-byte values lie at odd addresses.
std::string small_file() {
    return safetensors(
        R"({"__metadata__":{"format":"pt"},"bf":{"dtype":"BF16","shape":[3],"data_offsets":[0,6]},)"
        R"("half":{"dtype":"F16","shape":[2,1],"data_offsets":[6,10]},)"
        R"("none":{"dtype":"F32","shape":[0,5],"data_offsets":[10,10]},)"
        R"("one":{"dtype":"F32","shape":[],"data_offsets":[10,14]}})",
        std::string("\x80\x3F\x00\xC0\x01\x00", 6) + std::string("\x00\x3C\x01\x00", 4) +
            std::string("\x00\x00\x20\x41", 4));
}

std::vector<float> floats_of(const SafetensorsTensor& tensor) {
    std::vector<float> out(static_cast<size_t>(tensor.elements()));
    read_floats(tensor, 0, out);
    return out;
}

TEST(Safetensors, ValuesOfEveryFloatAtAnyAddress) {
    const TemporaryFolder folder;
    const SafetensorsFile file(folder.write("a.safetensors", small_file()));
    ASSERT_EQ(file.tensors().size(), 4U);
    EXPECT_EQ(file.tensors()[0].name, "bf");
    EXPECT_EQ(floats_of(file.tensors()[0]), (std::vector<float>{1.0F, -2.0F, 0x1p-133F}));
    EXPECT_EQ(floats_of(file.tensors()[1]), (std::vector<float>{1.0F, 0x1p-24F}));
    EXPECT_EQ(file.tensors()[2].elements(), 0);
    EXPECT_EQ(floats_of(file.tensors()[3]), (std::vector<float>{10.0F}));
    float second = 0;
    read_floats(file.tensors()[0], 1, {&second, 1});
    EXPECT_EQ(second, -2.0F);
}

// Whatever is damaged, a file is read or refused in one line: run with the sanitizers, this is
// where reads past the end would show.
TEST(Safetensors, RandomDamageIsReadOrRefused) {
    const TemporaryFolder folder;
    const std::string good = small_file();
    std::mt19937 random(7);
    int refused = 0;
    constexpr int kFiles = 400;
    for (int i = 0; i < kFiles; ++i) {
        std::string bad = good;
        for (int change = 0; change < 1 + i % 3; ++change) {
            bad[random() % bad.size()] = "0123456789[]{}\",:\0\xFF-e"[random() % 22];
        }
        if (i % 4 == 0) bad.resize(random() % bad.size());
        const auto path = folder.write("bad.safetensors", bad);
        const std::string error = error_of([&] {
            const SafetensorsFile file(path);
            for (const SafetensorsTensor& tensor : file.tensors()) {
                uint8_t sum = 0;
                for (uint64_t b = 0; b < tensor.bytes; ++b) {
                    sum = static_cast<uint8_t>(sum ^ static_cast<uint8_t>(tensor.data[b]));
                }
                EXPECT_LE(tensor.bytes, 14U) << int{sum};
            }
        });
        refused += error.empty() ? 0 : 1;
    }
    EXPECT_GT(refused, kFiles / 2);
    EXPECT_LT(refused, kFiles);
}

TEST(Safetensors, RandomDamageInHeaders) {
    const std::string good = small_file().substr(8, small_file().size() - 8 - 14);
    std::mt19937 random(8);
    int refused = 0;
    constexpr int kHeaders = 20000;
    for (int i = 0; i < kHeaders; ++i) {
        std::string bad = good;
        for (int change = 0; change < 1 + i % 3; ++change) {
            bad[random() % bad.size()] = "0123456789[]{}\",:\0\xFF-e"[random() % 22];
        }
        const std::string error = error_of([&] { parse_safetensors_header("file", bad); });
        if (!error.empty()) {
            EXPECT_EQ(error.substr(0, 6), "file: ");
        }
        refused += error.empty() ? 0 : 1;
    }
    EXPECT_GT(refused, kHeaders / 2);
    EXPECT_LT(refused, kHeaders);
}

TEST(Json, LimitsAreEnforced) {
    const TemporaryFolder folder;
    const auto path = folder.write("a.json", R"({"a": [1, 2, [3, [4]]], "b": {"c": null}})");
    EXPECT_EQ(read_json(path)["a"][2][1][0], 4);
    EXPECT_HAS(error_of([&] { read_json(path, {.bytes = 10}); }), "at most 10");
    EXPECT_HAS(error_of([&] { read_json(path, {.values = 8}); }), "more than 8 values");
    EXPECT_HAS(error_of([&] { read_json(path, {.depth = 2}); }), "nested deeper than 2");
    EXPECT_HAS(error_of([&] { read_json(folder.write("b.json", R"({"a":{"x":1,"x":2}})")); }),
               "'x' twice");
    // The same key in two objects is nothing wrong.
    EXPECT_EQ(read_json(folder.write("c.json", R"([{"x":1},{"x":{"x":2}}])")).size(), 2U);
}

TEST(HfRows, PermutedRowsAreAllRowsOnce) {
    constexpr int64_t heads = 3, head_dim = 8;
    std::vector<int> seen(heads * head_dim);
    for (int64_t row = 0; row < heads * head_dim; ++row) {
        const int64_t from = permuted_row(row, head_dim);
        ASSERT_EQ(from / head_dim, row / head_dim);
        ++seen[static_cast<size_t>(from)];
    }
    for (const int count : seen) EXPECT_EQ(count, 1);
    // Pairs that are neighbours in GGUF are half a head apart in the checkpoint.
    EXPECT_EQ(permuted_row(8, head_dim), 8);
    EXPECT_EQ(permuted_row(9, head_dim), 12);
    EXPECT_EQ(permuted_row(10, head_dim), 9);
}

TEST(TensorOutput, ScalesAsStored) {
    constexpr float scale = 0.0123F;
    for (const char* exact : {"i2_s", "tl1", "tl2", "iq2_bn", "i2r", "f32"}) {
        EXPECT_EQ(scale_as_stored(parse_format(exact), scale), scale) << exact;
    }
    for (const char* half : {"tq1_0", "tq2_0", "iq1_bn", "f16"}) {
        EXPECT_EQ(scale_as_stored(parse_format(half), scale), 0x1.93p-7F) << half;
    }
    EXPECT_EQ(scale_as_stored(parse_format("bf16"), scale), 0x1.94p-7F);
    ScaleRounding rounding;
    EXPECT_EQ(rounding.note(), "");
    rounding.add("a", parse_format("tq2_0"), 0.5F);
    EXPECT_EQ(rounding.note(), "");
    rounding.add("b", parse_format("tq2_0"), scale);
    EXPECT_HAS(rounding.note(), "1 of 2 are rounded");
    EXPECT_HAS(error_of([&] { rounding.add("c", parse_format("tq2_0"), 1e-9F); }), "tensor c");
    EXPECT_HAS(error_of([&] { rounding.add("d", parse_format("f16"), 1e9F); }), "tensor d");
}

// bitnet.cpp reads TL1 and TL2 in whole tiles only.
TEST(TensorOutput, TilesDivideTheShape) {
    const tb_shape shapes[] = {{3200, 8640}, {8640, 3200}, {1536, 4096}, {640, 2560}, {2560, 6912}};
    for (const tb_shape& shape : shapes) {
        for (const char* name : {"tl1", "tl2"}) {
            const MatrixFormat format = fit_tile(parse_format(name), shape);
            ASSERT_EQ(why_not_stored(format, shape), "") << name << shape.n;
            const std::string text = format_name(format);
            const int64_t rows = std::stoll(text.substr(text.find("BM=") + 3));
            const int64_t columns = std::stoll(text.substr(text.find("BK=") + 3));
            EXPECT_EQ(shape.n % rows, 0) << text;
            EXPECT_EQ(shape.k % columns % (std::strcmp(name, "tl1") == 0 ? shape.k : 32), 0)
                << text;
        }
    }
    // A tile that was asked for is kept.
    const MatrixFormat asked = parse_format("tl1:BM=128,BK=64,bm=32");
    EXPECT_EQ(format_name(fit_tile(asked, shapes[0])), format_name(asked));
}

}  // namespace
}  // namespace tritbench
