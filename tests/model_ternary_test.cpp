// Matrices that claim to be ternary: what is taken, what is refused, and with what words.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <string>
#include <vector>

#include "tests/model_formats.h"

namespace tritbench {
namespace {

using namespace test;

// One matrix in a file of its own.
class Matrix : public testing::Test {
  protected:
    static constexpr tb_shape kShape{128, 256};

    // Values, or trits and scales, as the format wants them.
    template <class Value>
    fs::path store(const char* format, Value value, const std::vector<float>& scales = {0.25F}) {
        const fs::path path = folder / "matrix.gguf";
        const MatrixFormat wanted = parse_format(format);
        GgufWriter writer(path, 64);
        writer.set_text("general.architecture", "none");
        add_matrix(writer, "w", wanted, kShape);
        writer.begin();
        const int64_t each = wanted.codec->scale_granularity == TB_SCALE_BLOCK ? kShape.k / 256 : 1;
        writer.write(
            encode_tensor(pool, wanted, kShape,
                          [&](int64_t begin, int64_t end, int8_t* trits, float* values, float* to) {
                              for (int64_t i = begin * kShape.k; i < end * kShape.k; ++i) {
                                  if (trits != nullptr) {
                                      *trits++ = static_cast<int8_t>(value(i));
                                  } else {
                                      *values++ = static_cast<float>(value(i));
                                  }
                              }
                              to[0] = scales[0];
                              if (scales.size() == 1) return;
                              for (int64_t r = begin; r < end; ++r) {
                                  std::fill_n(to + (r - begin) * each, each,
                                              scales[static_cast<size_t>(r)]);
                              }
                          })
                .bytes);
        writer.finish();
        return path;
    }

    std::string error(const fs::path& path,
                      TernaryMatrix::Read read = TernaryMatrix::Read::Values) {
        const GgufFile file(path);
        try {
            TernaryMatrix(pool, StoredMatrix(file, file.tensors().front()), read);
        } catch (const Error& e) {
            EXPECT_EQ(std::string(e.what()).find('\n'), std::string::npos);
            EXPECT_NE(std::string(e.what()).find("tensor w"), std::string::npos) << e.what();
            return e.what();
        }
        return "";
    }

    // Overwrites bytes of the tensor.
    template <class Value>
    void poke(const fs::path& path, uint64_t at, Value value) {
        const uint64_t offset = GgufFile(path).tensors().front().file_offset;
        std::fstream out(path, std::ios::in | std::ios::out | std::ios::binary);
        out.seekp(static_cast<std::streamoff>(offset + at));
        out.write(reinterpret_cast<const char*>(&value), sizeof value);
    }

    static int trit(int64_t i) { return static_cast<int>((i * i + i / 7) % 3) - 1; }

