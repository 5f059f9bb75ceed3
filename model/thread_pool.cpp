#include "model/thread_pool.h"

#include <fmt/format.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <climits>
#include <cstring>
#include <thread>

#include "kernels/api/error.h"

namespace tritbench {

namespace {

// One x86 pause is about 40 to 60 ns since Skylake: some 35 us between jobs before a worker parks.
// A park and a wake-up cost about 5 to 50 us, so spinning longer than that only burns power. The
// caller waits for jobs that are already running, which pays to wait longer for.
constexpr int kWorkerSpins = 800;
constexpr int kCallerSpins = 3200;
// With more threads than CPUs the thread waited for may need this very CPU: give it away.
constexpr int kYields = 4;

void relax() {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("isb" ::: "memory");
#endif
}

// Our own futex calls rather than std::atomic::wait: libstdc++ shares its waiter counts between
// unrelated atomics, which turns every notify into a system call while some other pool is parked.
void futex_wait(std::atomic<uint32_t>& word, uint32_t expected) {
    syscall(SYS_futex, reinterpret_cast<uint32_t*>(&word), FUTEX_WAIT_PRIVATE, expected, nullptr,
            nullptr, 0);
}

void futex_wake_all(std::atomic<uint32_t>& word) {
    syscall(SYS_futex, reinterpret_cast<uint32_t*>(&word), FUTEX_WAKE_PRIVATE, INT_MAX, nullptr,
            nullptr, 0);
}

// Room for machines with more than the 1024 CPUs of a plain cpu_set_t.
constexpr int kMaxCpus = 8192;

std::vector<int> read_allowed_cpus() {
    std::vector<int> cpus;
    cpu_set_t* set = CPU_ALLOC(kMaxCpus);
    if (set == nullptr) return {0};
    const size_t bytes = CPU_ALLOC_SIZE(kMaxCpus);
    CPU_ZERO_S(bytes, set);
    if (sched_getaffinity(0, bytes, set) == 0) {
        for (int cpu = 0; cpu < kMaxCpus; ++cpu) {
            if (CPU_ISSET_S(static_cast<size_t>(cpu), bytes, set)) cpus.push_back(cpu);
        }
    }
    CPU_FREE(set);
    if (cpus.empty()) cpus.push_back(0);
    return cpus;
}

bool set_affinity(const std::vector<int>& cpus) {
    cpu_set_t* set = CPU_ALLOC(kMaxCpus);
    if (set == nullptr) return false;
    const size_t bytes = CPU_ALLOC_SIZE(kMaxCpus);
    CPU_ZERO_S(bytes, set);
    for (const int cpu : cpus) CPU_SET_S(static_cast<size_t>(cpu), bytes, set);
    const bool ok = sched_setaffinity(0, bytes, set) == 0;
    CPU_FREE(set);
    return ok;
}

// The CPU that a pool has pinned this thread to, -1 for none: several pools may be used in turn.
thread_local int pinned_to = -1;

}  // namespace

std::vector<int> allowed_cpus() {
    // Once: a thread that a pool has pinned would otherwise see only its own CPU.
    static const std::vector<int> cpus = read_allowed_cpus();
    return cpus;
}

struct ThreadPool::Impl {
    std::vector<int> pins;
    bool pin_caller = true;
    int worker_spins = kWorkerSpins;
    int caller_spins = kCallerSpins;
    std::vector<std::thread> threads;

    // Written by the caller before `generation` moves on, read by workers after they saw it move.
    Job job = nullptr;
    void* context = nullptr;
    bool stop = false;

    alignas(64) std::atomic<uint32_t> generation{0};  // one more per job
    std::atomic<uint32_t> parked{0};                  // workers that may sleep on generation
    alignas(64) std::atomic<uint32_t> remaining{0};   // workers not done with the job
    std::atomic<uint32_t> caller_parked{0};

