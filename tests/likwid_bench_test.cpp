// likwid-bench: finding it, asking it, and reading what it prints, whatever that is.
#include "harness/roofline/likwid_bench.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include "tests/temporary_folder.h"

namespace tritbench {
namespace {

// As likwid-bench 5.2.2 prints it.
constexpr const char* kLikwidOutput =
    "Allocate: Process running on hwthread 0 (Domain N) - Vector length 16000000/128000000 Offset "
    "0 Alignment 512\n"
    "--------------------------------------------------------------------------------\n"
    "LIKWID MICRO BENCHMARK\n"
    "Test: load_avx512\n"
    "Using 1 work groups\n"
    "Using 2 threads\n"
    "Group: 0 Thread 0 Global Thread 0 running on hwthread 0 - Vector length 8000000 Offset 0\n"
    "--------------------------------------------------------------------------------\n"
    "Cycles:\t\t\t1575831738\n"
    "Time:\t\t\t6.069993e-01 sec\n"
    "Iterations per thread:\t20\n"
    "MFlops/s:\t\t0.00\n"
    "Data volume (Byte):\t2560000000\n"
    "MByte/s:\t\t4217.47\n"
    "Cycles per update:\t4.924474\n";

TEST(LikwidBench, ItsBandwidthIsRead) {
    ASSERT_TRUE(parse_likwid_bandwidth(kLikwidOutput));
    EXPECT_DOUBLE_EQ(*parse_likwid_bandwidth(kLikwidOutput), 4.21747);
    EXPECT_DOUBLE_EQ(*parse_likwid_bandwidth("MByte/s: 1e4"), 10);
}

TEST(LikwidBench, WhatIsNoBandwidthIsNone) {
    for (const char* text :
         {"", "\n\n", "MByte/s:", "MByte/s:\t\t\n", "MByte/s:\t\t-3\n", "MByte/s:\t\t0.00\n",
          "MByte/s:\t\tnan\n", "MByte/s:\t\tinf\n", "MByte/s:\t\t12 13\n", "MByte/s:\t\t4217,47\n",
          "MByte/s:\t\t4217.47x\n", "MFlops/s:\t\t4217.47\n", " MByte/s:\t\t1\n",
          "MByte/s:\t1\nMByte/s:\t2\n", "Error: Unknown test case load_avx512\n"}) {
        EXPECT_FALSE(parse_likwid_bandwidth(text)) << text;
    }
    const std::string whole = kLikwidOutput;
    for (size_t cut = 0; cut < whole.find("4217"); ++cut) {
        EXPECT_FALSE(parse_likwid_bandwidth(whole.substr(0, cut))) << cut;
    }
}

class LikwidProgram : public testing::Test {
  protected:
    // A program in its place.
    std::string program(const std::string& script) const {
        const std::filesystem::path path =
            folder.write("likwid-bench", "#!/bin/sh\n" + script + "\n");
        chmod(path.c_str(), 0755);
        return path.string();
    }
    TemporaryFolder folder;
};

TEST_F(LikwidProgram, IsFoundInThePath) {
    EXPECT_EQ(find_likwid_bench(nullptr), "");
    EXPECT_EQ(find_likwid_bench(folder.path().c_str()), "");
    const std::string path = program("exit 0");
    EXPECT_EQ(find_likwid_bench(folder.path().c_str()), path);
    EXPECT_EQ(find_likwid_bench(("/no/such:" + folder.path().string() + ":/usr").c_str()), path);
    EXPECT_EQ(find_likwid_bench((":" + folder.path().string()).c_str()), path);
    chmod(path.c_str(), 0);
    EXPECT_EQ(find_likwid_bench(folder.path().c_str()), "");
}

TEST_F(LikwidProgram, IsAskedForTheFootprintAndThreads) {
    const std::string path =
        program("echo \"$*\" > " + (folder / "asked").string() + "; echo 'MByte/s: 2500'");
    const LikwidReading reading = run_likwid_bench(path, "load_avx", 3, 64'000'000, 17, 30);
    EXPECT_EQ(reading.problem, "");
    EXPECT_DOUBLE_EQ(reading.gb_per_s, 2.5);
    EXPECT_EQ(TemporaryFolder::read(folder / "asked"), "-t load_avx -W N:64000kB:3 -i 17\n");
}

TEST_F(LikwidProgram, ItsFailuresAreOneLine) {
    const auto problem = [&](const std::string& script, double limit_s) {
        const LikwidReading reading =
            run_likwid_bench(program(script), "load", 1, 1'000'000, 1, limit_s);
        EXPECT_EQ(reading.gb_per_s, 0) << script;
        EXPECT_EQ(reading.problem.find('\n'), std::string::npos) << reading.problem;
        return reading.problem;
    };
    EXPECT_EQ(problem("echo no such CPU >&2; echo more; exit 1", 30), "it says: no such CPU");
    EXPECT_EQ(problem("exit 3", 30), "it failed without a word");
    EXPECT_EQ(problem("kill -9 $$", 30), "it failed without a word");
    EXPECT_NE(problem("echo MByte/s: none", 30).find("has not one line"), std::string::npos);
    EXPECT_NE(problem("exec sleep 100", 0.2).find("no answer after"), std::string::npos);
    EXPECT_NE(run_likwid_bench("/no/such/program", "load", 1, 1'000'000, 1, 30).problem, "");
}

}  // namespace
}  // namespace tritbench
