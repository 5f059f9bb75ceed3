// Workers of a pool may not throw: the first failure is kept and thrown on the calling thread.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <exception>
#include <mutex>
#include <utility>

#include "model/thread_pool.h"
#include "model/work_shares.h"

namespace tritbench {

class FirstError {
  public:
    bool failed() const { return failed_.load(std::memory_order_relaxed); }
    void keep(std::exception_ptr error) {
        const std::lock_guard lock(mutex_);
        if (!error_) error_ = std::move(error);
        failed_.store(true, std::memory_order_relaxed);
    }
    void rethrow() const {
        if (error_) std::rethrow_exception(error_);
    }

  private:
    std::atomic<bool> failed_{false};
    std::mutex mutex_;
    std::exception_ptr error_;
};

// Calls worker(next) on every worker of the pool; next(&begin, &end) takes the next chunk of [0,
// count) and is false when there is none left or a worker has failed. Throws what the first failing
// worker threw.
//
// A worker takes the chunks of its own share first, as products do (work_shares.h): rows that it
// packs lie in memory of its own NUMA node, since a page goes to the node of who writes it first.
template <class Worker>
void for_chunks(ThreadPool& pool, int64_t count, int64_t chunk, Worker&& worker) {
    WorkShares shares;
    shares.reserve(pool.threads());
    shares.begin((count + chunk - 1) / chunk, pool.threads());
    FirstError error;
    pool.for_each_worker([&](int own, int workers) {
        try {
            worker([&](int64_t* begin, int64_t* end) {
                int64_t piece = 0;
                if (error.failed() || !shares.take(own, workers, &piece)) return false;
                *begin = piece * chunk;
                *end = std::min(*begin + chunk, count);
                return true;
            });
        } catch (...) {
            error.keep(std::current_exception());
        }
    });
    error.rethrow();
}

}  // namespace tritbench
