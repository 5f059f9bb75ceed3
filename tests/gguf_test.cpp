// GGUF files as they should be: reading, looking up, writing, and what the writer refuses.
#include "model/gguf.h"

#include <gtest/gtest.h>

#include <numeric>
#include <thread>

#include <fmt/format.h>

#include "model/gguf_verify.h"
#include "tests/gguf_bytes.h"

namespace tritbench {
namespace {

using testing::ByteBuilder;
using testing::error_of;
using testing::read_bytes;
using testing::TempFolder;

template <class T>
std::span<const std::byte> bytes_of(const std::vector<T>& values) {
    return std::as_bytes(std::span<const T>(values));
}

TEST(GgufTypes, SizesFollowTheBlockRules) {
    const auto bytes = [](GgmlType type, std::vector<int64_t> ne) {
        return ggml_tensor_bytes(type, ne);
    };
    EXPECT_EQ(bytes(GgmlType::F32, {3}), 12U);
    EXPECT_EQ(bytes(GgmlType::F16, {5, 7}), 70U);
    EXPECT_EQ(bytes(GgmlType::Q4_0, {64, 3}), 2U * 18 * 3);
    EXPECT_EQ(bytes(GgmlType::Q8_0, {64, 3}), 2U * 34 * 3);
    EXPECT_EQ(bytes(GgmlType::Q6_K, {512, 2}), 2U * 210 * 2);
    EXPECT_EQ(bytes(GgmlType::TQ1_0, {256, 2}), 54U * 2);
    EXPECT_EQ(bytes(GgmlType::TQ2_0, {256, 2}), 66U * 2);
    EXPECT_EQ(bytes(GgmlType::I2_S, {2560, 6912}), 2560U * 6912 / 4 + 32);
    EXPECT_EQ(bytes(GgmlType::I2_S, {32, 4}), 64U);
    EXPECT_EQ(bytes(GgmlType::TL1, {4096, 4096}), 4096U * 4096 / 4 + 32);
    // 3840 columns in triples of 5 bits, 256 in pairs of 4, and the scale.
    EXPECT_EQ(bytes(GgmlType::TL2, {4096, 4096}), 4096U * 3840 / 3 * 5 / 8 + 4096 * 64 + 32);
    EXPECT_EQ(bytes(GgmlType::IQ1_BN, {128, 3}), 3U * (2 + 2 * 13));
    EXPECT_EQ(bytes(GgmlType::IQ2_BN, {128, 3}), 3U * (4 + 2 * 16));
    EXPECT_EQ(bytes(GgmlType::IQ2_BN_R4, {128, 4}), 4U * (4 + 2 * 16));
}

TEST(GgufTypes, ImpossibleExtentsHaveNoSize) {
    const auto bytes = [](GgmlType type, std::vector<int64_t> ne) {
        return ggml_tensor_bytes(type, ne);
    };
    EXPECT_EQ(bytes(GgmlType::I2_S, {32, 3}), std::nullopt);   // 96 % 128
    EXPECT_EQ(bytes(GgmlType::Q8_0, {33, 32}), std::nullopt);  // the row, not the total
    EXPECT_EQ(bytes(GgmlType::TQ2_0, {128, 2}), std::nullopt);
    EXPECT_EQ(bytes(GgmlType::TL2, {255, 32}), std::nullopt);  // bitnet.cpp's formula goes below 0
    EXPECT_EQ(bytes(GgmlType::TL1, {3, 3}), std::nullopt);
    EXPECT_EQ(bytes(GgmlType::IQ1_BN, {96, 4}), std::nullopt);
    EXPECT_EQ(bytes(GgmlType::IQ2_BN_R4, {64, 6}), std::nullopt);  // four rows together
    EXPECT_EQ(bytes(static_cast<GgmlType>(99), {4}), std::nullopt);
    EXPECT_EQ(bytes(GgmlType::F32, {}), std::nullopt);
    EXPECT_EQ(bytes(GgmlType::F32, {0}), std::nullopt);
    EXPECT_EQ(bytes(GgmlType::F32, {-4}), std::nullopt);
    EXPECT_EQ(bytes(GgmlType::F32, {int64_t{1} << 40, int64_t{1} << 40}), std::nullopt);
    EXPECT_EQ(bytes(GgmlType::F64, {INT64_MAX}), std::nullopt);  // elements fit, bytes do not
    EXPECT_EQ(ggml_type_name(GgmlType::I2_S), "i2_s");
    EXPECT_EQ(ggml_type_name(static_cast<GgmlType>(99)), "type 99");
}

TEST(GgufReader, ReadsEveryKindOfValue) {
    const TempFolder folder;
    ByteBuilder b;
    b.header(0, 14);
    b.text("u8").u32(0).u8(200);
    b.text("i8").u32(1).add(int8_t{-5});
    b.text("u16").u32(2).add(uint16_t{60000});
    b.text("i16").u32(3).add(int16_t{-300});
    b.text("u32").u32(4).u32(4000000000U);
    b.text("i32").u32(5).add(int32_t{7});
    b.text("f32").u32(6).f32(0.5F);
    b.text("bool").u32(7).u8(1);
    b.text("text").u32(8).text("ternary");
    b.text("u64").u32(10).u64(uint64_t{1} << 40);
    b.text("i64").u32(11).add(int64_t{-9});
    b.text("f64").u32(12).add(2.25);
    b.text("numbers").u32(9).u32(4).u64(3).u32(1).u32(2).u32(3);
    b.text("texts").u32(9).u32(8).u64(2).text("a").text("");
    b.save(folder / "f");
    const GgufFile file(folder / "f");
    EXPECT_EQ(file.version(), 3U);
    EXPECT_EQ(file.file_bytes(), b.bytes().size());
    EXPECT_EQ(file.metadata().size(), 14U);
    EXPECT_EQ(file.integer("u8"), 200);
    EXPECT_EQ(file.integer("u16"), 60000);
    EXPECT_EQ(file.integer("i32"), 7);
    EXPECT_EQ(file.number("f32"), 0.5);
    EXPECT_EQ(file.number("f64"), 2.25);
    EXPECT_EQ(file.number("i64"), -9);
    EXPECT_EQ(file.text("text"), "ternary");
    EXPECT_TRUE(file.boolean("bool", false));
    EXPECT_EQ(std::get<int64_t>(*file.find("i8")), -5);
    EXPECT_EQ(std::get<int64_t>(*file.find("i16")), -300);
    EXPECT_EQ(std::get<uint64_t>(*file.find("u64")), uint64_t{1} << 40);
    const auto& numbers = std::get<GgufArray>(*file.find("numbers"));
    EXPECT_EQ(numbers.count, 3U);
    EXPECT_EQ(std::get<uint64_t>(numbers.values().at(2)), 3U);
    EXPECT_EQ(numbers.values(1).size(), 1U);
    const auto& texts = std::get<GgufArray>(*file.find("texts"));
    EXPECT_EQ(std::get<std::string>(texts.values().at(0)), "a");
    EXPECT_EQ(std::get<std::string>(texts.values().at(1)), "");
}

TEST(GgufReader, LookUpsNameFileAndKey) {
    const TempFolder folder;
    ByteBuilder b;
    b.header(0, 4).key_u32("n", 7).key_text("t", "x").key_u32("big", 1U << 31);
    b.key_f32("inf", std::numeric_limits<float>::infinity());
    b.save(folder / "f.gguf");
    const GgufFile file(folder / "f.gguf");
    EXPECT_EQ(file.integer("absent", 3), 3);
    EXPECT_EQ(file.number("absent", 1.5), 1.5);
    EXPECT_EQ(file.text("absent", "d"), "d");
    EXPECT_FALSE(file.boolean("absent", false));
    EXPECT_EQ(file.find("absent"), nullptr);
    EXPECT_EQ(file.find_tensor("absent"), nullptr);
    for (const std::string& message :
         {error_of([&] { file.integer("absent"); }), error_of([&] { file.number("absent"); }),
          error_of([&] { file.text("absent"); })}) {
        EXPECT_HAS(message, "f.gguf: key 'absent' is missing");
    }
    EXPECT_HAS(error_of([&] { file.integer("t", 1); }), "key 't' is not an integer");
    EXPECT_HAS(error_of([&] { file.number("t"); }), "key 't' is not a number");
    EXPECT_HAS(error_of([&] { file.text("n"); }), "key 'n' is not a text");
    EXPECT_HAS(error_of([&] { file.boolean("n", true); }), "'n' is not a boolean");
    EXPECT_HAS(error_of([&] { file.integer("big"); }), "2147483648");
    EXPECT_HAS(error_of([&] { file.number("inf"); }), "expected a finite number");
}

TEST(GgufReader, PlacesTensorsByTheFilesAlignment) {
    const TempFolder folder;
    ByteBuilder b;
    b.header(2, 1, 2).key_u32("general.alignment", 64);
    b.tensor("a", {2}, 0, 0).tensor("b", {3, 1}, 0, 64).align(64);
    b.f32(1).f32(2).align(64).f32(3).f32(4).f32(5);
    b.save(folder / "f");
    const GgufFile file(folder / "f");
    EXPECT_EQ(file.version(), 2U);
    const GgufTensor* t = file.find_tensor("b");
    ASSERT_NE(t, nullptr);
    EXPECT_EQ(t->ne, (std::vector<int64_t>{3, 1}));
    EXPECT_EQ(t->bytes, 12U);
    EXPECT_EQ(t->file_offset % 64, 0U);
    float value = 0;
    std::memcpy(&value, t->data + 8, sizeof(value));
    EXPECT_EQ(value, 5);
}

TEST(GgufReader, ListsTensorsOfUnknownTypeWithoutData) {
    const TempFolder folder;
    ByteBuilder b;
    b.header(3, 0);
    b.tensor("new", {8}, 4242, 0).tensor("tl2", {64, 64}, 39, 0).tensor("odd", {33}, 8, 0);
    b.align(32).zeros(64).save(folder / "f");
    const GgufFile file(folder / "f");
    ASSERT_EQ(file.tensors().size(), 3U);
    ThreadPool pool(1, {}, false);
    for (const GgufTensor& t : file.tensors()) {
        EXPECT_EQ(t.data, nullptr) << t.name;
        EXPECT_EQ(t.bytes, 0U) << t.name;
        EXPECT_HAS(check_tensor(t, pool).problem, "cannot be checked");
    }
}

TEST(GgufWriter, RoundTrip) {
    const TempFolder folder;
    const auto path = folder / "f.gguf";
    std::vector<float> a(5);
    std::iota(a.begin(), a.end(), 1.0F);
    std::vector<uint16_t> b(64);
    std::iota(b.begin(), b.end(), uint16_t{100});
    {
        GgufWriter writer(path, 64);
        writer.set_u32("u", 5);
        writer.set_u64("w", uint64_t{1} << 50);
        writer.set_f32("f", 0.25F);
        writer.set_bool("yes", true);
        writer.set_text("t", "text");
        writer.set_texts("many", {"one", "two"});
        writer.add_tensor("a", GgmlType::F32, {5});
        writer.add_tensor("b", GgmlType::F16, {32, 2});
        const uint64_t total = writer.total_bytes();
        writer.begin();
        EXPECT_FALSE(std::filesystem::exists(path)) << "must appear only when it is complete";
        writer.write(bytes_of(a).first(8));
        writer.write(bytes_of(a).subspan(8));
        writer.write_at(1, 64, bytes_of(b).subspan(64));
        writer.write_at(1, 0, bytes_of(b).first(64));
        writer.finish();
        EXPECT_EQ(std::filesystem::file_size(path), total);
    }
    const GgufFile file(path);
    EXPECT_EQ(file.integer("u"), 5);
    EXPECT_EQ(std::get<uint64_t>(*file.find("w")), uint64_t{1} << 50);
    EXPECT_EQ(file.number("f"), 0.25);
    EXPECT_TRUE(file.boolean("yes", false));
    EXPECT_EQ(file.text("t"), "text");
    EXPECT_EQ(std::get<std::string>(std::get<GgufArray>(*file.find("many")).values().at(1)), "two");
    const GgufTensor* ta = file.find_tensor("a");
    const GgufTensor* tb = file.find_tensor("b");
    ASSERT_TRUE(ta && tb);
    EXPECT_EQ(tb->file_offset % 64, 0U);
    EXPECT_EQ(std::memcmp(ta->data, a.data(), 20), 0);
    EXPECT_EQ(std::memcmp(tb->data, b.data(), 128), 0);
    EXPECT_EQ(folder.files(), 1U);
}

// The bytes of a whole file, by hand from the format's description.
TEST(GgufWriter, GoldenBytes) {
    const TempFolder folder;
    GgufWriter writer(folder / "f");
    writer.set_u32("k", 9);
    writer.add_tensor("t", GgmlType::F32, {1});
    writer.begin();
    writer.write(bytes_of(std::vector<float>{1.0F}));
    writer.finish();
    ByteBuilder expected;
    expected.header(1, 1).key_u32("k", 9).tensor("t", {1}, 0, 0).align(32).f32(1).align(32);
    EXPECT_EQ(read_bytes(folder / "f"), expected.bytes());
}

TEST(GgufWriter, LeavesNothingWithoutFinish) {
    const TempFolder folder;
    {
        GgufWriter writer(folder / "f");
        writer.add_tensor("t", GgmlType::F32, {4});
        writer.begin();
        EXPECT_EQ(folder.files(), 1U);
        EXPECT_HAS(error_of([&] { writer.finish(); }), "'t' has 0 of its 16 bytes");
    }
    EXPECT_EQ(folder.files(), 0U);
}

TEST(GgufWriter, KeepsTheOldFileUntilTheNewIsComplete) {
    const TempFolder folder;
    ByteBuilder().raw("old").save(folder / "f");
    {
        GgufWriter writer(folder / "f");
        writer.begin();
    }
    EXPECT_EQ(read_bytes(folder / "f"), "old");
    GgufWriter writer(folder / "f");
    writer.begin();
    writer.finish();
    EXPECT_EQ(read_bytes(folder / "f").substr(0, 4), "GGUF");
    EXPECT_EQ(folder.files(), 1U);
}

TEST(GgufWriter, RefusesWhatCannotBeAFile) {
    const TempFolder folder;
    GgufWriter w(folder / "f");
    w.set_u32("k", 1);
    EXPECT_HAS(error_of([&] { w.set_u32("k", 2); }), "'k' is set twice");
    w.add_tensor("t", GgmlType::F32, {4});
    EXPECT_HAS(error_of([&] { w.add_tensor("t", GgmlType::F32, {4}); }), "twice");
    EXPECT_HAS(error_of([&] { w.add_tensor("", GgmlType::F32, {4}); }), "0 bytes");
    EXPECT_HAS(error_of([&] { w.add_tensor(std::string(64, 'x'), GgmlType::F32, {4}); }),
               "64 bytes");
    EXPECT_HAS(error_of([&] {
                   w.add_tensor("u", GgmlType::I2_S, {32, 3});
               }),
               "32 x 3 cannot be stored as i2_s");
    EXPECT_HAS(error_of([&] {
                   w.add_tensor("u", GgmlType::F32, {1, 1, 1, 1, 1});
               }),
               "5 dimensions");
    EXPECT_HAS(error_of([&] { w.write(bytes_of(std::vector<float>(4))); }), "begin()");
    w.begin();
    EXPECT_HAS(error_of([&] { w.set_u32("late", 2); }), "after begin()");
    EXPECT_HAS(error_of([&] { w.add_tensor("late", GgmlType::F32, {4}); }), "after begin()");
    EXPECT_HAS(error_of([&] { w.write(bytes_of(std::vector<float>(5))); }), "holds 16 bytes");
    EXPECT_HAS(error_of([&] { w.write_at(0, 12, bytes_of(std::vector<float>(2))); }),
               "holds 16 bytes");
    EXPECT_HAS(error_of([&] { w.write_at(1, 0, {}); }), "there are only 1");
    EXPECT_HAS(error_of([&] { GgufWriter(folder / "g", 48); }), "alignment 48");
}

TEST(GgufWriter, ChecksTheDiskBeforeWriting) {
    const TempFolder folder;
    GgufWriter huge(folder / "f");
    huge.add_tensor("t", GgmlType::F32, {int64_t{1} << 52});
    const std::string message = error_of([&] { huge.begin(); });
    EXPECT_HAS(message, "needs 18014398.51 GB of disk");
    EXPECT_HAS(message, "GB free");
    GgufWriter nowhere(folder / "no/such/folder/f");
    EXPECT_HAS(error_of([&] { nowhere.begin(); }), "No such file or directory");
    GgufWriter on_folder(folder / "");
    EXPECT_HAS(error_of([&] { on_folder.begin(); }), "not a regular file");
    EXPECT_EQ(folder.files(), 0U);
}

GgufTensor tensor_over(GgmlType type, std::vector<int64_t> ne, const std::string& data) {
    GgufTensor t;
    t.name = "t";
    t.type = type;
    t.ne = std::move(ne);
    t.bytes = data.size();
    t.data = reinterpret_cast<const std::byte*>(data.data());
    return t;
}

TEST(GgufVerify, CountsZerosAndFindsCode3AnywhereInI2S) {
    // 0x55: four zeros; 0x00: four -1; 0xAA: four +1.
    constexpr size_t packed = 32 * 4099;  // not a multiple of any batch or thread count
    std::string data(packed, '\x00');
    std::fill_n(data.begin(), packed / 3, '\x55');
    std::fill_n(data.begin() + packed / 2, 1000, '\xAA');
    data += ByteBuilder().f32(0.5F).zeros(28).bytes();
    for (int threads : {1, 3}) {
        ThreadPool pool(threads, {}, false);
        const GgufTensor good = tensor_over(GgmlType::I2_S, {128, 4099}, data);
        const TensorCheck check = check_tensor(good, pool);
        EXPECT_EQ(check.problem, "");
        EXPECT_TRUE(check.ternary);
        EXPECT_EQ(check.zeros, packed / 3 * 4);
        EXPECT_EQ(check.scale, 0.5F);
        for (size_t at : {size_t{0}, packed / 2 + 7, packed - 1}) {
            for (char code3 : {'\x03', '\x0C', '\x30', '\xC0'}) {
                std::string bad = data;
                bad[at] = code3;
                EXPECT_HAS(
                    check_tensor(tensor_over(GgmlType::I2_S, {128, 4099}, bad), pool).problem,
                    fmt::format("byte {} holds code 3", at));
            }
        }
    }
}

TEST(GgufVerify, RefusesScalesThatAreNotPositive) {
    ThreadPool pool(1, {}, false);
    const float infinity = std::numeric_limits<float>::infinity();
    for (float scale : {0.0F, -1.0F, infinity, std::numeric_limits<float>::quiet_NaN()}) {
        const std::string data = ByteBuilder().zeros(32).f32(scale).zeros(28).bytes();
        EXPECT_HAS(check_tensor(tensor_over(GgmlType::I2_S, {128}, data), pool).problem,
                   "scale is");
    }
}

TEST(GgufVerify, FindsWhatIsNotFinite) {
    ThreadPool pool(2, {}, false);
    const auto check = [&](GgmlType type, std::vector<int64_t> ne, std::string data, size_t at,
                           std::string_view bad) {
        EXPECT_EQ(check_tensor(tensor_over(type, ne, data), pool).problem, "");
        data.replace(at, bad.size(), bad);
        return check_tensor(tensor_over(type, ne, data), pool).problem;
    };
    using std::literals::operator""sv;
    const std::string zeros(9000 * 4, '\0');
    EXPECT_HAS(check(GgmlType::F32, {9000}, zeros, 4 * 8999, "\0\0\x80\x7F"sv),
               "value 8999 is not a finite number");
    EXPECT_HAS(check(GgmlType::F16, {18000}, zeros, 2 * 5, "\x01\xFC"sv), "value 5 ");
    EXPECT_HAS(check(GgmlType::BF16, {18000}, zeros, 2 * 17999, "\x80\x7F"sv), "value 17999 ");
    EXPECT_HAS(check(GgmlType::F64, {4500}, zeros, 8 * 9, "\0\0\0\0\0\0\xF0\x7F"sv), "value 9 ");
    EXPECT_HAS(check(GgmlType::Q8_0, {64}, zeros.substr(0, 68), 34, "\0\x7C"sv), "block scale 1 ");
    EXPECT_HAS(check(GgmlType::Q6_K, {512}, zeros.substr(0, 420), 418, "\0\x7C"sv),
               "block scale 1 ");
    EXPECT_HAS(check(GgmlType::TQ2_0, {256}, zeros.substr(0, 66), 64, "\0\x7C"sv),
               "block scale 0 ");
    EXPECT_EQ(check(GgmlType::I8, {4}, "abcd", 0, "\xFF"), "");
}

}  // namespace
}  // namespace tritbench
