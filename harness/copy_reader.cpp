#include "harness/copy_reader.h"

#include <algorithm>
#include <atomic>

#include "harness/measure.h"
#include "harness/statistics.h"

namespace tritbench {
namespace {

constexpr int kTries = 5;  // of each loop

// What the loops return ends here, so that their work is needed.
std::atomic<uint64_t> g_sink{0};

}  // namespace

CopyReader::CopyReader(ThreadPool& pool, WeightCopies& copies)
    : pool_(pool), copies_(copies), loop_(read_loops().front()) {
    // A first guess of how much fits a repetition; it also faults nothing in, for the copies were
    // written before.
    const uint64_t all = copies.total_bytes();
    bytes_ = std::min<uint64_t>(all, uint64_t{16} << 20);
    const double gb_per_s = read(loop_, bytes_);
    bytes_ = std::min(all, static_cast<uint64_t>(gb_per_s * kShortestRepetitionNs));
    const std::vector<ReadLoop> loops = read_loops();
    std::vector<std::vector<double>> rates(loops.size());
    for (int i = 0; i < kTries; ++i) {
        for (size_t l = 0; l < loops.size(); ++l) rates[l].push_back(read(loops[l], bytes_));
    }
    double best = 0;
    for (size_t l = 0; l < loops.size(); ++l) {
        const double rate = median(rates[l]);
        if (rate <= best) continue;
        best = rate;
        loop_ = loops[l];
    }
    name_ = loop_.name() + ", the cell's own weights";
}

double CopyReader::read() {
    return read(loop_, bytes_);
}

double CopyReader::read(const ReadLoop& loop, uint64_t bytes) {
    const std::span<const std::byte> memory = copies_.take(bytes);
    const auto rounds = static_cast<int64_t>(memory.size() / TB_PROBE_ROUND_BYTES);
    const int64_t begin = now_ns();
    pool_.for_each_worker([&](int worker, int workers) {
        const auto [first, last] = split_range(rounds, 1, worker, workers);
        if (first == last) return;
        const uint64_t sum = loop.read(memory.data() + first * TB_PROBE_ROUND_BYTES,
                                       static_cast<uint64_t>(last - first), 1);
        g_sink.fetch_xor(sum, std::memory_order_relaxed);
    });
    const auto ns = static_cast<double>(std::max<int64_t>(now_ns() - begin, 1));
    return static_cast<double>(rounds * TB_PROBE_ROUND_BYTES) / ns;
}

}  // namespace tritbench
