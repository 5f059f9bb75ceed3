#include "model/thread_pool.h"

#include <gtest/gtest.h>
#include <sched.h>

#include <atomic>
#include <chrono>
#include <thread>
#include <vector>

#include "kernels/api/error.h"
#include "model/aligned_buffer.h"
#include "model/work_shares.h"
#include "tests/allocation_count.h"

namespace tritbench {
namespace {

TEST(SplitRange, CoversEveryIndexOnceInWholeSteps) {
    for (const int64_t count : {0, 1, 7, 16, 100, 1023}) {
        for (const int64_t step : {1, 4, 16, 128}) {
            for (const int workers : {1, 2, 3, 8}) {
                int64_t at = 0;
                int64_t most = 0;
                int64_t least = count + step;
                for (int w = 0; w < workers; ++w) {
                    const auto [begin, end] = split_range(count, step, w, workers);
                    EXPECT_EQ(begin, at);
                    EXPECT_LE(begin, end);
                    EXPECT_TRUE(begin % step == 0 || begin == count);
                    EXPECT_TRUE(end % step == 0 || end == count);
                    const int64_t steps = (end - begin + step - 1) / step;
                    most = std::max(most, steps);
                    least = std::min(least, steps);
                    at = end;
                }
                EXPECT_EQ(at, count);
                EXPECT_LE(most - least, 1);
            }
        }
    }
}

class Pool : public testing::TestWithParam<int> {};

TEST_P(Pool, RunsEveryWorkerOncePerJob) {
    const int threads = GetParam();
    ThreadPool pool(threads);
    ASSERT_EQ(pool.threads(), threads);
    // Plain integers: the pool itself must order the accesses of one job after the last.
    std::vector<int64_t> runs(static_cast<size_t>(threads) * 16, 0);
    constexpr int kJobs = 2000;
    for (int job = 0; job < kJobs; ++job) {
        pool.for_each_worker([&](int worker, int workers) {
            ASSERT_EQ(workers, threads);
            runs[static_cast<size_t>(worker) * 16] += job;
        });
    }
    for (int w = 0; w < threads; ++w) {
        EXPECT_EQ(runs[static_cast<size_t>(w) * 16], int64_t{kJobs} * (kJobs - 1) / 2);
    }
}

TEST_P(Pool, WakesWorkersThatHaveParked) {
    ThreadPool pool(GetParam());
    for (int job = 0; job < 5; ++job) {
        std::this_thread::sleep_for(std::chrono::milliseconds(5));
        std::atomic<int> sum{0};
        pool.for_each_worker([&](int worker, int) { sum += worker + 1; });
        EXPECT_EQ(sum.load(), GetParam() * (GetParam() + 1) / 2);
    }
}

TEST_P(Pool, WaitsForWorkersThatAreSlow) {
    ThreadPool pool(GetParam());
    std::vector<int> done(static_cast<size_t>(GetParam()), 0);
    pool.for_each_worker([&](int worker, int) {
        if (worker != 0) std::this_thread::sleep_for(std::chrono::milliseconds(10));
        done[static_cast<size_t>(worker)] = 1;
    });
    for (const int d : done) EXPECT_EQ(d, 1);
}

TEST_P(Pool, PinsEveryWorker) {
    ThreadPool pool(GetParam());
    std::vector<int> cpus(static_cast<size_t>(GetParam()), -1);
    for (int job = 0; job < 3; ++job) {
        pool.for_each_worker(
            [&](int worker, int) { cpus[static_cast<size_t>(worker)] = sched_getcpu(); });
        EXPECT_EQ(cpus, pool.pins());
    }
}

TEST_P(Pool, AllocatesNothingPerJob) {
    ThreadPool pool(GetParam());
    std::atomic<int64_t> sum{0};
    const auto body = [&](int worker, int) { sum += worker; };
    pool.for_each_worker(body);
    const uint64_t before = test::allocations();
    for (int job = 0; job < 100; ++job) pool.for_each_worker(body);
    EXPECT_EQ(test::allocations(), before);
    EXPECT_EQ(sum.load(), 101 * int64_t{GetParam()} * (GetParam() - 1) / 2);
}

// 8 is more than many machines have CPUs: threads then share them.
INSTANTIATE_TEST_SUITE_P(Threads, Pool, testing::Values(1, 2, 3, 8));

TEST(ThreadPool, SeveralPoolsTakeTurns) {
    const std::vector<int> cpus = allowed_cpus();
    ThreadPool first(2, {cpus.front()});
    ThreadPool second(3, {cpus.back()});
    for (int round = 0; round < 50; ++round) {
        for (ThreadPool* pool : {&first, &second}) {
            std::atomic<int> ran{0};
            int caller_cpu = -1;
            pool->for_each_worker([&](int worker, int) {
                ++ran;
                if (worker == 0) caller_cpu = sched_getcpu();
            });
            EXPECT_EQ(ran.load(), pool->threads());
            EXPECT_EQ(caller_cpu, pool->pins()[0]);
        }
    }
}

TEST(ThreadPool, WorkerZeroIsTheCaller) {
    ThreadPool pool(2);
    std::thread::id zero;
    std::thread::id one;
    pool.for_each_worker(
        [&](int worker, int) { (worker == 0 ? zero : one) = std::this_thread::get_id(); });
    EXPECT_EQ(zero, std::this_thread::get_id());
    EXPECT_NE(one, std::this_thread::get_id());
}

TEST(ThreadPool, GivesTheCallerItsCpusBack) {
    cpu_set_t before;
    ASSERT_EQ(sched_getaffinity(0, sizeof before, &before), 0);
    {
        ThreadPool pool(2);
        pool.for_each_worker([](int, int) {});
    }
    cpu_set_t after;
    ASSERT_EQ(sched_getaffinity(0, sizeof after, &after), 0);
    EXPECT_TRUE(CPU_EQUAL(&before, &after));
}

TEST(ThreadPool, LeavesTheCallerAloneWhenToldTo) {
    cpu_set_t before;
    ASSERT_EQ(sched_getaffinity(0, sizeof before, &before), 0);
    ThreadPool pool(2, {}, false);
    pool.for_each_worker([](int, int) {});
    cpu_set_t after;
    ASSERT_EQ(sched_getaffinity(0, sizeof after, &after), 0);
    EXPECT_TRUE(CPU_EQUAL(&before, &after));
}

TEST(ThreadPool, RefusesWhatItCannotStart) {
    EXPECT_THROW(ThreadPool(0), Error);
    EXPECT_THROW(ThreadPool(-1), Error);
    EXPECT_THROW(ThreadPool(1025), Error);
    EXPECT_THROW(ThreadPool(1, {1 << 20}), Error);
}

TEST(AlignedBuffer, IsAlignedZeroedAndMovable) {
    for (const size_t bytes : {size_t{1}, size_t{5000}, size_t{2} << 20, (size_t{5} << 20) + 1}) {
        AlignedBuffer buffer(bytes);
        ASSERT_EQ(buffer.size(), bytes);
        const size_t alignment = bytes >= size_t{2} << 20 ? size_t{2} << 20 : 4096;
        EXPECT_EQ(reinterpret_cast<uintptr_t>(buffer.data()) % alignment, 0U);
        EXPECT_EQ(buffer.as<char>()[0], 0);
        EXPECT_EQ(buffer.as<char>()[bytes - 1], 0);
        buffer.as<char>()[bytes - 1] = 7;
        AlignedBuffer moved(std::move(buffer));
        EXPECT_EQ(moved.as<char>()[bytes - 1], 7);
        AlignedBuffer assigned(10);
        assigned = std::move(moved);
        EXPECT_EQ(assigned.size(), bytes);
        EXPECT_EQ(assigned.as<char>()[bytes - 1], 7);
    }
    EXPECT_EQ(AlignedBuffer(0).data(), nullptr);
}

TEST(AlignedBuffer, RefusesMoreThanThereIs) {
    EXPECT_THROW(AlignedBuffer(SIZE_MAX), Error);
    EXPECT_THROW(AlignedBuffer(size_t{1} << 62), Error);
}

TEST(WorkShares, EachPieceIsDoneOnce) {
    WorkShares shares;
    for (const int workers : {1, 2, 3, 7}) {
        ThreadPool pool(workers);
        shares.reserve(workers);
        for (const int64_t pieces : {0, 1, 2, 5, 64, 1000}) {
            std::vector<std::atomic<int>> done(static_cast<size_t>(pieces));
            shares.begin(pieces, workers);
            pool.for_each_worker([&](int worker, int count) {
                shares.run(worker, count,
                           [&](int64_t piece) { ++done[static_cast<size_t>(piece)]; });
            });
            for (const auto& times : done) EXPECT_EQ(times, 1) << workers << ", " << pieces;
        }
    }
}

// The last worker holds on to its first piece until all the others are done.
TEST(WorkShares, ASlowWorkerHoldsUpOnePieceOnly) {
    constexpr int kWorkers = 3;
    constexpr int64_t kPieces = 30;
    ThreadPool pool(kWorkers);
    WorkShares shares;
    shares.reserve(kWorkers);
    shares.begin(kPieces, kWorkers);
    std::atomic<int64_t> done{0};
    std::array<int, kWorkers> by_worker{};
    pool.for_each_worker([&](int worker, int workers) {
        shares.run(worker, workers, [&](int64_t) {
            ++by_worker.at(static_cast<size_t>(worker));
            if (worker == kWorkers - 1) {
                const auto limit = std::chrono::steady_clock::now() + std::chrono::seconds(10);
                while (done.load() < kPieces - 1 && std::chrono::steady_clock::now() < limit) {
                    std::this_thread::yield();
                }
            }
            ++done;
        });
    });
    EXPECT_EQ(done.load(), kPieces);
    EXPECT_LE(by_worker.back(), 1);  // none if it was late
}

// What a worker read last time is what it reads next time.
TEST(WorkShares, SharesAreTheSameEveryTime) {
    WorkShares shares;
    shares.reserve(2);
    for (int round = 0; round < 2; ++round) {
        shares.begin(10, 2);
        std::vector<int64_t> pieces;
        shares.run(1, 2, [&](int64_t piece) { pieces.push_back(piece); });
        EXPECT_EQ(pieces, (std::vector<int64_t>{5, 6, 7, 8, 9, 0, 1, 2, 3, 4}));
    }
}

}  // namespace
}  // namespace tritbench
