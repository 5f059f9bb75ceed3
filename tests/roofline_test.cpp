// The probes do exactly the work they are counted for; ceilings are finite, kept and honest.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <memory>
#include <ostream>
#include <random>
#include <vector>

#include "harness/block.h"
#include "harness/roofline/ceilings.h"
#include "harness/roofline/probe_memory.h"
#include "harness/roofline/probe_tables.h"
#include "harness/roofline/read_loops.h"
#include "harness/verify/proof.h"
#include "harness/weight_reader.h"
#include "kernels/api/cpu.h"
#include "kernels/api/error.h"
#include "kernels/api/registry.h"
#include "model/aligned_buffer.h"

// The ISA is the name of a probe in test listings; its address differs in every process.
void PrintTo(const tb_probe_table* table, std::ostream* out);
void PrintTo(const tb_probe_table* table, std::ostream* out) {
    *out << table->isa;
}

namespace tritbench {
namespace {

// One test per probe compiled in; those that may not run here are listed as skipped.
class Probe : public ::testing::TestWithParam<const tb_probe_table*> {
  protected:
    void SetUp() override {
        if (GetParam()->features & ~allowed_features())
            GTEST_SKIP() << "needs " << feature_names(GetParam()->features & ~allowed_features());
    }
};
class ReadProbe : public Probe {};
class DotProbe : public Probe {};
class LookupProbe : public Probe {};
class MultiplyAddProbe : public Probe {};
class MixProbe : public Probe {};

template <class Has>
std::vector<const tb_probe_table*> tables_with(Has&& has) {
    std::vector<const tb_probe_table*> tables = all_probe_tables();
    std::erase_if(tables, [&](const tb_probe_table* t) { return !has(*t); });
    return tables;
}
const auto isa_name = [](const auto& test) { return std::string(test.param->isa); };
const auto with_read = tables_with([](const tb_probe_table& t) { return t.read != nullptr; });
const auto with_dot = tables_with([](const tb_probe_table& t) { return t.dot != nullptr; });
const auto with_lookup = tables_with([](const tb_probe_table& t) { return t.lookup != nullptr; });
const auto with_fma = tables_with([](const tb_probe_table& t) { return t.fma != nullptr; });
const auto with_mixes = tables_with([](const tb_probe_table& t) { return t.mix_count > 0; });
INSTANTIATE_TEST_SUITE_P(Isa, MixProbe, ::testing::ValuesIn(with_mixes), isa_name);
INSTANTIATE_TEST_SUITE_P(Isa, ReadProbe, ::testing::ValuesIn(with_read), isa_name);
INSTANTIATE_TEST_SUITE_P(Isa, DotProbe, ::testing::ValuesIn(with_dot), isa_name);
INSTANTIATE_TEST_SUITE_P(Isa, LookupProbe, ::testing::ValuesIn(with_lookup), isa_name);
INSTANTIATE_TEST_SUITE_P(Isa, MultiplyAddProbe, ::testing::ValuesIn(with_fma), isa_name);

TEST_P(ReadProbe, TouchesEachWordOncePerPass) {
    const tb_probe_table& table = *GetParam();
    std::mt19937_64 random(7);
    for (const uint64_t rounds : {1, 2, 3, 9, 64, 1033}) {
        const AlignedBuffer buffer(rounds * TB_PROBE_ROUND_BYTES);
        uint64_t* words = buffer.as<uint64_t>();
        uint64_t sum = 0;
        for (uint64_t i = 0; i < rounds * TB_PROBE_ROUND_BYTES / 8; ++i) {
            words[i] = random();
            sum += words[i];
        }
        for (const uint32_t streams : {1u, 2u, 4u, 8u})
            for (const uint32_t how : {TB_READ_PLAIN, TB_READ_PREFETCH, TB_READ_PACED})
                for (const uint64_t passes : {uint64_t{0}, uint64_t{1}, uint64_t{3}})
                    EXPECT_EQ(table.read(words, rounds, passes, streams, how), passes * sum)
                        << rounds << " rounds, " << streams << " streams, how " << how;
    }
}

// One byte that stands out at a time: nothing read twice can make up for something left out.
TEST_P(ReadProbe, SeesEveryByte) {
    const tb_probe_table& table = *GetParam();
    constexpr uint64_t kRounds = 5;
    const AlignedBuffer buffer(kRounds * TB_PROBE_ROUND_BYTES);
    auto* bytes = buffer.as<uint8_t>();
    for (const uint32_t streams : {1u, 4u, 8u})
        for (uint64_t i = 0; i < kRounds * TB_PROBE_ROUND_BYTES; ++i) {
            bytes[i] = 1;
            EXPECT_EQ(table.read(bytes, kRounds, 1, streams, 1), uint64_t{1} << (8 * (i % 8)));
            bytes[i] = 0;
        }
}

TEST_P(DotProbe, IsTheSumOfItsProducts) {
    const tb_probe_table& table = *GetParam();
    uint8_t a[64];
    int8_t b[64];
    std::mt19937 random(11);
    for (int i = 0; i < 64; ++i) {
        a[i] = static_cast<uint8_t>(random() % 128);
        b[i] = static_cast<int8_t>(static_cast<int>(random() % 256) - 128);
    }
    int64_t once = 0;
    for (int i = 0; i < 64; ++i) once += a[i] * b[i];
    ASSERT_EQ(table.dot_macs % 64, 0u);
    for (const uint64_t iterations : {0, 1, 2, 1000, 12345}) {
        const auto times = static_cast<int64_t>(iterations) * (table.dot_macs / 64);
        EXPECT_EQ(table.dot(iterations, a, b), static_cast<uint32_t>(once * times)) << iterations;
    }
}

// Linear in the iterations, and no byte of the step or of the activations is left out.
TEST_P(MixProbe, MultipliesEveryByteInEveryIteration) {
    const tb_probe_table& table = *GetParam();
    for (uint32_t i = 0; i < table.mix_count; ++i) {
        const tb_probe_mix& mix = table.mixes[i];
        uint8_t bytes[64];
        int8_t x[4] = {3, -5, 7, 11};
        for (int j = 0; j < 64; ++j) bytes[j] = static_cast<uint8_t>(j * 37 % 190 + 1);
        const uint32_t once = mix.run(1, bytes, x);
        EXPECT_EQ(mix.run(0, bytes, x), 0u) << mix.kernel;
        for (const uint32_t n : {2u, 3u, 1000u}) {
            EXPECT_EQ(mix.run(n, bytes, x), n * once) << mix.kernel;
        }
        for (int8_t& value : x) {
            value = static_cast<int8_t>(value + 1);
            EXPECT_NE(mix.run(1, bytes, x), once) << mix.kernel;
            value = static_cast<int8_t>(value - 1);
        }
        for (uint8_t& byte : bytes) {
            byte = static_cast<uint8_t>(byte ^ 1);
            EXPECT_NE(mix.run(1, bytes, x), once) << mix.kernel;
            byte = static_cast<uint8_t>(byte ^ 1);
        }
        EXPECT_NE(find_kernel(mix.kernel), nullptr) << mix.kernel;
    }
}

TEST_P(LookupProbe, FollowsItsChains) {
    const tb_probe_table& table = *GetParam();
    const uint32_t entries = table.lookup_entries;
    uint8_t values[64] = {}, start[64];
    std::mt19937 random(13);
    for (uint32_t i = 0; i < entries; ++i) values[i] = static_cast<uint8_t>(random() % entries);
    for (auto& s : start) s = static_cast<uint8_t>(random() % entries);
    for (const uint64_t iterations : {0, 1, 2, 3, 17}) {
        uint32_t sum = 0;
        for (uint32_t i = 0; i < table.lookup_bytes; ++i) {
            uint8_t x = start[i % 64];
            for (uint64_t n = 0; n < iterations; ++n) x = values[x];
            sum += x;
        }
        EXPECT_EQ(table.lookup(iterations, values, start), sum) << iterations;
    }
}

TEST_P(MultiplyAddProbe, IsTheSumOfItsProducts) {
    const tb_probe_table& table = *GetParam();
    float a[16], b[16];
    float once = 0;
    for (int i = 0; i < 16; ++i) {
        // Small integers: every order of summation is exact.
        a[i] = static_cast<float>(i % 5 + 1);
        b[i] = static_cast<float>(i % 3 + 1);
        once += a[i] * b[i];
    }
    ASSERT_EQ(table.fma_macs % 16, 0u);
    for (const uint64_t iterations : {0, 1, 7, 500})
        EXPECT_EQ(table.fma(iterations, a, b),
                  once * static_cast<float>(table.fma_macs / 16) * static_cast<float>(iterations));
}

TEST(ProbeTables, ScalarIsAlwaysAllowedAndRestrictionsHold) {
    const auto allowed = allowed_probe_tables();
    ASSERT_FALSE(allowed.empty());
    EXPECT_STREQ(allowed.front()->isa, "scalar");
    for (const tb_probe_table* table : allowed)
        EXPECT_EQ(table->features & ~allowed_features(), 0u) << table->isa;
}

TEST(ProbeMemoryTest, PartsAreSeparateAlignedAndFilled) {
    ThreadPool pool(2);
    for (const AllocationKind kind :
         {AllocationKind::HugePages, AllocationKind::SmallPages, AllocationKind::MappedFile}) {
        const ProbeMemory memory(pool, 3 * TB_PROBE_ROUND_BYTES, kind);
        for (int worker = 0; worker < 2; ++worker) {
            EXPECT_EQ(reinterpret_cast<uintptr_t>(memory.part(worker)) % 64, 0u);
            uint64_t first = 0;
            std::memcpy(&first, memory.part(worker), 8);
            EXPECT_NE(first, 0u);
        }
        EXPECT_GE(memory.part(1) - memory.part(0), 3 * TB_PROBE_ROUND_BYTES);
        EXPECT_GE(memory.size(), 2 * memory.stride());
    }
}

CeilingOptions fast() {
    CeilingOptions options;
    options.probe_seconds = 0.002;
    options.tries = 1;
    return options;
}

TEST(Ceiling, ReadIsFinitePositiveAndKept) {
    Ceilings ceilings(fast());
    ThreadPool pool(1);
    for (const AllocationKind kind :
         {AllocationKind::HugePages, AllocationKind::SmallPages, AllocationKind::MappedFile}) {
        std::string probe;
        const double first = ceilings.read_gb_per_s(pool, 4u << 20, kind, &probe);
        EXPECT_TRUE(std::isfinite(first));
        EXPECT_GT(first, 0);
        EXPECT_FALSE(probe.empty());
        // The identical object: nothing was measured again, also for a footprint nearby.
        const ReadCeiling* known = &ceilings.read(pool, 4u << 20, kind);
        EXPECT_EQ(known->gb_per_s, first);
        EXPECT_EQ(&ceilings.read(pool, (4u << 20) + 1000, kind), known);
        EXPECT_NE(&ceilings.read(pool, 1u << 20, kind), known);
        EXPECT_GE(known->probes.size(), 5u);
        EXPECT_LE(known->footprint_bytes, 4u << 20);
        EXPECT_GE(known->footprint_bytes, (4u << 20) * 9 / 10);
        for (const ProbeRate& rate : known->probes) EXPECT_LE(rate.gb_per_s, known->gb_per_s);
    }
}

TEST(Ceiling, ThreadsAndPinsAreMeasuredApart) {
    Ceilings ceilings(fast());
    ThreadPool one(1), two(2);
    const ReadCeiling* a = &ceilings.read(one, 1u << 20, AllocationKind::SmallPages);
    const ReadCeiling* b = &ceilings.read(two, 1u << 20, AllocationKind::SmallPages);
    EXPECT_NE(a, b);
    EXPECT_GT(b->gb_per_s, 0);
    // The footprint is that of all workers together.
    EXPECT_LE(b->footprint_bytes, 1u << 20);
    EXPECT_NE(&ceilings.int8_dot_peaks(one), &ceilings.int8_dot_peaks(two));
}

TEST(Ceiling, FootprintIsCappedWithANote) {
    CeilingOptions options = fast();
    options.max_footprint_bytes = 2'000'000;
    Ceilings ceilings(options);
    ThreadPool pool(1);
    const ReadCeiling& capped = ceilings.read(pool, 1u << 30, AllocationKind::HugePages);
    EXPECT_LE(capped.footprint_bytes, 2'000'000u);
    EXPECT_NE(capped.note.find("capped"), std::string::npos);
    const ReadCeiling& small = ceilings.read(pool, 1u << 20, AllocationKind::HugePages);
    EXPECT_EQ(small.note.find("capped"), std::string::npos);
}

TEST(Ceiling, FootprintsAreQuarterPowersOfTwo) {
    EXPECT_EQ(rounded_footprint(1u << 20, 1u << 30), 1u << 20);
    EXPECT_EQ(rounded_footprint((1u << 20) + 5000, 1u << 30), 1u << 20);
    EXPECT_NE(rounded_footprint((1u << 20) + (1u << 18), 1u << 30), 1u << 20);
    EXPECT_EQ(rounded_footprint(5u << 30, 1u << 30), 1u << 30);
    EXPECT_EQ(rounded_footprint(1, 1u << 30), 512u);
    for (uint64_t bytes = 1024; bytes < (1u << 30); bytes = bytes * 11 / 10) {
        const double ratio =
            static_cast<double>(rounded_footprint(bytes, 1u << 30)) / static_cast<double>(bytes);
        EXPECT_GT(ratio, 0.9);
        EXPECT_LT(ratio, 1.1);
    }
}

TEST(Ceiling, PeaksCoverTheAllowedIsasBestFirst) {
    Ceilings ceilings(fast());
    ThreadPool pool(1);
    size_t dots = 0, lookups = 0, fmas = 0;
    for (const tb_probe_table* table : allowed_probe_tables()) {
        dots += table->dot != nullptr;
        lookups += table->lookup != nullptr;
        fmas += table->fma != nullptr;
    }
    const auto check = [](const std::vector<IsaPeak>& peaks, size_t count) {
        EXPECT_EQ(peaks.size(), count);
        for (size_t i = 0; i < peaks.size(); ++i) {
            EXPECT_TRUE(std::isfinite(peaks[i].rate));
            EXPECT_GT(peaks[i].rate, 0);
            EXPECT_FALSE(peaks[i].instruction.empty());
            if (i > 0) {
                EXPECT_LE(peaks[i].rate, peaks[i - 1].rate);
            }
        }
    };
    check(ceilings.int8_dot_peaks(pool), dots);
    check(ceilings.lookup_peaks(pool), lookups);
    check(ceilings.float32_fma_peaks(pool), fmas);
    std::string isa;
    EXPECT_EQ(ceilings.int8_dot_gmac_per_s(pool, &isa), ceilings.int8_dot_peaks(pool)[0].rate);
    EXPECT_EQ(isa, ceilings.int8_dot_peaks(pool)[0].isa);
    EXPECT_EQ(ceilings.lookup_gbytes_per_s(pool), ceilings.lookup_peaks(pool)[0].rate);
    EXPECT_EQ(ceilings.float32_fma_gmac_per_s(pool), ceilings.float32_fma_peaks(pool)[0].rate);
}

WeightCopies five_copies(ThreadPool& pool, size_t count) {
    const tb_kernel& kernel = *find_kernel("i2s_scalar");
    const tb_shape shape{64, 256};
    return {pool, kernel, default_tile(kernel), shape, random_ternary_rows(shape, 1), count, 0};
}

TEST(WeightReaderTest, TakesItsTurnAmongTheCopies) {
    ThreadPool pool(2);
    WeightCopies copies = five_copies(pool, 5);
    copies.next = 3;
    const uint64_t one = copies.total_bytes() / 5;
    const auto last_two = copies.take(4 * one);  // no more than there are before the end
    EXPECT_EQ(last_two.data() + last_two.size(), copies.take(1).data() + 5 * last_two.size() / 2);
    EXPECT_EQ(copies.next, 1u);
    EXPECT_EQ(std::memcmp(last_two.data(), copies.views()[0].bytes.data(), one), 0);
    EXPECT_TRUE(copies.intact(pool));
}

TEST(WeightReaderTest, ReadsThemWithOneOfTheLoops) {
    ThreadPool pool(2);
    WeightCopies copies = five_copies(pool, 5);
    CopyTurns turns(copies);
    WeightReader reader(pool, turns);
    bool known = false;
    for (const ReadLoop& loop : read_loops()) known |= reader.loop().starts_with(loop.name());
    EXPECT_TRUE(known) << reader.loop();
    const double gb_per_s = reader.read();
    EXPECT_TRUE(std::isfinite(gb_per_s) && gb_per_s > 0) << gb_per_s;
    EXPECT_TRUE(copies.intact(pool));
}

TEST(WeightReaderTest, OfASingleCopyTheBeginningIsRead) {
    ThreadPool pool(2);
    WeightCopies copies = five_copies(pool, 1);
    const std::byte* begin = copies.views()[0].bytes.data();
    for (int i = 0; i < 2; ++i) {
        const auto part = copies.take(1024);
        EXPECT_EQ(part.data(), begin);
        EXPECT_EQ(part.size(), 1024U);
    }
    EXPECT_EQ(copies.take(uint64_t{1} << 30).size(), copies.total_bytes());
    EXPECT_EQ(copies.next, 0U);
}

// A machine of two speeds: medians taken apart would compare one with the other.
TEST(PairedCeiling, IsTheMedianOfTheRatios) {
    std::set<std::string> marks;
    Row row;
    const std::vector<double> cell{9, 18, 9, 18, 9}, reading{10, 20, 10, 20, 20};
    set_paired_ceiling(row, cell, reading, "a loop", marks);
    EXPECT_EQ(row.number(Column::PctOfCeiling), 90);
    EXPECT_EQ(row.number(Column::CeilingGbPerS), 20);
    EXPECT_EQ(row[Column::CeilingProbe], "a loop");
    EXPECT_TRUE(marks.empty());
    set_paired_ceiling(row, std::vector<double>{11, 11, 11}, std::vector<double>{10, 10, 10},
                       "a loop", marks);
    EXPECT_EQ(marks, std::set<std::string>{"above_ceiling"});
}

TEST(Ceiling, BadRequestsAreRefused) {
    Ceilings ceilings(fast());
    ThreadPool pool(1);
    EXPECT_THROW(ceilings.read(pool, 0, AllocationKind::HugePages), Error);
    EXPECT_THROW(parse_allocation("tiny"), Error);
    EXPECT_EQ(parse_allocation("4k"), AllocationKind::SmallPages);
    CeilingOptions boundless = fast();
    boundless.max_footprint_bytes = uint64_t{1} << 60;
    Ceilings greedy(boundless);
    EXPECT_THROW(greedy.read(pool, uint64_t{1} << 60, AllocationKind::HugePages), Error);
}

}  // namespace
}  // namespace tritbench