    Folder folder;
    ThreadPool pool{2};
};

void expect_has(const std::string& text, const std::string& part) {
    EXPECT_NE(text.find(part), std::string::npos) << text << "\nlacks: " << part;
}

// Any range of rows is what the rows are one by one.
TEST_F(Matrix, RowsInAnyRange) {
    for (const tb_kernel* kernel : all_kernels()) {
        if (std::string_view(kernel->isa) != "scalar") continue;
        const bool ternary = kernel->weight_kind == TB_WEIGHT_TERNARY;
        const std::string layout = kernel->layout;
        const std::string format = layout.starts_with("tl") ? layout + ":BM=128" : layout;
        const fs::path path = store(format.c_str(), [&](int64_t i) {
            return ternary ? static_cast<double>(trit(i)) : std::sin(static_cast<double>(i));
        });
        const GgufFile file(path);
        LoadOptions options;
        const StoredMatrix stored(file, file.tensors().front(), options);
        const auto k = static_cast<size_t>(kShape.k);
        std::vector<float> all(128 * k), some(128 * k);
        stored.values(0, 128, all.data());
        for (int64_t i = 0; i < kShape.n; ++i) {
            stored.values(i, i + 1, some.data() + static_cast<size_t>(i) * k);
        }
        EXPECT_EQ(all, some) << kernel->id;
        stored.values(37, 101, some.data());
        EXPECT_TRUE(std::equal(some.begin(), some.begin() + 64 * 256, all.begin() + 37 * 256))
            << kernel->id;
        if (!ternary) continue;
        const TernaryMatrix matrix(pool, stored);
        EXPECT_TRUE(matrix.one_scale()) << kernel->id;
        EXPECT_EQ(matrix.scale(), 0.25F) << kernel->id;
        EXPECT_TRUE(matrix.codes_are_trits()) << kernel->id;
        EXPECT_EQ(matrix.zeros(), static_cast<uint64_t>(std::count(all.begin(), all.end(), 0.0F)));
        for (size_t i = 0; i < all.size(); ++i) {
            ASSERT_EQ(all[i], 0.25F * static_cast<float>(trit(static_cast<int64_t>(i))))
                << kernel->id;
        }
    }
}

TEST_F(Matrix, FloatsThatAreTernaryAre) {
    for (const char* format : {"f32", "f16", "bf16", "q8_0"}) {
        const fs::path path = store(format, [](int64_t i) { return 0.125 * trit(i); });
        EXPECT_EQ(error(path), "") << format;
        const GgufFile file(path);
        const TernaryMatrix matrix(pool, StoredMatrix(file, file.tensors().front()));
        EXPECT_NEAR(matrix.scale(), 0.125, 1e-4) << format;  // q8_0 rounds a 127th of it
        std::vector<int8_t> trits(128 * 256);
        float scale = 0;
        matrix.rows_for(i2s())(0, 128, trits.data(), nullptr, &scale);
        EXPECT_EQ(scale, matrix.scale());
        for (size_t i = 0; i < trits.size(); ++i) {
            ASSERT_EQ(trits[i], trit(static_cast<int64_t>(i)));
        }
    }
}

TEST_F(Matrix, MasterWeightsAreToBeConverted) {
    for (const char* format : {"f32", "f16", "bf16", "q8_0", "q6_k", "q4_0"}) {
        const std::string message =
            error(store(format, [](int64_t i) { return std::sin(static_cast<double>(i)); }));
        expect_has(message, std::string(format) + " weights of the magnitudes");
        expect_has(message, "tritbench convert");
    }
    // One of them is enough, wherever it is: in the first row, or with another magnitude in the
    // last.
    for (const int64_t at : {int64_t{3}, int64_t{127 * 256 + 200}}) {
        const std::string message =
            error(store("f32", [at](int64_t i) { return i == at ? 0.25 : 0.125 * trit(i); }));
        expect_has(message, "0.125");
        expect_has(message, "0.25");
    }
    expect_has(error(store("f32", [](int64_t i) { return i == 7 ? NAN : 0.5 * trit(i); })), "nan");
    expect_has(error(store("f16", [](int64_t i) { return i == 7 ? 1e9 : 0.5 * trit(i); })), "inf");
    expect_has(error(store("f32", [](int64_t) { return 0.0; })), "all weights are 0");
}

TEST_F(Matrix, ScalesOfRows) {
    std::vector<float> scales(128);
    for (size_t i = 0; i < scales.size(); ++i) scales[i] = 0.25F + static_cast<float>(i) / 128;
    scales[5] = 0.0F;  // as ik_llama.cpp stores a row of zeros, whatever its codes are
    for (const char* format : {"iq2_bn", "iq2_bn_r4", "iq1_bn", "tq2_0"}) {
        const fs::path path = store(format, trit, scales);
        const GgufFile file(path);
        const TernaryMatrix matrix(pool, StoredMatrix(file, file.tensors().front()));
        EXPECT_FALSE(matrix.one_scale()) << format;
        EXPECT_FALSE(matrix.codes_are_trits()) << format;
        EXPECT_THROW(matrix.rows_for(i2s()), Error);
        std::vector<int8_t> trits(128 * 256);
        std::vector<float> found(128);
        matrix.rows_for (*find_kernel("iq2_bn_scalar"))(0, 128, trits.data(), nullptr,
                                                        found.data());
        EXPECT_EQ(found, scales) << format;
        for (size_t i = 0; i < trits.size(); ++i) {
            const int expected = i / 256 == 5 ? 0 : trit(static_cast<int64_t>(i));
            ASSERT_EQ(trits[i], expected) << format << " " << i;
        }
    }
    // A row of zeros does not make the scales differ.
    std::vector<float> same(128, 0.5F);
    same[9] = 0.0F;
    const fs::path path = store("iq2_bn", trit, same);
    const GgufFile file(path);
    const TernaryMatrix matrix(pool, StoredMatrix(file, file.tensors().front()));
    EXPECT_TRUE(matrix.one_scale());
    EXPECT_EQ(matrix.scale(), 0.5F);
}

TEST_F(Matrix, BadCodesAndScales) {
    const auto read = [&](const GgufFile& file) {
        const TernaryMatrix matrix(pool, StoredMatrix(file, file.tensors().front()),
                                   TernaryMatrix::Read::Scales);
        std::vector<int8_t> trits(128 * 256);
        std::vector<float> scales(128);
        matrix.rows_for (*find_kernel("iq2_bn_scalar"))(0, 128, trits.data(), nullptr,
                                                        scales.data());
    };
    // A byte that no packer of the format writes.
    const std::pair<const char*, uint8_t> codes[] = {{"i2_s", 0x03},
                                                     {"tl1:BM=128,BK=64", 0xFF},
                                                     {"tl2:BM=128,BK=96", 0xFF},
                                                     {"tq1_0", 0x01},
                                                     {"tq2_0", 0xFF},
                                                     {"iq2_bn", 0xFF},
                                                     {"int8", 0x02},
                                                     {"i2r", 0xFF},
                                                     {"t3r", 0xFF},
                                                     {"t5r", 0xFF}};
    for (const auto& [format, code] : codes) {
        const fs::path path = store(format, trit);
        poke(path, 6, code);
        EXPECT_NE(error(path), "") << format;
        const GgufFile file(path);
        EXPECT_THROW(read(file), Error) << format;  // when packing reads it
    }
    for (const float scale : {0.0F, -1.0F, std::nanf(""), HUGE_VALF}) {
        const fs::path path = store("i2_s", trit);
        poke(path, 128 * 256 / 4, scale);
        for (const auto depth : {TernaryMatrix::Read::Values, TernaryMatrix::Read::Scales}) {
            expect_has(error(path, depth), "scale");
        }
    }
    const fs::path path = store("iq2_bn", trit);
    poke(path, 0, -1.0F);
    expect_has(error(path), "scale -1");
}

// Keys and bytes of a layout of our own that contradict each other.
class OwnLayout : public Matrix {
  protected:
    std::string with(std::string_view layout, uint32_t n, uint32_t k, int64_t bytes,
                     std::string_view tile = "") {
        const fs::path path = folder / "own.gguf";
        GgufWriter writer(path, 64);
        writer.set_text("tritbench.tensor.w.layout", layout);
        writer.set_u32("tritbench.tensor.w.n", n);
        writer.set_u32("tritbench.tensor.w.k", k);
        if (!tile.empty()) writer.set_text("tritbench.tensor.w.tile", tile);
        writer.add_tensor("w", GgmlType::I8, {bytes});
        writer.begin();
        writer.write(std::vector<std::byte>(static_cast<size_t>(bytes)));
        writer.finish();
        return error(path);
    }
};

TEST_F(OwnLayout, KeysAreChecked) {
    const tb_shape shape{128, 256};
    const tb_kernel& i2r = *find_kernel("i2r_scalar");
    const auto bytes = static_cast<int64_t>(i2r.packed_size(&shape, nullptr));
    expect_has(with("i2r", 128, 256, bytes), "scale 0");  // all else is right
    expect_has(with("i2r", 128, 256, bytes - 1),
               fmt::format("{} bytes; expected {}", bytes - 1, bytes));
    expect_has(with("i2r", 256, 256, bytes), "expected");
    expect_has(with("i2r", 0, 256, bytes), "0 x 256");
    expect_has(with("i2r", 2000000000, 2000000000, bytes), "2000000000");
    expect_has(with("nonesuch", 128, 256, bytes), "'nonesuch'; expected a layout");
    expect_has(with("\x1b[2J", 128, 256, bytes), "expected a layout");
    expect_has(with("f16", 128, 256, 128 * 512), "'f16'; expected a layout");  // has a type
    expect_has(with("i2r", 128, 256, bytes, "BM=64"), "BM");
    expect_has(with("i2r", 128, 256, bytes, "prefetch=999999"), "prefetch");
}

}  // namespace
}  // namespace tritbench
