#include "harness/weight_copies.h"

#include <algorithm>
#include <cstring>

namespace tritbench {

namespace {

constexpr size_t kPageBytes = 4096;

}  // namespace

WeightCopies::WeightCopies(ThreadPool& pool, const tb_kernel& kernel, const tb_tile& tile,
                           tb_shape shape, const RowProvider& rows, size_t count, size_t overread)
    : original_(pack_weights(pool, kernel, tile, shape, rows)) {
    if (count > 1) {
        copy(pool, count, overread);
    } else {
        views_.push_back(view_packed(kernel, tile, shape, original_.bytes));
    }
}

void WeightCopies::copy(ThreadPool& pool, size_t count, size_t overread) {
    const size_t bytes = original_.bytes.size();
    stride_ = (bytes + overread + kPageBytes - 1) / kPageBytes * kPageBytes;
    arena_ = AlignedBuffer(stride_ * count);
    // Written in parallel: the time goes into page faults. Every worker writes its part of each
    // copy, which is about that of the rows it multiplies: they lie on its NUMA node then.
    pool.for_each_worker([&](int worker, int workers) {
        const auto [begin, end] =
            split_range(static_cast<int64_t>(bytes), kPageBytes, worker, workers);
        for (size_t i = 0; i < count; ++i) {
            std::memcpy(arena_.data() + i * stride_ + begin, original_.bytes.data() + begin,
                        static_cast<size_t>(end - begin));
        }
    });
    views_.clear();
    next = 0;
    for (size_t i = 0; i < count; ++i) {
        views_.push_back(view_packed(*original_.kernel, original_.tile, original_.shape,
                                     {arena_.data() + i * stride_, bytes}));
    }
}

std::span<const std::byte> WeightCopies::take(uint64_t bytes) {
    if (count() == 1) {
        const std::span<const std::byte> whole = views_.front().bytes;
        return whole.first(static_cast<size_t>(std::min<uint64_t>(bytes, whole.size())));
    }
    const size_t wanted = static_cast<size_t>((bytes + stride_ - 1) / stride_);
    // Where too few are left before the end, the few are what is read.
    const size_t taken = std::clamp<size_t>(wanted, 1, count() - next);
    const std::byte* begin = arena_.data() + next * stride_;
    next = (next + taken) % count();
    return {begin, taken * stride_};
}

bool WeightCopies::intact(ThreadPool& pool) const {
    std::vector<char> differs(static_cast<size_t>(pool.threads()), 0);
    pool.for_each_worker([&](int worker, int workers) {
        const auto [begin, end] = split_range(static_cast<int64_t>(count()), 1, worker, workers);
        for (auto i = static_cast<size_t>(begin); i < static_cast<size_t>(end); ++i) {
            const auto& bytes = views_[i].bytes;
            if (std::memcmp(bytes.data(), original_.bytes.data(), bytes.size()) != 0) {
                differs[static_cast<size_t>(worker)] = 1;
            }
        }
    });
    return std::count(differs.begin(), differs.end(), 1) == 0;
}

}  // namespace tritbench
