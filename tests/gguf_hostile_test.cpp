// GGUF files made to hurt: every one must end in an Error of one line that names the file.
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <functional>
#include <random>

#include "model/gguf.h"
#include "tests/gguf_bytes.h"

namespace tritbench {
namespace {

using testing::ByteBuilder;
using testing::error_of;
using testing::TempFolder;

constexpr uint64_t kHuge = uint64_t{1} << 60;

struct Hostile {
    const char* name;
    const char* expected;  // in the message
    std::function<void(ByteBuilder&)> build;
};

// One F32 tensor of 4 values, whose entry the case gives.
void one_tensor(ByteBuilder& b, const std::vector<uint64_t>& ne, uint32_t type, uint64_t offset) {
    b.header(1, 0).tensor("t", ne, type, offset).align(32).zeros(64);
}

const std::vector<Hostile>& cases() {
    static const std::vector<Hostile> all = {
        {"WrongMagic", "expected 'GGUF'", [](ByteBuilder& b) { b.raw("GGML").zeros(60); }},
        {"ControlCharactersInMagic", "\\x0a",
         [](ByteBuilder& b) { b.raw("\n\r\t\x1B").zeros(60); }},
        {"Version1", "version 1", [](ByteBuilder& b) { b.header(0, 0, 1); }},
        {"Version4", "version 4", [](ByteBuilder& b) { b.header(0, 0, 4); }},
        {"BigEndian", "big-endian", [](ByteBuilder& b) { b.header(0, 0, 0x01000000); }},
        {"TensorCountHuge", "tensor count", [](ByteBuilder& b) { b.header(kHuge, 0).zeros(99); }},
        {"KeyCountHuge", "key count", [](ByteBuilder& b) { b.header(0, kHuge).zeros(99); }},
        {"CountsOfAllOnes", "key count", [](ByteBuilder& b) { b.header(~0ULL, ~0ULL).zeros(99); }},
        {"KeyLengthPastEnd", "truncated",
         [](ByteBuilder& b) { b.header(0, 1).u64(1000).raw("key").zeros(32); }},
        {"KeyLengthHuge", "truncated", [](ByteBuilder& b) { b.header(0, 1).u64(~0ULL).zeros(32); }},
        {"KeyEmpty", "0 bytes", [](ByteBuilder& b) { b.header(0, 1).u64(0).zeros(32); }},
        {"KeyTooLong", "65536 bytes",
         [](ByteBuilder& b) { b.header(0, 1).text(std::string(65536, 'k')).u32(0).u8(0); }},
        {"TextLengthHuge", "truncated",
         [](ByteBuilder& b) { b.header(0, 1).text("k").u32(8).u64(kHuge).zeros(32); }},
        {"ValueTypeUnknown", "unknown value type 13",
         [](ByteBuilder& b) { b.header(0, 1).text("k").u32(13).zeros(32); }},
        {"BoolOf2", "boolean of value 2",
         [](ByteBuilder& b) { b.header(0, 1).text("k").u32(7).u8(2).zeros(32); }},
        {"ArrayOfArrays", "array of arrays",
         [](ByteBuilder& b) { b.header(0, 1).text("k").u32(9).u32(9).u64(1).u32(9).zeros(64); }},
        {"ArrayTypeUnknown", "unknown type 77",
         [](ByteBuilder& b) { b.header(0, 1).text("k").u32(9).u32(77).u64(1).zeros(64); }},
        {"ArrayCountHuge", "element count",
         [](ByteBuilder& b) { b.header(0, 1).text("k").u32(9).u32(12).u64(kHuge).zeros(64); }},
        // 2^61 * 8 bytes is 0 in 64 bits.
        {"ArrayBytesWrapAround", "element count",
         [](ByteBuilder& b) { b.header(0, 1).text("k").u32(9).u32(10).u64(1ULL << 61).zeros(64); }},
        {"ArrayOfTextsPastEnd", "truncated",
         [](ByteBuilder& b) { b.header(0, 1).text("k").u32(9).u32(8).u64(2).text("a").u64(99); }},
        {"ArrayOfWrongBools", "boolean of value 9",
         [](ByteBuilder& b) {
             b.header(0, 1).text("k").u32(9).u32(7).u64(2).u8(1).u8(9).zeros(9);
         }},
        {"KeyTwice", "'same' appears twice",
         [](ByteBuilder& b) { b.header(0, 2).key_u32("same", 1).key_u32("same", 2); }},
        {"NewlineInKeyTwice", "'a\\x0ab' appears twice",
         [](ByteBuilder& b) { b.header(0, 2).key_u32("a\nb", 1).key_u32("a\nb", 2); }},
        {"TensorTwice", "'t' appears twice",
         [](ByteBuilder& b) {
             b.header(2, 0).tensor("t", {4}, 0, 0).tensor("t", {4}, 0, 0).align(32).zeros(64);
         }},
        {"TensorNameEmpty", "0 bytes",
         [](ByteBuilder& b) { b.header(1, 0).tensor("", {4}, 0, 0).align(32).zeros(64); }},
        {"NoDimensions", "0 dimensions", [](ByteBuilder& b) { one_tensor(b, {}, 0, 0); }},
        {"FiveDimensions", "5 dimensions",
         [](ByteBuilder& b) {
             one_tensor(b, {1, 1, 1, 1, 1}, 0, 0);
         }},
        {"DimensionsOfAllOnes", "4294967295 dimensions",
         [](ByteBuilder& b) { b.header(1, 0).text("t").u32(~0U).zeros(99); }},
        {"DimensionOf0", "dimension 1 is 0",
         [](ByteBuilder& b) {
             one_tensor(b, {4, 0}, 0, 0);
         }},
        {"DimensionNegative", "overflows", [](ByteBuilder& b) { one_tensor(b, {~0ULL}, 0, 0); }},
        {"ProductWrapsTo0", "overflows",
         [](ByteBuilder& b) {
             one_tensor(b, {1ULL << 32, 1ULL << 32}, 0, 0);
         }},
        {"ProductWrapsOfUnknownType", "overflows",
         [](ByteBuilder& b) {
             one_tensor(b, {1ULL << 40, 1ULL << 40}, 999, 0);
         }},
        {"TensorPastEnd", "past the end", [](ByteBuilder& b) { one_tensor(b, {1024}, 0, 0); }},
        {"TensorByOneValuePastEnd", "past the end",
         [](ByteBuilder& b) { one_tensor(b, {17}, 0, 0); }},
        {"OffsetPastEnd", "past the end", [](ByteBuilder& b) { one_tensor(b, {4}, 0, 1 << 20); }},
        {"OffsetPastEndOfUnknownType", "past the end",
         [](ByteBuilder& b) { one_tensor(b, {4}, 999, 1 << 20); }},
        {"OffsetPlusSizeWraps", "past the end",
         [](ByteBuilder& b) { one_tensor(b, {4}, 0, ~31ULL); }},
        {"OffsetMisaligned", "multiple of 32", [](ByteBuilder& b) { one_tensor(b, {4}, 0, 4); }},
        {"Alignment0", "general.alignment",
         [](ByteBuilder& b) {
             b.header(1, 1).key_u32("general.alignment", 0).tensor("t", {4}, 0, 0).zeros(99);
         }},
        {"Alignment48", "power of two",
         [](ByteBuilder& b) {
             b.header(1, 1).key_u32("general.alignment", 48).tensor("t", {4}, 0, 0).zeros(99);
         }},
        {"AlignmentHuge", "power of two",
         [](ByteBuilder& b) {
             b.header(1, 1).key_u32("general.alignment", 1U << 31).tensor("t", {4}, 0, 0).zeros(99);
         }},
        {"AlignmentPastEnd", "past the end",
         [](ByteBuilder& b) {
             b.header(1, 1).key_u32("general.alignment", 1U << 30).tensor("t", {4}, 0, 0).zeros(99);
         }},
        {"AlignmentText", "general.alignment",
         [](ByteBuilder& b) {
             b.header(1, 1).key_text("general.alignment", "32").tensor("t", {4}, 0, 0).zeros(99);
         }},
    };
    return all;
}

TEST(GgufHostile, EveryCaseIsOneClearLine) {
    const TempFolder folder;
    for (const Hostile& c : cases()) {
        SCOPED_TRACE(c.name);
        ByteBuilder b;
        c.build(b);
        b.save(folder / "bad.gguf");
        const std::string message = error_of([&] { GgufFile{folder / "bad.gguf"}; });
        EXPECT_HAS(message, "bad.gguf: ");
        EXPECT_HAS(message, c.expected);
        EXPECT_LT(message.size(), 500U);
    }
}

ByteBuilder small_file() {
    ByteBuilder b;
    b.header(2, 4).key_u32("general.alignment", 32).key_text("general.name", "small");
    b.text("list").u32(9).u32(8).u64(2).text("one").text("two");
    b.text("flags").u32(9).u32(7).u64(3).u8(0).u8(1).u8(1);
    b.tensor("a", {4, 2}, 0, 0).tensor("b", {128}, 36, 32).align(32);
    return b.zeros(32).zeros(32).f32(1).zeros(28);
}

TEST(GgufHostile, TruncatedAtEveryByte) {
    const TempFolder folder;
    const std::string whole = small_file().bytes();
    small_file().save(folder / "f");
    EXPECT_EQ(error_of([&] { GgufFile{folder / "f"}; }), "");
    for (size_t length = 0; length < whole.size(); ++length) {
        ByteBuilder().raw(std::string_view(whole).substr(0, length)).save(folder / "f");
        EXPECT_NE(error_of([&] { GgufFile{folder / "f"}; }), "") << "cut to " << length;
    }
}

// Whatever a flipped byte makes of the file: it opens, with every tensor inside it, or an Error.
TEST(GgufHostile, FlippedBytesNeverEscapeTheFile) {
    const TempFolder folder;
    const std::string whole = small_file().bytes();
    std::mt19937 random(1);
    size_t opened = 0;
    for (int i = 0; i < 1000; ++i) {
        std::string bytes = whole;
        for (int flips = 1 + i % 3; flips > 0; --flips) {
            bytes[random() % bytes.size()] = static_cast<char>(i % 2 ? random() : 0xFF);
        }
        ByteBuilder().raw(bytes).save(folder / "f");
        error_of([&] {
            const GgufFile file(folder / "f");
            ++opened;
            for (const GgufTensor& t : file.tensors()) {
                ASSERT_LE(t.file_offset, file.file_bytes());
                ASSERT_LE(t.bytes, file.file_bytes() - t.file_offset);
            }
            for (const auto& [key, value] : file.metadata()) {
                if (const auto* array = std::get_if<GgufArray>(&value)) {
                    ASSERT_EQ(array->values().size(), array->count);
                }
            }
        });
    }
    EXPECT_GT(opened, 0U);
    EXPECT_LT(opened, 1000U);
}

TEST(GgufHostile, PathsThatAreNoFiles) {
    const TempFolder folder;
    std::filesystem::create_directory(folder / "folder");
    ByteBuilder().save(folder / "empty");
    ASSERT_EQ(::mkfifo((folder / "pipe").c_str(), 0600), 0);
    const auto open = [&](const char* name) { return error_of([&] { GgufFile{folder / name}; }); };
    EXPECT_HAS(open("missing"), "missing: cannot open: No such file");
    EXPECT_HAS(open("folder"), "folder: is a directory");
    EXPECT_HAS(open("empty"), "empty: is empty");
    EXPECT_HAS(open("pipe"), "pipe: is not a regular file");
    EXPECT_HAS(open("new\nline"), "new\\x0aline");
}

}  // namespace
}  // namespace tritbench