    int count() const { return static_cast<int>(pins.size()); }
    void start();
    void shut_down();
    void work(int worker);
    uint32_t await_job(uint32_t seen);
    void await_workers();
};

// Sequentially consistent on purpose, here and below: "announce that I sleep, then look again"
// against "change the word, then look for sleepers" is Dekker's handshake.
uint32_t ThreadPool::Impl::await_job(uint32_t seen) {
    uint32_t now = generation.load(std::memory_order_acquire);
    for (int i = 0; now == seen && i < worker_spins; ++i) {
        relax();
        now = generation.load(std::memory_order_acquire);
    }
    for (int i = 0; now == seen && i < kYields; ++i) {
        std::this_thread::yield();
        now = generation.load(std::memory_order_acquire);
    }
    if (now != seen) return now;
    parked.fetch_add(1);
    while ((now = generation.load()) == seen) futex_wait(generation, seen);
    parked.fetch_sub(1);
    return now;
}

void ThreadPool::Impl::await_workers() {
    for (int i = 0; i < caller_spins; ++i) {
        if (remaining.load(std::memory_order_acquire) == 0) return;
        relax();
    }
    for (int i = 0; i < kYields; ++i) {
        if (remaining.load(std::memory_order_acquire) == 0) return;
        std::this_thread::yield();
    }
    caller_parked.store(1);
    uint32_t left = 0;
    while ((left = remaining.load()) != 0) futex_wait(remaining, left);
    caller_parked.store(0);
}

void ThreadPool::Impl::work(int worker) {
    set_affinity({pins[static_cast<size_t>(worker)]});
    uint32_t seen = 0;
    for (;;) {
        seen = await_job(seen);
        if (stop) return;
        job(context, worker, count());
        if (remaining.fetch_sub(1) == 1 && caller_parked.load() != 0) futex_wake_all(remaining);
    }
}

void ThreadPool::Impl::start() {
    threads.reserve(pins.size() - 1);
    for (int worker = 1; worker < count(); ++worker) {
        threads.emplace_back([this, worker] { work(worker); });
    }
}

void ThreadPool::Impl::shut_down() {
    stop = true;
    generation.fetch_add(1);
    futex_wake_all(generation);
    for (std::thread& thread : threads) thread.join();
    threads.clear();
}

ThreadPool::ThreadPool(int threads, std::vector<int> cpus, bool pin_caller)
    : impl_(std::make_unique<Impl>()) {
    if (threads < 1 || threads > 1024) {
        throw Error(
            fmt::format("threads: {} is not a number of threads; expected 1 to 1024", threads));
    }
    const std::vector<int> allowed = allowed_cpus();
    for (const int cpu : cpus) {
        if (!std::binary_search(allowed.begin(), allowed.end(), cpu)) {
            throw Error(
                fmt::format("pins: CPU {} is not one of the {} this process may use "
                            "({} to {})",
                            cpu, allowed.size(), allowed.front(), allowed.back()));
        }
    }
    if (cpus.empty()) cpus = allowed;
    for (int i = 0; i < threads; ++i) {
        impl_->pins.push_back(cpus[static_cast<size_t>(i) % cpus.size()]);
    }
    impl_->pin_caller = pin_caller;
    std::vector<int> distinct = impl_->pins;
    std::sort(distinct.begin(), distinct.end());
    distinct.erase(std::unique(distinct.begin(), distinct.end()), distinct.end());
    if (distinct.size() < impl_->pins.size()) {
        impl_->worker_spins = 0;
        impl_->caller_spins = 0;
    }
    try {
        impl_->start();
    } catch (const std::system_error& e) {
        impl_->shut_down();
        throw Error(fmt::format("threads: cannot start {} threads: {}", threads, e.what()));
    }
}

ThreadPool::~ThreadPool() {
    impl_->shut_down();
    // Leave the caller as it was found, or a program started by it would inherit the pin.
    if (impl_->pin_caller && pinned_to == impl_->pins[0]) {
        set_affinity(allowed_cpus());
        pinned_to = -1;
    }
}

int ThreadPool::threads() const {
    return impl_->count();
}

const std::vector<int>& ThreadPool::pins() const {
    return impl_->pins;
}

void ThreadPool::run(Job job, void* context) {
    Impl& pool = *impl_;
    if (pool.pin_caller && pinned_to != pool.pins[0]) {
        set_affinity({pool.pins[0]});
        pinned_to = pool.pins[0];
    }
    const int workers = pool.count();
    if (workers == 1) {
        job(context, 0, 1);
        return;
    }
    pool.job = job;
    pool.context = context;
    pool.remaining.store(static_cast<uint32_t>(workers - 1), std::memory_order_relaxed);
    pool.generation.fetch_add(1);
    if (pool.parked.load() != 0) futex_wake_all(pool.generation);
    job(context, 0, workers);
    pool.await_workers();
}

std::pair<int64_t, int64_t> split_range(int64_t count, int64_t step, int worker, int workers) {
    const int64_t steps = (count + step - 1) / step;
    const int64_t base = steps / workers;
    const int64_t extra = steps % workers;
    const int64_t first = base * worker + std::min<int64_t>(worker, extra);
    const int64_t last = first + base + (worker < extra ? 1 : 0);
    return {std::min(first * step, count), std::min(last * step, count)};
}

}  // namespace tritbench
