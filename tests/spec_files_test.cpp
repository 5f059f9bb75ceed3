// Specs that include others, leave cells out, and write their axes as ranges and layers of models.
#include "harness/spec_files.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <set>

#include "harness/axes.h"
#include "harness/spec.h"
#include "harness/verify/gate.h"
#include "kernels/api/error.h"
#include "kernels/api/registry.h"
#include "tests/temporary_folder.h"

namespace tritbench {
namespace {

constexpr const char* kProducts = R"([[kernel_cells]]
shapes = "256x128"
kernels = ["i2s_scalar", "int8_scalar"]
batch = "1..8*2"
)";

class SpecFilesTest : public testing::Test {
  protected:
    Spec read(const std::string& text) const {
        return read_spec(folder.write("s.toml", text), {folder / "models"});
    }
    void expect_refusal(const std::string& text, const std::string& place,
                        const std::string& words) const {
        try {
            read(text);
            ADD_FAILURE() << "was read: " << text;
        } catch (const Error& e) {
            const std::string message = e.what();
            EXPECT_EQ(message.find('\n'), std::string::npos) << message;
            EXPECT_NE(message.find(place), std::string::npos) << message;
            EXPECT_NE(message.find(words), std::string::npos) << message;
        }
    }
    TemporaryFolder folder;
};

TEST_F(SpecFilesTest, WholeNumbersMayBeRanges) {
    const Spec spec = read(R"(
[[kernel_cells]]
shapes = "256x128"
kernels = "i2s_scalar"
batch = ["1..4", "8..24+8", 100]
[[model_cells]]
models = "125M"
kernels = "i2s_scalar"
prefill = "8..32*2"
decode = "1..2"
depth = "0..64+32"
sequences = "1..4*2"
prefill_batch = [4, "8..9"]
)");
    std::vector<int64_t> batches;
    for (const Cell& cell : kernel_cells(spec.kernel_axes[0])) batches.push_back(cell.batch);
    EXPECT_EQ(batches, (std::vector<int64_t>{1, 2, 3, 4, 8, 16, 24, 100}));
    const ModelAxes& model = spec.model_axes[0];
    EXPECT_EQ(model.prefill, (std::vector<int64_t>{8, 16, 32}));
    EXPECT_EQ(model.decode, (std::vector<int64_t>{1, 2}));
    EXPECT_EQ(model.depths, (std::vector<int64_t>{0, 32, 64}));
    EXPECT_EQ(model.sequences, (std::vector<int64_t>{1, 2, 4}));
    EXPECT_EQ(model.prefill_batches, (std::vector<int64_t>{4, 8, 9}));
    const std::string products = "[[kernel_cells]]\nshapes = \"256x128\"\n";
    expect_refusal(products + "batch = \"8..1\"", "s.toml:3", "empty range");
    expect_refusal(products + "batch = \"0..8\"", "s.toml:3", "0 is not allowed");
    expect_refusal(products + "batch = \"1..8*0\"", "s.toml:3", "0 is not allowed");
    expect_refusal(products + "batch = \"1..100000\"", "s.toml:3", "more than 4096");
    expect_refusal(products + "repetitions = \"1..8\"", "s.toml:3", "expected a whole number");
    expect_refusal("[[model_cells]]\nmodels = \"125M\"\ndecode = 1\ndepth = \"0..8*2\"", "s.toml:4",
                   "0 times 2");
}

TEST(Ranges, EndInTheirLastNumber) {
    EXPECT_EQ(parse_counts("7", 1, "b"), (std::vector<int64_t>{7}));
    EXPECT_EQ(parse_counts("1..10*3", 1, "b"), (std::vector<int64_t>{1, 3, 9, 10}));
    EXPECT_EQ(parse_counts("1..10+4", 1, "b"), (std::vector<int64_t>{1, 5, 9, 10}));
    EXPECT_EQ(parse_counts("5..5", 1, "b"), (std::vector<int64_t>{5}));
    EXPECT_EQ(parse_threads("1..9+4", "t"), (std::vector<int>{1, 5, 9}));
    for (const char* bad :
         {"", "..", "1..", "..2", "1..2*", "1..2+", "1..2*x", "1..2*2*2", "a..b"}) {
        EXPECT_THROW(parse_counts(bad, 0, "b"), Error) << bad;
    }
}

TEST_F(SpecFilesTest, ShapesMayBeTheLayersOfAModel) {
    const Spec spec = read(
        "[[kernel_cells]]\nshapes = [\"2B-4T:ffn_down\", \"2b-4t\"]\nkernels = \"i2s_scalar\"\n");
    std::set<std::string> shapes;
    for (const Cell& cell : spec.cells()) {
        shapes.insert(fmt::format("{}x{}", cell.shape.n, cell.shape.k));
    }
    EXPECT_EQ(shapes, (std::set<std::string>{"2560x2560", "640x2560", "6912x2560", "2560x6912"}));
    const auto& first = spec.kernel_axes[0].shapes;
    EXPECT_EQ(first.size(), 1U + 4);  // q and output are equal, k and v, gate and up
    EXPECT_EQ(first[0].n, 2560);
    EXPECT_EQ(first[0].k, 6912);
    expect_refusal("[[kernel_cells]]\nshapes = \"2B-4X\"", "s.toml:2", "did you mean '2B-4T'?");
    expect_refusal("[[kernel_cells]]\nshapes = \"7B:ffn_dwn\"", "s.toml:2",
                   "did you mean 'ffn_down'?");
}

TEST_F(SpecFilesTest, AllTilesAreEveryOneThatAKernelAccepts) {
    const std::string text = "[[kernel_cells]]\nshapes = \"256x256\"\nkernels = \"*_scalar\"\n";
    size_t expected = 0, kernels = 0;
    for (const tb_kernel* kernel : match_kernels("*_scalar")) {
        expected += all_tiles(*kernel).size();
        ++kernels;
    }
    EXPECT_GT(expected, kernels);
    EXPECT_EQ(read(text + "tile = \"all\"\n").cells().size(), expected);
    EXPECT_EQ(read(text).cells().size(), kernels);
    EXPECT_EQ(read(text + "tile = [\"default\", \"all\"]\n").cells().size(), expected + kernels);
}

TEST_F(SpecFilesTest, TablesOfIncludedFilesComeFirst) {
    folder.write("base.toml",
                 std::string("name = \"base\"\ndescription = \"of the base\"\n") + kProducts);
    const Spec spec = read(
        "name = \"whole\"\ninclude = [\"base.toml\"]\n"
        "[[kernel_cells]]\nshapes = \"128x128\"\nkernels = \"i2s_scalar\"\n");
    EXPECT_EQ(spec.name, "whole");
    EXPECT_EQ(spec.description, "");
    const auto cells = spec.cells();
    ASSERT_EQ(cells.size(), 2U * 4 + 1);
    EXPECT_EQ(cells.front().shape.n, 256);
    EXPECT_EQ(cells.back().shape.n, 128);
    for (const Cell& cell : cells) EXPECT_EQ(cell.spec, "whole");
    // What an included file says is part of the experiment.
    const std::string text = "include = \"base.toml\"\n";
    const std::string before = read(text).hash;
    EXPECT_EQ(read(text).hash, before);
    folder.write("base.toml", std::string(kProducts) + "repetitions = 7\n");
    EXPECT_NE(read(text).hash, before);
}

TEST_F(SpecFilesTest, IncludesAreRelativeAndNeverCircular) {
    std::filesystem::create_directory(folder / "sub");
    folder.write("sub/a.toml", "include = \"b.toml\"\n");
    folder.write("sub/b.toml", kProducts);
    EXPECT_EQ(read("include = \"sub/a.toml\"\n").cells().size(), 8U);
    // Twice is no circle; the cells are the same ones.
    EXPECT_EQ(read("include = [\"sub/a.toml\", \"sub/b.toml\"]\n").cells().size(), 16U);
    folder.write("sub/b.toml", "\ninclude = \"../s.toml\"\n");
    expect_refusal("include = \"sub/a.toml\"\n", "sub/b.toml:2: include", "in a circle");
    expect_refusal("name = \"x\"\ninclude = \"s.toml\"\n", "s.toml:2: include", "in a circle");
    expect_refusal("include = [\"absent.toml\"]\n", "s.toml:1: include", "no such file");
    expect_refusal("include = 3\n", "s.toml:1: include", "in quotes");
    // What is wrong in an included file names that file.
    folder.write("sub/b.toml", "\n[[kernel_cells]]\nshapes = \"8x8\"\nthread = 1\n");
    expect_refusal("include = \"sub/a.toml\"\n", "sub/b.toml:4", "did you mean 'threads'?");
}

TEST_F(SpecFilesTest, ExclusionsAndFiltersOfATable) {
    const auto count = [&](const std::string& lines) {
        return read(kProducts + lines).cells().size();
    };
    EXPECT_EQ(count(""), 8U);
    EXPECT_EQ(count("exclude = {kernels = \"i2s_*\"}\n"), 4U);
    EXPECT_EQ(count("exclude = [{kernels = \"i2s_*\", batch = \"4..8\"}, {batch = 1}]\n"), 4U);
    EXPECT_EQ(count("filter = {batch = [1, 2]}\n"), 4U);
    EXPECT_EQ(count("filter = [{batch = 1}, {kernels = \"int8_*\"}]\n"), 5U);
    EXPECT_EQ(count("exclude = {batch = 1}\nfilter = {kernels = \"int8_*\"}\n"), 3U);
    EXPECT_EQ(count("exclude = {shapes = \"256x128\", layouts = \"i2s\", isa = \"scalar\"}\n"), 4U);
    EXPECT_EQ(count("exclude = {activation_zeros = 0.5}\n"), 8U);
}

TEST_F(SpecFilesTest, ThoseOfAFileAreOfAllItsTablesAndThoseThatItIncludes) {
    folder.write("base.toml", kProducts);
    const std::string more =
        "[[kernel_cells]]\nshapes = \"128x128\"\nkernels = \"i2s_scalar\"\nbatch = [1, 8]\n";
    const Spec spec = read(
        "include = \"base.toml\"\n[[exclude]]\nbatch = 8\n[[exclude]]\n"
        "kernels = \"int8_*\"\nbatch = 1\n" +
        more);
    EXPECT_EQ(spec.cells().size(), 8U - 2 - 1 + 1);
    // What the included file leaves out, it leaves out of its own cells.
    folder.write("base.toml", std::string("[[filter]]\nbatch = 8\n") + kProducts);
    EXPECT_EQ(read("include = \"base.toml\"\n" + more).cells().size(), 2U + 2);
}

TEST_F(SpecFilesTest, ModelsOfWhichNothingIsLeftAreNotGenerated) {
    const std::string text =
        "[[model_cells]]\nmodels = [\"125M\", \"700M\"]\nkernels = \"i2s_scalar\"\nprefill = 8\n"
        "decode = [4, 8]\n";
    EXPECT_EQ(read(text).models().size(), 2U);
    const Spec spec = read(text + "exclude = {models = \"700M\"}\n");
    ASSERT_EQ(spec.models().size(), 1U);
    EXPECT_EQ(spec.models()[0].preset, "125M");
    EXPECT_EQ(spec.cells().size(), 3U);
    EXPECT_EQ(read(text + "exclude = {models = \"700m\"}\n").cells().size(), 3U);
    EXPECT_EQ(read(text + "exclude = {models = \"*M\"}\n").cells().size(), 0U);
    EXPECT_EQ(read(text + "exclude = {phase = \"prefill\"}\n").cells().size(), 4U);
    EXPECT_EQ(read(text + "filter = {decode = \"5..9\"}\n").cells().size(), 2U);
    EXPECT_EQ(read(text + "exclude = {modes = \"full\"}\n").cells().size(), 0U);
}

TEST_F(SpecFilesTest, WrongConditionsAreRefused) {
    const auto refused = [&](const std::string& line, const std::string& words) {
        expect_refusal(kProducts + line + "\n", "s.toml:5", words);
    };
    refused("exclude = {kernel = \"i2s_*\"}", "did you mean 'kernels'?");
    refused("exclude = {kernels = \"i3s_*\"}", "i3s_*");
    refused("exclude = {kernels = \"!i2s_*\"}", "one glob");
    refused("exclude = {cache = \"warm\"}", "expected one of hot, cold");
    refused("exclude = {layouts = \"i2x\"}", "'i2x' is not known");
    refused("exclude = {batch = \"many\"}", "not a whole number");
    refused("exclude = {threads = 0}", "threads '0'");
    refused("exclude = {}", "has no condition");
    refused("exclude = []", "expected tables");
    refused("filter = \"i2s_*\"", "expected tables");
    refused("filter = [3]", "expected tables");
}

}  // namespace
}  // namespace tritbench
