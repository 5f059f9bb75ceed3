#include "harness/spec.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <set>

#include "harness/axes.h"
#include "kernels/api/error.h"
#include "kernels/api/registry.h"
#include "model/thread_pool.h"
#include "tests/temporary_folder.h"

namespace tritbench {
namespace {

class SpecTest : public testing::Test {
  protected:
    Spec read(const std::string& text) const {
        return read_spec(folder.write("s.toml", text), {folder / "models"});
    }
    std::string refusal(const std::string& text) const {
        try {
            read(text);
        } catch (const Error& e) {
            EXPECT_EQ(std::string(e.what()).find('\n'), std::string::npos) << e.what();
            return e.what();
        }
        return "";
    }
    // The message names the line and holds the words.
    void expect_refusal(const std::string& text, int line, const std::string& words) const {
        const std::string message = refusal(text);
        EXPECT_NE(message.find(fmt::format("s.toml:{}:", line)), std::string::npos) << message;
        EXPECT_NE(message.find(words), std::string::npos) << message;
    }
    TemporaryFolder folder;
};

TEST_F(SpecTest, PrecisionAndBudgetAreOfTheWholeRun) {
    const std::string cells = "[[kernel_cells]]\nshapes = [\"256x128\"]\n";
    const Spec asked = read("precision = \"0.5%\"\nbudget = \"20m\"\n" + cells);
    EXPECT_DOUBLE_EQ(asked.precision, 0.005);
    EXPECT_DOUBLE_EQ(asked.budget_s, 1200);
    const Spec fixed = read(cells);
    EXPECT_EQ(fixed.precision, 0);
    EXPECT_EQ(fixed.budget_s, 0);
    expect_refusal("precision = \"1\"\n" + cells, 1, "expected percent above 0");
    expect_refusal("precision = 1\n" + cells, 1, "expected a text in quotes");
    expect_refusal("\nbudget = \"soon\"\n" + cells, 2, "expected a time such as 90s");
}

TEST_F(SpecTest, CellsAreAllCombinations) {
    const Spec spec = read(R"(
name = "combinations"
[[kernel_cells]]
shapes = ["256x128", "128x256"]
kernels = ["i2s_scalar", "int8_scalar"]
batch = [1, 4]
threads = [1]
cache = ["hot", "cold"]
repetitions = 7
)");
    EXPECT_EQ(spec.name, "combinations");
    const std::vector<Cell> cells = spec.cells();
    EXPECT_EQ(cells.size(), 2U * 2 * 2 * 2);
    std::set<std::string> keys;
    for (const Cell& cell : cells) {
        EXPECT_EQ(cell.repetitions, 7);
        EXPECT_EQ(cell.phase, cell.batch == 1 ? Phase::Gemv : Phase::Gemm);
        EXPECT_EQ(cell.spec, "combinations");
        EXPECT_EQ(cell.unavailable, "") << cell_label(cell);
        keys.insert(cell_key(cell, "here"));
    }
    EXPECT_EQ(keys.size(), cells.size());
}

TEST_F(SpecTest, KeysDependOnEverythingThatIsMeasured) {
    const Spec spec = read("[[kernel_cells]]\nshapes = \"256x128\"\nkernels = \"i2s_scalar\"\n");
    const Cell cell = spec.cells().front();
    const std::string key = cell_key(cell, "here");
    EXPECT_EQ(key.size(), 16U);
    EXPECT_EQ(cell_key(cell, "here"), key);
    EXPECT_NE(cell_key(cell, "there"), key);
    EXPECT_NE(cell_key(cell, "here", 2), key);
    Cell other = cell;
    other.threads = 2;
    EXPECT_NE(cell_key(other, "here"), key);
    other = cell;
    other.batch = 2;
    EXPECT_NE(cell_key(other, "here"), key);
    other = cell;
    other.cache = CacheMode::Cold;
    EXPECT_NE(cell_key(other, "here"), key);
    other = cell;
    other.zeros = 0.5;
    EXPECT_NE(cell_key(other, "here"), key);
    EXPECT_EQ(identity_row(other, {})[Column::ActivationZeros], "0.5000");
    EXPECT_EQ(identity_row(cell, {})[Column::ActivationZeros], "");
}

TEST_F(SpecTest, SharesOfZerosAreAnAxis) {
    const Spec spec = read(R"(
[[kernel_cells]]
shapes = "256x128"
kernels = "i2s_scalar"
batch = [1, 2]
activation_zeros = [0, 0.5, 0.83]
)");
    std::set<std::string> keys;
    for (const Cell& cell : spec.cells()) keys.insert(cell_key(cell, "here"));
    EXPECT_EQ(keys.size(), 6U);
    EXPECT_EQ(spec.cells()[2].zeros, 0.83);
}

TEST_F(SpecTest, PinsAreAnAxisAndThoseThatDoNotFitAreUnavailable) {
    const std::string cpu = std::to_string(allowed_cpus().front());
    const Spec spec = read(
        "[[kernel_cells]]\nshapes = \"256x128\"\nkernels = \"i2s_scalar\"\n"
        "threads = [1, 1000]\npins = [\"default\", \"compact\", \"" +
        cpu + "\", \"60000\"]\n");
    const std::vector<Cell> cells = spec.cells();
    ASSERT_EQ(cells.size(), 8U);
    std::set<std::string> keys;
    for (const Cell& cell : cells) keys.insert(cell_key(cell, "here"));
    EXPECT_EQ(keys.size(), cells.size());
    EXPECT_EQ(cells[0].pins, "");
    EXPECT_EQ(cells[1].pins, "compact");
    for (const size_t fits : {0, 1, 2}) EXPECT_EQ(cells[fits].unavailable, "") << fits;
    EXPECT_NE(cells[3].unavailable.find("CPU 60000"), std::string::npos) << cells[3].unavailable;
    for (size_t i = 4; i < 8; ++i) EXPECT_NE(cells[i].unavailable, "") << i;
    EXPECT_EQ(cell_label(cells[0]).find(" on "), std::string::npos);
    EXPECT_NE(cell_label(cells[1]).find("1 thread on compact"), std::string::npos);
    expect_refusal("[[kernel_cells]]\nshapes = \"256x128\"\npins = [\"compact\", \"scater\"]\n", 3,
                   "did you mean 'scatter'?");
}

TEST_F(SpecTest, ModelPresetsAreNotGeneratedByReading) {
    const Spec spec = read(R"(
[[model_cells]]
models = ["125M"]
kernels = "i2s_scalar"
prefill = [8, 16]
decode = 4
depth = [0, 32]
)");
    EXPECT_EQ(spec.cells().size(), (2U + 1) * 2);
    ASSERT_EQ(spec.models().size(), 1U);
    EXPECT_EQ(spec.models()[0].preset, "125M");
    EXPECT_GT(spec.models()[0].info.file_bytes, 0U);
    EXPECT_FALSE(std::filesystem::exists(folder / "models"));
}

TEST_F(SpecTest, ModelAxesMultiply) {
    const Spec spec = read(R"(
[[model_cells]]
models = ["125M"]
plans = ["default", "stored"]
kernels = "i2s_scalar"
prefill = 8
decode = 4
generate = ["8,4", "16,2"]
sequences = [1, 4]
prefill_batch = [4, 512]
cache_types = ["f16", "f32"]
heads = ["stored", "q6_k"]
)");
    const auto cells = spec.cells();
    // Prefill and pairs by batch, decode by sequences; three plans, two heads, two caches.
    EXPECT_EQ(cells.size(), 3U * 2 * 2 * (2 + 2 + 2 * 2));
    std::set<std::string> keys, labels;
    for (const Cell& cell : cells) {
        EXPECT_EQ(cell.unavailable, "") << cell_label(cell);
        keys.insert(cell_key(cell, "here"));
        labels.insert(cell_label(cell));
    }
    EXPECT_EQ(keys.size(), cells.size());
    EXPECT_EQ(labels.size(), cells.size());
    EXPECT_TRUE(
        labels.contains("125M-i2_s plan default decode 4, 4 sequences, cache f32, 1 thread"));
    EXPECT_TRUE(
        labels.contains("125M-i2_s i2s_scalar prefill+decode 16+2, batches of 4, 1 thread"));
}

TEST_F(SpecTest, TooManyThreadsAndTooMuchContextAreUnavailable) {
    const Spec spec = read(R"(
[[kernel_cells]]
shapes = ["256x128"]
kernels = "i2s_scalar"
threads = 1024
[[model_cells]]
models = ["125M"]
kernels = "i2s_scalar"
prefill = [100000]
)");
    const auto cells = spec.cells();
    ASSERT_EQ(cells.size(), 2U);
    EXPECT_EQ(cells[0].unavailable,
              fmt::format("asks 1024 threads, {} CPUs allowed", allowed_cpus().size()));
    EXPECT_NE(cells[1].unavailable.find("context of 100000"), std::string::npos);
}

TEST_F(SpecTest, RefusalsNameFileLineAndWhatIsMeant) {
    expect_refusal("nme = \"x\"\n", 1, "did you mean 'name'?");
    expect_refusal("name = \"x\"\n[[kernel_cells]]\nshapes = [\"8x8\"]\nthread = 1\n", 4,
                   "unknown key 'thread' in [[kernel_cells]]; did you mean 'threads'?");
    expect_refusal("[[model_cells]]\nmodels = [\"125M\"]\nprefil = 3\n", 3,
                   "did you mean 'prefill'?");
    expect_refusal("[[kernel_cels]]\nshapes = [\"8x8\"]\n", 1, "did you mean 'kernel_cells'?");
    expect_refusal("[kernel_cells]\nshapes = [\"8x8\"]\n", 1, "[[kernel_cells]]");
    expect_refusal("name = \n", 1, "not TOML");
    expect_refusal("name = 3\n[[kernel_cells]]\nshapes = [\"128x128\"]\n", 1, "text in quotes");
}

TEST_F(SpecTest, RefusedValues) {
    const auto kernel_cells = [](const std::string& line) {
        return "[[kernel_cells]]\nshapes = [\"128x128\"]\n" + line + "\n";
    };
    expect_refusal(kernel_cells("kernels = [\"i3s_*\"]"), 3, "i3s_*");
    expect_refusal(kernel_cells("threads = 0"), 3, "threads '0'");
    expect_refusal(kernel_cells("threads = \"1..\""), 3, "threads '1..'");
    expect_refusal(kernel_cells("threads = 1.5"), 3, "whole numbers");
    expect_refusal(kernel_cells("batch = [0]"), 3, "batch");
    expect_refusal(kernel_cells("batch = []"), 3, "empty");
    expect_refusal(kernel_cells("batch = \"many\""), 3, "not a whole number");
    expect_refusal(kernel_cells("cache = \"lukewarm\""), 3, "expected hot or cold");
    expect_refusal(kernel_cells("tile = \"BM=3\""), 3, "BM");
    expect_refusal(kernel_cells("repetitions = 0"), 3, "repetitions");
    expect_refusal(kernel_cells("activation_zeros = 1.5"), 3, "share of 0 to 1");
    expect_refusal(kernel_cells("activation_zeros = [\"half\"]"), 3, "share of 0 to 1");
    expect_refusal(kernel_cells("activation_zeros = []"), 3, "empty");
    expect_refusal("[[kernel_cells]]\nshapes = [\"128x0\"]\n", 2, "K = 0");
    expect_refusal("[[kernel_cells]]\nshapes = [\"0x128\"]\n", 2, "N = 0");
    expect_refusal("[[kernel_cells]]\nshapes = [\"128\"]\n", 2, "not NxK");
    expect_refusal("[[kernel_cells]]\nshapes = [\"99999999999999999999x1\"]\n", 2, "not NxK");
    expect_refusal("[[kernel_cells]]\nbatch = 1\n", 1, "no key 'shapes'");
    expect_refusal("[[model_cells]]\nprefill = 1\n", 1, "no key 'models'");
    expect_refusal("[[model_cells]]\nmodels = \"125M\"\n", 1, "no key 'decode'");
    expect_refusal("[[model_cells]]\nmodels = \"126M\"\nprefill = 1\n", 2, "126M");
    expect_refusal("[[model_cells]]\nfiles = \"absent.gguf\"\nprefill = 1\n", 2, "absent.gguf");
    const std::string model = "[[model_cells]]\nmodels = \"125M\"\nprefill = 1\n";
    expect_refusal(model + "plans = \"absent.toml\"\n", 4, "absent.toml");
    expect_refusal(model + "generate = \"8\"\n", 4, "not a prompt and tokens after it");
    expect_refusal(model + "generate = \"8,0\"\n", 4, "0 is not allowed");
    expect_refusal(model + "sequences = 0\n", 4, "sequences");
    expect_refusal(model + "prefill_batch = 0\n", 4, "prefill_batch");
    expect_refusal(model + "cache_types = \"f8\"\n", 4, "expected f16 or f32");
    expect_refusal(model + "heads = [\"stored\", \"q9\"]\n", 4, "LM head 'q9'");
    expect_refusal("level = \"kernel\"\n[[model_cells]]\nmodels = \"125M\"\nprefill = 1\n", 1,
                   "the other one");
}

TEST_F(SpecTest, BestIsOneKernelOfEachLayout) {
    const std::string text = "[[kernel_cells]]\nshapes = \"256x128\"\nkernels = \"i2s_*,int8_*\"\n";
    const auto cells = read(text + "isa = \"best\"\n").cells();
    ASSERT_EQ(cells.size(), 2U);
    for (const Cell& cell : cells) {
        EXPECT_EQ(&cell.kernel(), best_kernel_of_layout(cell.kernel().layout));
    }
    EXPECT_GT(read(text).cells().size(), 2U);
    const auto scalar =
        read("[[kernel_cells]]\nshapes = \"256x128\"\nkernels = \"*_scalar\"\nisa = \"best\"\n");
    for (const Cell& cell : scalar.cells()) EXPECT_STREQ(cell.kernel().isa, "scalar");
    expect_refusal(text + "isa = \"fastest\"\n", 4, "expected all or best");
}

TEST_F(SpecTest, EmptyAndMissingSpecs) {
    EXPECT_NE(refusal("name = \"x\"\n").find("nothing to measure"), std::string::npos);
    try {
        read_spec(folder / "absent.toml");
        ADD_FAILURE() << "a missing spec was read";
    } catch (const Error& e) {
        EXPECT_NE(std::string(e.what()).find("absent.toml"), std::string::npos) << e.what();
    }
}

TEST_F(SpecTest, TheHashFollowsTheText) {
    const std::string text = "[[kernel_cells]]\nshapes = [\"128x128\"]\n";
    const std::string hash = read(text).hash;
    EXPECT_EQ(read(text).hash, hash);
    EXPECT_NE(read(text + "batch = 2\n").hash, hash);
}

TEST(AxesText, ThreadRanges) {
    const int n = static_cast<int>(allowed_cpus().size());
    EXPECT_EQ(parse_threads("3", "t"), std::vector<int>{3});
    EXPECT_EQ(parse_threads("n", "t"), std::vector<int>{n});
    EXPECT_EQ(parse_threads("2..5", "t"), (std::vector<int>{2, 3, 4, 5}));
    EXPECT_EQ(parse_threads("1..12*2", "t"), (std::vector<int>{1, 2, 4, 8, 12}));
    EXPECT_EQ(parse_threads("1..n", "t").back(), n);
    for (const char* bad : {"", "0", "-1", "x", "5..2", "1..0", "1..n*0", "1025", "1...n"}) {
        EXPECT_THROW(parse_threads(bad, "t"), Error) << bad;
    }
}

TEST(AxesText, ShapesAndLists) {
    const tb_shape shape = parse_shape("2560x6912", "s");
    EXPECT_EQ(shape.n, 2560);
    EXPECT_EQ(shape.k, 6912);
    for (const char* bad : {"", "x", "1x", "x1", "1x2x3", "1 x2", "-1x2", "2560X6912"}) {
        EXPECT_THROW(parse_shape(bad, "s"), Error) << bad;
    }
    EXPECT_EQ(split_list("a,b"), (std::vector<std::string>{"a", "b"}));
    EXPECT_EQ(split_list(""), std::vector<std::string>{""});
    EXPECT_EQ(did_you_mean("thread", {"shapes", "threads"}), "; did you mean 'threads'?");
    EXPECT_EQ(did_you_mean("zzzz", {"shapes", "threads"}), "");
}

// Every spec that is shipped must be understood.
TEST(ShippedSpecs, AreAllReadable) {
    int found = 0;
    TemporaryFolder folder;
    for (const auto& entry :
         std::filesystem::directory_iterator(TRITBENCH_SOURCE_DIR "/experiments")) {
        if (entry.path().extension() != ".toml") continue;
        ++found;
        EXPECT_NO_THROW(EXPECT_FALSE(read_spec(entry.path(), {folder / "models"}).cells().empty()))
            << entry.path();
    }
    EXPECT_GE(found, 4);
}

}  // namespace
}  // namespace tritbench
