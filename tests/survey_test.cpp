// Surveys of the ceilings: what is measured in the time there is, and what is kept for the next
// time.
#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "harness/roofline/survey.h"
#include "harness/roofline/survey_cache.h"
#include "harness/roofline/survey_jobs.h"
#include "kernels/api/error.h"
#include "tests/temporary_folder.h"

namespace tritbench {
namespace {

constexpr uint64_t kMB = 1'000'000;

SurveyRequest tiny_request() {
    SurveyRequest request;
    request.threads = {1};
    request.footprints = {64 << 10};
    request.kinds = {AllocationKind::SmallPages};
    request.seconds = 1;
    return request;
}

const SurveyProgress kSilent = [](uint64_t, uint64_t, const std::string&) {};

TEST(SurveyThreads, ArePowersOfTwoAndAll) {
    EXPECT_EQ(default_survey_threads(1), (std::vector<int>{1}));
    EXPECT_EQ(default_survey_threads(2), (std::vector<int>{1, 2}));
    EXPECT_EQ(default_survey_threads(6), (std::vector<int>{1, 2, 4, 6}));
    EXPECT_EQ(default_survey_threads(64), (std::vector<int>{1, 2, 4, 8, 16, 32, 64}));
}

TEST(SurveyJobs, EveryKindAboveTheCachesForOneThreadAndAll) {
    const std::vector<int> threads = {1, 2, 4};
    const auto jobs = survey_jobs({}, threads, 1000 * kMB);
    for (const int count : threads) {
        std::set<AllocationKind> large, small;
        std::set<SurveyStep> steps;
        for (const SurveyJob& job : jobs) {
            if (job.threads != count) continue;
            steps.insert(job.step);
            if (job.step != SurveyStep::Read) continue;
            (job.footprint > (4 << 20) ? large : small).insert(job.kind);
        }
        EXPECT_EQ(large.size(), count == 2 ? 1U : 3U) << count;
        EXPECT_TRUE(small.empty() || small == std::set{AllocationKind::HugePages}) << count;
        EXPECT_EQ(steps.size(), 5U) << count;  // read, int8 dot, lookup, float32, mix
    }
    // What may be left out for time comes after all that may not.
    EXPECT_TRUE(std::is_partitioned(jobs.begin(), jobs.end(),
                                    [](const SurveyJob& job) { return !job.optional; }));
    uint64_t largest = 0;
    for (const SurveyJob& job : jobs) largest = std::max(largest, job.footprint);
    // Small pages and mapped files are always compared where they differ most.
    const auto spare = [&](const SurveyJob& job) {
        return job.kind != AllocationKind::HugePages && job.footprint < largest;
    };
    for (const SurveyJob& job : jobs) EXPECT_EQ(job.optional, job.threads == 2 || spare(job));
    // Counts and footprints that were asked for are measured.
    SurveyRequest request;
    request.threads = threads;
    for (const SurveyJob& job : survey_jobs(request, threads, 1000 * kMB)) {
        EXPECT_EQ(job.optional, spare(job));
    }
    request.footprints = {8 * kMB, 64 * kMB};
    for (const SurveyJob& job : survey_jobs(request, threads, 1000 * kMB)) {
        EXPECT_FALSE(job.optional);
    }
}

TEST(SurveyJobs, WhatWasAskedForAndNothingTwice) {
    SurveyRequest request;
    request.footprints = {32 * kMB, 32 * kMB + 1000, 64 << 10};
    request.kinds = {AllocationKind::MappedFile, AllocationKind::SmallPages};
    request.likwid_bench = "/somewhere/likwid-bench";
    size_t reads = 0, likwid = 0;
    for (const SurveyJob& job : survey_jobs(request, {1}, 1000 * kMB)) {
        reads += job.step == SurveyStep::Read;
        likwid += job.step == SurveyStep::Likwid;
        if (job.step == SurveyStep::Read) {
            EXPECT_NE(job.kind, AllocationKind::HugePages);
        }
    }
    EXPECT_EQ(reads, 4U);
    EXPECT_EQ(likwid, 1U);
}

TEST(SurveyTest, MeasuresWhatWasAskedFor) {
    std::vector<std::string> steps;
    const SurveyResult result = survey_ceilings(
        tiny_request(), [&](uint64_t done, uint64_t total, const std::string& next) {
            EXPECT_EQ(done, steps.size());
            EXPECT_EQ(total, 5U);
            steps.push_back(next);
        });
    EXPECT_EQ(steps.size(), 5U);
    std::set<std::string> whats;
    for (const SurveyRate& rate : result.rates) {
        whats.insert(rate.what);
        EXPECT_GT(rate.rate, 0) << rate.what;
        EXPECT_EQ(rate.threads, 1);
        EXPECT_FALSE(rate.pins.empty());
        EXPECT_FALSE(rate.probe.empty());
        EXPECT_EQ(rate.memory, rate.what == "read" ? "4k" : "");
        EXPECT_EQ(rate.footprint_bytes > 0, rate.what == "read");
    }
    EXPECT_TRUE(whats.contains("read") && whats.contains("int8_dot") && whats.contains("lookup"));
    EXPECT_EQ(result.notes, std::vector<std::string>{"likwid-bench: not installed"});
    SurveyRequest crowded = tiny_request();
    crowded.threads = {100'000};
    EXPECT_THROW(survey_ceilings(crowded, kSilent), Error);
}

TEST(SurveyTest, WhatProgressThrowsEndsIt) {
    const SurveyProgress stop = [](uint64_t, uint64_t, const std::string&) {
        throw Error("interrupted");
    };
    EXPECT_THROW(survey_ceilings(tiny_request(), stop), Error);
}

// ---- the cache ----------------------------------------------------------------------------------

class SurveyCacheTest : public testing::Test {
  protected:
    static KeptSurvey survey(double rate) {
        KeptSurvey kept;
        SurveyRate read;
        read.what = "read";
        read.threads = 2;
        read.pins = "0 1";
        read.memory = "mapped";
        read.footprint_bytes = 123'456;
        read.rate = rate;
        read.unit = "GB/s";
        read.probe = "avx2 1 stream";
        read.note = "only 3% in huge pages";
        kept.result.rates = {read};
        kept.result.notes = {"a note"};
        kept.utc = "2026-01-31T12:00:00Z";
        kept.noise = {"boost_on", "virtual_machine"};
        return kept;
    }
    std::string problem_of(const std::string& text) {
        folder.write("cache.json", text);
        std::string problem;
        EXPECT_FALSE(cache.find("a", &problem)) << text;
        return problem;
    }
    TemporaryFolder folder;
    SurveyCache cache{folder / "cache.json"};
};

TEST_F(SurveyCacheTest, GivesBackWhatItWasGiven) {
    std::string problem;
    EXPECT_FALSE(cache.find("a", &problem));
    EXPECT_EQ(problem, "");
    cache.keep("a", survey(10.1 / 3));
    cache.keep("b", survey(7));
    for (const auto& [key, rate] : {std::pair{"a", 10.1 / 3}, std::pair{"b", 7.0}}) {
        const auto kept = cache.find(key, &problem);
        ASSERT_TRUE(kept) << problem;
        EXPECT_EQ(kept->result.rates, survey(rate).result.rates);
        EXPECT_EQ(kept->result.notes, survey(rate).result.notes);
        EXPECT_EQ(kept->utc, survey(rate).utc);
        EXPECT_EQ(kept->noise, survey(rate).noise);
    }
    EXPECT_FALSE(cache.find("c", &problem));
    cache.keep("a", survey(9));
    EXPECT_EQ(cache.find("a", &problem)->result.rates[0].rate, 9);
    EXPECT_EQ(problem, "");
    // It does not grow for ever: the oldest go first.
    for (int i = 0; i < 15; ++i) cache.keep("more " + std::to_string(i), survey(i + 1));
    EXPECT_TRUE(cache.find("a", &problem));
    cache.keep("last", survey(1));
    EXPECT_FALSE(cache.find("b", &problem));
    EXPECT_TRUE(cache.find("last", &problem));
}

TEST_F(SurveyCacheTest, DamageIsToldAndMended) {
    cache.keep("a", survey(5));
    const std::string whole = TemporaryFolder::read(folder / "cache.json");
    for (size_t cut = 0; cut + 2 < whole.size(); cut += 7) {
        EXPECT_NE(problem_of(whole.substr(0, cut)).find("cache.json"), std::string::npos) << cut;
    }
    for (const char* text : {"[]", "null", "7", "{\"format\": 99, \"surveys\": []}",
                             "{\"format\": 1, \"surveys\": {}}", "\xff\xfe"}) {
        EXPECT_NE(problem_of(text).find("not a cache"), std::string::npos) << text;
    }
    const auto damaged = [&](const std::string& from, const std::string& to) {
        std::string text = whole;
        const size_t at = text.find(from);
        EXPECT_NE(at, std::string::npos) << from;
        return text.replace(at, from.size(), to);
    };
    for (const auto& [from, to] :
         {std::pair{"\"rate\": 5.0", "\"rate\": -5.0"},
          std::pair{"\"rate\": 5.0", "\"rate\": \"5\""},
          std::pair{"\"threads\": 2", "\"threads\": []"}, std::pair{"\"probe\"", "\"prob\""},
          std::pair{"2026-01-31T12", "yesterday"}}) {
        EXPECT_NE(problem_of(damaged(from, to)).find("damaged"), std::string::npos) << to;
    }
    cache.keep("a", survey(6));
    std::string problem;
    EXPECT_EQ(cache.find("a", &problem)->result.rates[0].rate, 6);
    EXPECT_EQ(problem, "");
}

TEST_F(SurveyCacheTest, WithoutAPlaceNothingIsKept) {
    const SurveyCache nowhere{{}};
    nowhere.keep("a", survey(1));
    std::string problem;
    EXPECT_FALSE(nowhere.find("a", &problem));
    EXPECT_EQ(problem, "");
    const SurveyCache below_a_file{folder.write("file", "x") / "cache.json"};
    EXPECT_THROW(below_a_file.keep("a", survey(1)), Error);
}

TEST_F(SurveyCacheTest, TheKeyTellsMachinesAndRequestsApart) {
    std::set<std::string> keys;
    keys.insert(survey_key({}, "here"));
    keys.insert(survey_key({}, "there"));
    keys.insert(survey_key(tiny_request(), "here"));
    SurveyRequest quick;
    quick.quick = true;
    keys.insert(survey_key(quick, "here"));
    SurveyRequest longer;
    longer.seconds = 60;
    keys.insert(survey_key(longer, "here"));
    SurveyRequest likwid;
    likwid.likwid_bench = "/usr/bin/likwid-bench";
    keys.insert(survey_key(likwid, "here"));
    EXPECT_EQ(keys.size(), 6U);
    EXPECT_EQ(survey_key({}, "here"), survey_key({}, "here"));
}

TEST(SurveyAge, IsInWords) {
    constexpr int64_t kNoon = 1'769'860'800;  // 2026-01-31T12:00:00Z
    const auto age = [&](int64_t later) { return age_text("2026-01-31T12:00:00Z", kNoon + later); };
    EXPECT_EQ(age(0), "less than a minute ago");
    EXPECT_EQ(age(-100), "less than a minute ago");
    EXPECT_EQ(age(60), "1 minute ago");
    EXPECT_EQ(age(3599), "59 minutes ago");
    EXPECT_EQ(age(7300), "2 hours ago");
    EXPECT_EQ(age(86400 * 3), "3 days ago");
    EXPECT_EQ(age_text("yesterday", kNoon), "");
    EXPECT_EQ(age_text("", kNoon), "");
}

}  // namespace
}  // namespace tritbench
