// The kernels under Google Benchmark: flags, names, proofs, counters.
#include <benchmark/benchmark.h>
#include <gtest/gtest.h>

#include <map>
#include <string>

#include "harness/axes.h"
#include "harness/gbench/gbench_flags.h"
#include "harness/gbench/gbench_register.h"
#include "kernels/api/error.h"
#include "kernels/api/registry.h"

namespace tritbench {
namespace {

const tb_kernel& honest() {
    return *find_kernel("i2s_scalar");
}

// Right on every shape of the gate, wrong on the one that is timed.
constexpr tb_shape kTimed{776, 1024};

void wrong_everywhere(const tb_product* p) {
    honest().gemv(p);
    p->y[p->n_begin] += 1;
}
void wrong_when_timed(const tb_product* p) {
    honest().gemv(p);
    if (p->shape.n == kTimed.n && p->shape.k == kTimed.k) p->y[p->n_begin] += 1;
}

tb_kernel lying(const char* id, void (*gemv)(const tb_product*)) {
    tb_kernel kernel = honest();
    kernel.id = id;
    kernel.gemv = gemv;
    return kernel;
}

class Collector : public benchmark::BenchmarkReporter {
  public:
    bool ReportContext(const Context&) override { return true; }
    void ReportRuns(const std::vector<Run>& runs) override {
        for (const Run& run : runs) of[run.benchmark_name()] = run;
    }
    std::map<std::string, Run> of;
};

GbenchFlags flags_of(std::vector<std::string> words) {
    words.insert(words.begin(), "program");
    std::vector<char*> argv;
    for (std::string& word : words) argv.push_back(word.data());
    argv.push_back(nullptr);
    int argc = static_cast<int>(words.size());
    return take_gbench_flags(&argc, argv.data());
}

std::string gbench_refusal(const std::vector<std::string>& words) {
    try {
        gbench_cells(flags_of(words));
    } catch (const Error& e) {
        return e.what();
    }
    return "";
}

TEST(Gbench, TakesItsOwnFlagsAndLeavesTheOthers) {
    std::vector<std::string> words = {"program", "--benchmark_filter=x", "--tritbench_batch=4",
                                      "--tritbench_seed=7", "--other"};
    std::vector<char*> argv;
    for (std::string& word : words) argv.push_back(word.data());
    argv.push_back(nullptr);
    int argc = 5;
    const GbenchFlags flags = take_gbench_flags(&argc, argv.data());
    EXPECT_EQ(flags.batches, "4");
    EXPECT_EQ(flags.seed, 7U);
    ASSERT_EQ(argc, 3);
    EXPECT_STREQ(argv[1], "--benchmark_filter=x");
    EXPECT_STREQ(argv[2], "--other");
    EXPECT_EQ(argv[3], nullptr);
}

TEST(Gbench, WrongFlagsSayWhatIsExpected) {
    EXPECT_NE(gbench_refusal({"--tritbench_shape=8x8"}).find("did you mean 'shapes'?"),
              std::string::npos);
    EXPECT_NE(gbench_refusal({"--tritbench_batch"}).find("has no value"), std::string::npos);
    EXPECT_NE(gbench_refusal({"--tritbench_batch="}).find("has no value"), std::string::npos);
    EXPECT_NE(gbench_refusal({"--tritbench_batch=0"}).find("--tritbench_batch"), std::string::npos);
    EXPECT_NE(gbench_refusal({"--tritbench_kernels=i3s_*"}).find("i3s_*"), std::string::npos);
    EXPECT_NE(gbench_refusal({"--tritbench_threads=1024"}).find("asks 1024 threads"),
              std::string::npos);
}

TEST(Gbench, NamesAreKernelShapeBatchThreadsAndCache) {
    const auto cells =
        gbench_cells(flags_of({"--tritbench_kernels=i2s_scalar", "--tritbench_shapes=256x128",
                               "--tritbench_batch=1,3", "--tritbench_cache=hot,cold"}));
    std::vector<std::string> names;
    for (const Cell& cell : cells) names.push_back(gbench_name(cell));
    EXPECT_EQ(names, (std::vector<std::string>{"i2s_scalar/256x128/batch:1/threads:1/hot",
                                               "i2s_scalar/256x128/batch:1/threads:1/cold",
                                               "i2s_scalar/256x128/batch:3/threads:1/hot",
                                               "i2s_scalar/256x128/batch:3/threads:1/cold"}));
    // All that runs here, in all shapes of the model.
    size_t here = 0;
    for (const tb_kernel* kernel : all_kernels()) here += runs_here(*kernel) ? 1 : 0;
    const auto all = gbench_cells(flags_of({"--tritbench_shapes=2560x2560"}));
    EXPECT_GT(all.size(), 0U);
    EXPECT_LE(all.size(), here);
}

// What a proof stops has an error and no time; what is right has its counters.
TEST(Gbench, WrongKernelsAreSkippedWithAnErrorAndRightOnesAreTimed) {
    const tb_kernel at_the_gate = lying("wrong_gate", wrong_everywhere);
    const tb_kernel in_the_cell = lying("wrong_cell", wrong_when_timed);
    KernelAxes axes;
    axes.kernels = {&honest(), &at_the_gate, &in_the_cell};
    axes.shapes = {kTimed};
    const std::vector<Cell> cells = kernel_cells(axes);
    GbenchProducts products(1);
    GbenchOutcome outcome;
    register_products(cells, products, outcome);
    Collector found;
    std::vector<std::string> words = {"program", "--benchmark_min_time=0.001"};
    std::vector<char*> argv = {words[0].data(), words[1].data(), nullptr};
    int argc = 2;
    benchmark::Initialize(&argc, argv.data());
    benchmark::RunSpecifiedBenchmarks(&found, ".*");
    ASSERT_EQ(found.of.size(), 3U);
    const std::string rest = "/776x1024/batch:1/threads:1/hot/real_time";
    const auto& right = found.of.at("i2s_scalar" + rest);
    EXPECT_FALSE(right.error_occurred) << right.error_message;
    EXPECT_GT(right.GetAdjustedRealTime(), 0);
    EXPECT_EQ(right.report_label, "i2s bitexact");
    ASSERT_TRUE(right.counters.contains("GMAC/s"));
    ASSERT_TRUE(right.counters.contains("GB/s"));
    // Both are of the same time: their ratio is that of work and bytes.
    const tb_work work = products.of(cells[0]).work();
    const double bytes =
        work.weight_bytes + work.activation_bytes + work.table_bytes + work.output_bytes;
    EXPECT_NEAR(right.counters.at("GMAC/s") / right.counters.at("GB/s"), work.macs / bytes, 1e-6);
    const double ns = right.real_accumulated_time * 1e9 / static_cast<double>(right.iterations);
    EXPECT_NEAR(right.counters.at("GMAC/s"), work.macs / ns, 1e-3 * work.macs / ns);
    for (const std::string name : {"wrong_gate", "wrong_cell"}) {
        const auto& wrong = found.of.at(name + rest);
        EXPECT_TRUE(wrong.error_occurred) << name;
        EXPECT_EQ(wrong.iterations, 0) << name;
    }
    EXPECT_TRUE(found.of.at("wrong_gate" + rest).error_message.starts_with("gate: "));
    EXPECT_TRUE(found.of.at("wrong_cell" + rest).error_message.starts_with("before timing: "));
    EXPECT_EQ(outcome.refused, 2);
}

}  // namespace
}  // namespace tritbench
