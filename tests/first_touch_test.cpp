// Which worker writes which rows when weights are packed: those that it multiplies first. On a
// machine of several NUMA nodes a page lies on the node of the worker that writes it first; on one
// node there is nothing to time, so that it is the order of writing that is proved.
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <map>
#include <mutex>
#include <thread>

#include "kernels/api/registry.h"
#include "model/bitlinear.h"
#include "model/work_shares.h"

namespace tritbench {
namespace {

constexpr int kWorkers = 3;

std::map<std::thread::id, int> workers_by_id(ThreadPool& pool) {
    std::map<std::thread::id, int> workers;
    std::mutex mutex;
    pool.for_each_worker([&](int worker, int) {
        const std::lock_guard lock(mutex);
        workers[std::this_thread::get_id()] = worker;
    });
    return workers;
}

TEST(FirstTouch, WorkersBeginWithTheRowsThatTheyMultiplyFirst) {
    const tb_shape shape{4096, 1024};
    const tb_kernel& kernel = *find_kernel("i2s_scalar");
    ThreadPool pool(kWorkers);
    const auto workers = workers_by_id(pool);
    std::mutex mutex;
    std::map<int, int64_t> first_row;
    std::atomic<int> begun{0};
    std::atomic<int64_t> chunk{0}, rows_written{0};
    const RowProvider rows = [&](int64_t begin, int64_t end, int8_t* trits, float*, float* scales) {
        const int worker = workers.at(std::this_thread::get_id());
        std::fill_n(trits, (end - begin) * shape.k, int8_t{1});
        scales[0] = 1;
        rows_written += end - begin;
        bool first = false;
        {
            const std::lock_guard lock(mutex);
            first = first_row.try_emplace(worker, begin).second;
        }
        if (begin == 0) chunk = end;
        if (!first) return;
        // Nobody takes the chunks of a worker that has not begun.
        ++begun;
        while (begun < kWorkers) std::this_thread::yield();
    };
    pack_weights(pool, kernel, default_tile(kernel), shape, rows);
    EXPECT_EQ(rows_written, shape.n);
    ASSERT_EQ(first_row.size(), static_cast<size_t>(kWorkers));
    ASSERT_GT(chunk, 0);
    ASSERT_LT(chunk * kWorkers, shape.n);
    for (int worker = 0; worker < kWorkers; ++worker) {
        const auto [own, end] = split_range(shape.n, 1, worker, kWorkers);
        EXPECT_LE(std::abs(first_row[worker] - own), chunk) << worker;
    }
}

TEST(FirstTouch, ChunksThatAreLeftAreTakenByOthers) {
    WorkShares shares;
    shares.reserve(2);
    shares.begin(5, 2);
    int64_t piece = -1;
    std::vector<int64_t> taken;
    while (shares.take(1, 2, &piece)) taken.push_back(piece);
    EXPECT_EQ(taken, (std::vector<int64_t>{3, 4, 0, 1, 2}));
    EXPECT_FALSE(shares.take(0, 2, &piece));
}

}  // namespace
}  // namespace tritbench
