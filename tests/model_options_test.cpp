// What may be said about a file's bytes: kernel_config.ini, layouts of I2_S, formats by name.
#include <gtest/gtest.h>

#include <fstream>
#include <string>

#include "tests/model_formats.h"

namespace tritbench {
namespace {

using namespace test;

void expect_has(const std::string& text, const std::string& part) {
    EXPECT_NE(text.find(part), std::string::npos) << text << "\nlacks: " << part;
}

TEST(LoadOptions, KernelConfigsThatAreNot) {
    const Folder folder;
    const fs::path path = folder / "kernel_config.ini";
    const auto wrong = [&](const std::string& text) {
        std::ofstream(path) << text;
        try {
            read_kernel_config(path);
        } catch (const Error& e) {
            return std::string(e.what());
        }
        return std::string();
    };
    EXPECT_EQ(wrong("# all\n[a]\n m = 3200\nk=8640\r\nbm = 160\nbk = 64\nbmm = 32\n"), "");
    EXPECT_EQ(read_kernel_config(path).at(0).BM, 160);
    expect_has(wrong("m = 3"), "line 1: 'm = 3'; expected [sections]");
    expect_has(wrong("[a]\nm = 0"), "line 2");
    expect_has(wrong("[a]\nm = 99999999999"), "line 2");
    expect_has(wrong("[a]\nm = 3\nbm = 4\nrows = 5"), "line 4: 'rows = 5'");
    expect_has(wrong("[a]\nm = 3"), "section 1: expected all of m, k");
    expect_has(wrong("[a]\nm"), "line 2");
    EXPECT_THROW(read_kernel_config(folder / "absent.ini"), Error);
    EXPECT_THROW(read_kernel_config(folder / ""), Error);
    EXPECT_THROW(parse_i2s_layout("x87"), Error);
}

TEST(MatrixFormats, ByName) {
    EXPECT_EQ(format_name(parse_format("i2_s")), "i2_s");
    EXPECT_EQ(format_name(parse_format("i2s")), "i2_s");
    EXPECT_EQ(format_name(parse_format("tl2:BK=96,BM=160")), "tl2:BM=160,BK=96");
    EXPECT_EQ(format_name(parse_format("t5r")), "t5r");
    EXPECT_EQ(parse_format("t5r").type, GgmlType::I8);
    EXPECT_EQ(parse_format("q6_k").type, GgmlType::Q6_K);
    for (const char* wrong : {"", "q5_k", "tl2:BM=7", "tl2:XX=1", "f16:BM=64"}) {
        EXPECT_THROW(parse_format(wrong), Error) << wrong;
    }
    // What a file of the type cannot hold: TL2 pads 100 rows to 128, in its files there is no room.
    EXPECT_NE(why_not_stored(parse_format("tl2:BM=128,BK=96"), {100, 256}), "");
    EXPECT_NE(why_not_stored(parse_format("tl2:BM=128,BK=96"), {128, 288 + 16}), "");
    EXPECT_NE(why_not_stored(parse_format("i2_s"), {3, 100}), "");
    EXPECT_NE(why_not_stored(parse_format("tq2_0"), {4, 128}), "");
    EXPECT_EQ(why_not_stored(parse_format("t5r"), {3, 100}), "");
}

}  // namespace
}  // namespace tritbench
