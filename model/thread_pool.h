// A pool of pinned threads for parallel loops of microseconds to seconds.
//
// The calling thread is worker 0. Workers spin briefly between jobs, then park. A job is a plain
// function pointer: no allocation, no virtual call, no type erasure. Kernels know nothing of it.
#pragma once

#include <cstdint>
#include <memory>
#include <type_traits>
#include <utility>
#include <vector>

namespace tritbench {

// CPUs this process may use, ascending, as they were when first asked (a pool pins its caller).
std::vector<int> allowed_cpus();

class ThreadPool {
  public:
    using Job = void (*)(void* context, int worker, int workers);

    // Starts `threads` - 1 threads; worker i is pinned to cpus[i % cpus.size()]. An empty list
    // means the allowed CPUs in order. Worker 0 (the thread that calls run) is pinned by run when
    // it is not yet on cpus[0], if `pin_caller`; the destructor undoes that.
    // Throws Error unless 1 <= threads <= 1024 and every CPU is allowed.
    explicit ThreadPool(int threads, std::vector<int> cpus = {}, bool pin_caller = true);
    ~ThreadPool();
    ThreadPool(const ThreadPool&) = delete;
    ThreadPool& operator=(const ThreadPool&) = delete;

    int threads() const;
    const std::vector<int>& pins() const;  // CPU of each worker

    // Runs job(context, w, threads()) on every worker w and returns when all are done. The job
    // may not throw, nor call run on the same pool. One caller at a time.
    void run(Job job, void* context);

    // run() over a callable, without allocating: body(worker, workers).
    template <class Body>
    void for_each_worker(Body&& body) {
        using Plain = std::remove_reference_t<Body>;
        run([](void* c, int worker, int workers) { (*static_cast<Plain*>(c))(worker, workers); },
            const_cast<void*>(static_cast<const void*>(&body)));
    }

  private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

// The part of [0, count) that belongs to a worker, in whole steps (the last part may be ragged).
// Parts differ by at most one step, cover [0, count) once, and may be empty.
std::pair<int64_t, int64_t> split_range(int64_t count, int64_t step, int worker, int workers);

}  // namespace tritbench
